// What the processes beside a guest weigh: daemon, shim, and the helper inside.
import { statSync } from "node:fs";
import { join } from "node:path";
import { BANGER, type Instance } from "../test/vm/fixture.ts";
import { parentOf } from "../test/vm/processes.ts";
import { type Metric, metric } from "./figures.ts";
import { cpuMsDuring, keepPresent, measureRest, residentKiBIn, residentKiBOf } from "./process-cost.ts";

const IDLE_MS = 10_000;

export const benchFootprint = async (banger: Instance, root: string): Promise<Metric[]> => {
  const { pid } = await banger.create("weighed");
  const shim = residentKiBOf(parentOf(pid as number));
  const helper = await banger.guest("weighed", "cat /proc/$(pgrep -o -f 'vsock-[p]ingd')/status");
  await banger.ok(["daemon", "restart"]);
  const daemon = await banger.daemonPid();
  const idleMs = await cpuMsDuring(daemon, IDLE_MS);
  const presence = await keepPresent([daemon]);
  const presentMs = await cpuMsDuring(daemon, IDLE_MS).finally(presence.close);
  const daemonKiB = residentKiBOf(daemon);
  await banger.ok(["rm", "--force", "weighed"]);
  return [
    metric("daemon with a running VM, resident", daemonKiB / 1024, "MiB"),
    metric(`daemon, CPU in ${IDLE_MS / 1000} s of idling`, idleMs, "ms"),
    metric(`daemon, CPU in ${IDLE_MS / 1000} s of idling, memory kept present`, presentMs, "ms"),
    metric("a page of memory that has rested for a second, above one that has not", await measureRest(), "µs"),
    metric("shim, resident", shim, "KiB"),
    metric("guest helper, resident", residentKiBIn(helper), "KiB"),
    metric("guest helper, size", statSync(join(root, "build/guest/banger-vsock-pingd")).size / 1024, "KiB"),
    metric("executable, size", statSync(BANGER).size / 2 ** 20, "MiB"),
  ];
};
