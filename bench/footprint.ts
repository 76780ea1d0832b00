// What the processes beside a guest weigh: daemon, shim, and the helper inside.
import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { BANGER, type Instance } from "../test/vm/fixture.ts";
import { parentOf } from "../test/vm/processes.ts";
import { type Metric, metric } from "./figures.ts";

const IDLE_MS = 10_000;
/** USER_HZ, in which proc_pid_stat(5) counts; 100 on every Linux of ours. */
const TICK_MS = 10;

const residentKiB = (status: string): number => Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1] ?? Number.NaN);
const residentOf = (pid: number): number => residentKiB(readFileSync(`/proc/${pid}/status`, "utf8"));
const cpuMsOf = (pid: number): number => {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) * TICK_MS;
};

export const benchFootprint = async (banger: Instance, root: string): Promise<Metric[]> => {
  const { pid } = await banger.create("weighed");
  const shim = residentOf(parentOf(pid as number));
  const helper = await banger.guest("weighed", "cat /proc/$(pgrep -o -f 'vsock-[p]ingd')/status");
  await banger.ok(["daemon", "restart"]);
  const daemon = await banger.daemonPid();
  const before = cpuMsOf(daemon);
  // Idle is what is measured.
  await Bun.sleep(IDLE_MS);
  const idleMs = cpuMsOf(daemon) - before;
  const daemonKiB = residentOf(daemon);
  await banger.ok(["rm", "--force", "weighed"]);
  return [
    metric("daemon with a running VM, resident", daemonKiB / 1024, "MiB"),
    metric(`daemon, CPU in ${IDLE_MS / 1000} s of idling`, idleMs, "ms"),
    metric("shim, resident", shim, "KiB"),
    metric("guest helper, resident", residentKiB(helper), "KiB"),
    metric("guest helper, size", statSync(join(root, "build/guest/banger-vsock-pingd")).size / 1024, "KiB"),
    metric("executable, size", statSync(BANGER).size / 2 ** 20, "MiB"),
  ];
};
