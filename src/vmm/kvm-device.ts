// Says whether this user may open /dev/kvm at all; whether a guest boots on it only a guest can prove.
import { access, constants } from "node:fs/promises";

/** Why KVM cannot even be tried here; null when it can. */
export const findKvmObstacle = async (device = "/dev/kvm"): Promise<string | null> => {
  const code = await access(device, constants.R_OK | constants.W_OK).then(
    () => null,
    (error: NodeJS.ErrnoException) => error.code ?? "error",
  );
  if (code === "ENOENT") return `this host has no ${device}`;
  return code ? `this user may not open ${device} (is it in group kvm?)` : null;
};
