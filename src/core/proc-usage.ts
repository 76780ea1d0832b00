// Reads what a process uses out of the text of its /proc files.

/** USER_HZ: what the kernel counts process times in for user space, 100 on every architecture we run on (proc(5)). */
const TICKS_PER_SECOND = 100;

export type Usage = { cpuMs: number; residentMiB: number };

/** CPU time and resident memory from `/proc/PID/stat` and `/proc/PID/status`; null when either cannot be read. */
export const parseUsage = (stat: string, status: string): Usage | null => {
  // The command's name, in parentheses, may itself hold spaces and parentheses.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const ticks = Number(fields[11]) + Number(fields[12]);
  const resident = /^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1];
  if (!Number.isFinite(ticks) || resident === undefined) return null;
  return { cpuMs: (ticks * 1000) / TICKS_PER_SECOND, residentMiB: Math.round(Number(resident) / 1024) };
};
