// Tells from /proc whether a process is still the one that was started: a pid alone proves nothing.
import { readFile } from "node:fs/promises";
import type { ProcessProof } from "../spec/vm.ts";

const BOOT_ID = "/proc/sys/kernel/random/boot_id";

type StatLine = { state: string; startTicks: number };

/** Fields 3 and 22 of /proc/PID/stat (proc(5)); the name in field 2 may hold blanks and brackets, so count from its end. */
export const parseProcessStat = (text: string): StatLine | null => {
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  const state = fields[0];
  const startTicks = Number(fields[19]);
  return state && Number.isSafeInteger(startTicks) && startTicks > 0 ? { state, startTicks } : null;
};

const readStat = async (pid: number): Promise<StatLine | null> => {
  const text = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => null);
  return text === null ? null : parseProcessStat(text);
};

/** /proc/sys/kernel/random/boot_id of this host. */
export const readBootId = async (): Promise<string> => (await readFile(BOOT_ID, "utf8")).trim();

const isDead = ({ state }: StatLine) => state === "Z" || state === "X";

/** The identity of a live process; null when there is none, or it has ended and only waits to be reaped. */
export const identifyProcess = async (pid: number): Promise<ProcessProof | null> => {
  const stat = await readStat(pid);
  return stat && !isDead(stat) ? { pid, startTicks: stat.startTicks, bootId: await readBootId() } : null;
};

/** Whether the proven process lives: "other" when its pid belongs to someone else by now. Zombies are gone. */
export const proveProcess = async (proof: ProcessProof): Promise<"same" | "gone" | "other"> => {
  if (proof.bootId !== (await readBootId())) return "gone";
  const stat = await readStat(proof.pid);
  if (!stat) return "gone";
  if (stat.startTicks !== proof.startTicks) return "other";
  return isDead(stat) ? "gone" : "same";
};
