// Every check there is, in the order in which people read them.
import type { Check } from "./check.ts";
import { fileChecks } from "./check-files.ts";
import { networkChecks } from "./check-network.ts";
import { rootChecks } from "./check-root.ts";
import { vmmChecks } from "./check-vmm.ts";

export const checks: readonly Check[] = [
  ...fileChecks.slice(0, 4),
  ...vmmChecks,
  ...rootChecks,
  ...networkChecks,
  ...fileChecks.slice(4),
];
