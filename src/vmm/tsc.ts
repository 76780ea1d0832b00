// Finds how fast this host's time stamp counter runs, once per boot: emulated guests read that counter and cannot measure it well.
import type { Host } from "../host/host.ts";
import { memoryOf } from "./remembered.ts";

const TIMEOUT_MS = 3000;

export type TscOptions = {
  /** Absolute path of banger-tsc (native/tsc). */
  helper: string;
  processes: Pick<Host["processes"], "runCommand">;
  cacheDir: string;
  bootId: string;
  signal: AbortSignal;
};

const isTscKhz = (value: unknown): value is number =>
  typeof value === "number" && Number.isInteger(value) && value >= 100_000 && value <= 20_000_000;

/** What banger-tsc printed, in kHz; null when that is no believable rate. */
export const parseTscKhz = (output: string): number | null => {
  if (!/^\d{6,8}\n?$/.test(output)) return null;
  const tscKhz = Number(output);
  return isTscKhz(tscKhz) ? tscKhz : null;
};

/** The rate in kHz, or null where it cannot be known: the helper is missing, or the counter changes its rate. Errors: only the signal's. */
export const measureTscKhz = async (options: TscOptions): Promise<number | null> => {
  const { processes, cacheDir, bootId, signal } = options;
  const memory = memoryOf({ cacheDir, name: "tsc", key: bootId, isValue: isTscKhz });
  const known = await memory.recall();
  if (known !== null) return known;
  const result = await processes
    .runCommand({ argv: [options.helper], timeoutMs: TIMEOUT_MS, signal })
    .catch((): null => null);
  signal.throwIfAborted();
  const tscKhz = result?.exitCode === 0 ? parseTscKhz(result.stdout) : null;
  if (tscKhz !== null) await memory.keep(tscKhz);
  return tscKhz;
};

/** Measures when first asked, for guests whose clock needs it: under KVM they have a clock of the host's. */
export const createTscMeter = (options: {
  host: Pick<Host, "bootId"> & { processes: Pick<Host["processes"], "runCommand"> };
  native: { tsc: string };
  cacheDir: string;
}): ((accelerator: "kvm" | "tcg") => Promise<number | null>) => {
  const { host, native, cacheDir } = options;
  return async (accelerator) => {
    if (accelerator === "kvm") return null;
    const bootId = await host.bootId();
    const signal = AbortSignal.timeout(TIMEOUT_MS);
    return await measureTscKhz({ helper: native.tsc, processes: host.processes, cacheDir, bootId, signal });
  };
};
