// Reads what a shim wrote about its VMM: the only witness of an end that no daemon saw.
import { open, readFile } from "node:fs/promises";
import { z } from "zod";
import { fail } from "../spec/errors.ts";

/** Why a VMM ended, as its shim found it; docs/shim.md says how. */
export const ShimCause = z.enum(["reboot", "reboot_loop", "poweroff", "halt", "panic", "killed", "crashed", "unknown"]);
export type ShimCause = z.infer<typeof ShimCause>;

const count = z.number().int().nonnegative();

/** The status file. `state: "running"` is a claim as old as the file: the processes prove it, or their absence refutes it. */
export const ShimStatus = z.object({
  version: z.literal(1),
  id: z.string().describe("VM id"),
  shimPid: count,
  shimStartTicks: count,
  pid: count.describe("VMM; 0 when it was never executed"),
  startTicks: count.describe("/proc/PID/stat field 22"),
  bootId: z.string(),
  starts: count.describe("times the VMM was started, guest reboots included"),
  state: z.enum(["running", "ended"]),
  cause: ShimCause.nullable(),
  code: z.number().int().nullable().describe("exit code; 127 when the VMM could not be executed"),
  signal: z.number().int().nullable().describe("number of the signal that ended it"),
  startedAtMs: z.number().describe("last start, unix ms"),
  endedAtMs: z.number().nullable().describe("unix ms"),
});
export type ShimStatus = z.infer<typeof ShimStatus>;

const parseJson = (text: string): unknown => {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
};

/** What the shim last wrote; null when there is no such file, or it cannot be understood. Never throws. */
export const readShimStatus = async (path: string): Promise<ShimStatus | null> => {
  const text = await readFile(path, "utf8").catch(() => null);
  if (text === null) return null;
  const parsed = ShimStatus.safeParse(parseJson(text));
  return parsed.success ? parsed.data : null;
};

const STDERR_TAIL_BYTES = 2000;

const readTail = async (path: string): Promise<string> => {
  const file = await open(path, "r").catch(() => null);
  if (!file) return "";
  try {
    const { size } = await file.stat();
    const from = Math.max(0, size - STDERR_TAIL_BYTES);
    const { buffer, bytesRead } = await file.read(Buffer.alloc(size - from), 0, size - from, from);
    return buffer.subarray(0, bytesRead).toString("utf8");
  } catch {
    return "";
  } finally {
    await file.close();
  }
};

/** Control characters other than newline and tab become spaces: this text ends up on a terminal. */
const sanitise = (text: string) => text.replace(/[^\P{Cc}\n\t]/gu, " ").trim();

/** The error for a VMM that ended before it was of use: its exit code and the end of its stderr, from the shim's files. */
export const describeEarlyExit = async (options: {
  vm: string;
  command: readonly string[];
  statusPath: string;
  vmmLogPath: string;
  /** Pid of the shim that is meant, so that an earlier run's status is not taken for this one's. */
  shimPid?: number;
  /** Used when the shim left no status. */
  fallback?: { exitCode: number | null; stderr: string };
}) => {
  const status = await readShimStatus(options.statusPath);
  const isOurs = status !== null && (options.shimPid === undefined || status.shimPid === options.shimPid);
  const own = sanitise(options.fallback?.stderr ?? "");
  // A shim that speaks on its own stderr never ran the VMM: whatever the log holds is from an earlier run.
  const stderr = own || sanitise(await readTail(options.vmmLogPath));
  return fail("vmm.exited_early", {
    vm: options.vm,
    command: options.command,
    exitCode: isOurs ? status.code : (options.fallback?.exitCode ?? null),
    stderr,
  });
};
