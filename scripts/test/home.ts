// What the tests see of the home of whoever runs them, although they have homes of their own: what was downloaded or built there once.
import { findFirecracker, searchPlaces } from "../../src/vmm/firecracker/binary.ts";
import { labCachePath } from "../../test/lab/host-image.ts";
import { asksForFirecracker } from "./groups.ts";

type Environment = Readonly<Record<string, string | undefined>>;

/** Firecracker is only read; the disk of the lab is built where it is missing. Answers what a test file finds in its environment besides. */
export const seeHome = async (environment: Environment): Promise<(file: string) => Environment> => {
  const found = await findFirecracker(searchPlaces(environment));
  const firecracker = "path" in found ? { BANGER_FIRECRACKER: found.path } : {};
  const lab = { BANGER_LAB_CACHE: labCachePath(environment) };
  return (file) => ({
    ...(asksForFirecracker(file) ? firecracker : {}),
    ...(file.startsWith("test/lab/") ? lab : {}),
  });
};
