// Reads what this host has and uses, for the bars at the top: the daemon runs on it too, since its socket is a file here.
import { readFileSync } from "node:fs";
import { statfs } from "node:fs/promises";
import { availableParallelism, freemem, totalmem } from "node:os";
import type { HostUsage } from "./model.ts";

const BYTES_PER_MIB = 1024 * 1024;

export type CpuTimes = { busy: number; total: number };

/** The first line of /proc/stat: ticks since boot as user, nice, system, idle, iowait, … (proc_stat(5)). */
export const parseCpuTimes = (stat: string): CpuTimes | null => {
  const found = /^cpu +([\d ]+)$/m.exec(stat);
  // Guest time is part of user time already, so only the first eight count.
  const ticks = (found?.[1] ?? "").split(" ").map(Number).slice(0, 8);
  if (ticks.length < 5) return null;
  const total = ticks.reduce((sum, value) => sum + value, 0);
  return { total, busy: total - (ticks[3] ?? 0) - (ticks[4] ?? 0) };
};

/** MemAvailable of /proc/meminfo in MiB: what programs can still have (proc_meminfo(5)). */
export const parseAvailableMiB = (meminfo: string): number | null => {
  const found = /^MemAvailable: +(\d+) kB$/m.exec(meminfo);
  return found ? Number(found[1]) / 1024 : null;
};

const readText = (path: string): string => {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
};

const readDisk = async (directory: string | null): Promise<HostUsage["disk"]> => {
  if (directory === null) return null;
  try {
    const { blocks, bavail, bsize } = await statfs(directory);
    const toMiB = (count: number): number => (count * bsize) / BYTES_PER_MIB;
    return { totalMiB: toMiB(blocks), usedMiB: toMiB(blocks - bavail) };
  } catch {
    return null;
  }
};

/** Answers the use of the host since it was asked last. */
export const openHostUsage = (): ((directory: string | null) => Promise<HostUsage>) => {
  let before: CpuTimes | null = null;
  return async (directory) => {
    const now = parseCpuTimes(readText("/proc/stat"));
    const ticks = now && before ? now.total - before.total : 0;
    const cpuShare = now && before && ticks > 0 ? (now.busy - before.busy) / ticks : 0;
    before = now;
    const memoryMiB = totalmem() / BYTES_PER_MIB;
    const availableMiB = parseAvailableMiB(readText("/proc/meminfo")) ?? freemem() / BYTES_PER_MIB;
    return {
      cpus: availableParallelism(),
      cpuShare,
      memoryMiB,
      memoryUsedMiB: memoryMiB - availableMiB,
      disk: await readDisk(directory),
    };
  };
};
