// Takes the tests' instances off the root helper's list, where the helper ran as root on this host and entered them.
import { rmSync } from "node:fs";
import { REGISTRY_DIR } from "../../src/host/root-registry.ts";

export const forgetInstances = (ids: readonly string[]): void => {
  // Anyone else's helper ran in a user namespace, and could not write there; where root has made the list, it cannot even be looked into.
  if (process.getuid?.() !== 0) return;
  for (const id of ids) rmSync(`${REGISTRY_DIR}/${id}`, { force: true });
};
