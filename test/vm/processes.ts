// Who started whom, from /proc.
import { readdirSync, readFileSync } from "node:fs";

/** The parent's pid (field 4 of proc_pid_stat(5)); 0 when there is no such process. */
export const parentOf = (pid: number): number => {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    return Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]);
  } catch {
    return 0;
  }
};

/** Children and their children. */
export const childrenOf = (pid: number): number[] => {
  const pids = readdirSync("/proc").map(Number).filter(Number.isInteger);
  const direct = pids.filter((candidate) => parentOf(candidate) === pid);
  return direct.flatMap((child) => [child, ...childrenOf(child)]);
};
