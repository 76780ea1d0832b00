// Decides what a proof of KVM means and how long that is believed: until the host boots again, or for a while where a busy host explains it too.
import type { ProbeOptions } from "./driver.ts";
import { findKvmObstacle } from "./kvm-device.ts";
import { memoryOf } from "./remembered.ts";

/** `isPassing`: the next proof may end otherwise, since the host was too busy, or something else held KVM or the memory. */
export type Verdict = { isProved: boolean; reason: string; isPassing?: boolean };

/** What is believed of KVM now; `againMs` is when it is proved once more, unix ms. */
export type Belief = { isProved: boolean; reason: string; againMs?: number };

type Remembered = Verdict & { tries: number; atMs: number };

/** A proof that ends in silence takes its 12 s of somebody's time: it is made again after this, and each time after twice as long. */
const FIRST_WAIT_MS = 30 * 60_000;
const LONGEST_WAIT_MS = 8 * 60 * 60_000;

/** Counts with what is remembered: one of another form is asked for again. */
const FORM = "2";

const isRemembered = (value: unknown): value is Remembered =>
  typeof value === "object" &&
  value !== null &&
  "isProved" in value &&
  typeof value.isProved === "boolean" &&
  "reason" in value &&
  typeof value.reason === "string" &&
  "tries" in value &&
  typeof value.tries === "number" &&
  "atMs" in value &&
  typeof value.atMs === "number";

/** Whether an error names something that passes: memory that was short, or another program that holds KVM. Pure. */
export const isPassingComplaint = (complaint: string): boolean =>
  /resource busy|temporarily unavailable|allocate memory|out of memory/i.test(complaint);

/** Unix ms from when on a verdict that may pass is asked for again; null for one that lasts. Pure. */
const againAt = ({ isProved, isPassing, tries, atMs }: Remembered): number | null =>
  isProved || isPassing !== true ? null : atMs + Math.min(FIRST_WAIT_MS * 2 ** (tries - 1), LONGEST_WAIT_MS);

const clockOf = (ms: number): string => {
  const at = new Date(ms);
  return [at.getHours(), at.getMinutes()].map((part) => String(part).padStart(2, "0")).join(":");
};

const beliefOf = (remembered: Remembered): Belief => {
  const { isProved, reason } = remembered;
  const againMs = againAt(remembered);
  if (againMs === null) return { isProved, reason };
  return {
    isProved,
    reason: `${reason}; a busy host explains that too, so it is tried again after ${clockOf(againMs)}`,
    againMs,
  };
};

/** What is known of KVM, proved by `prove` where nothing is; `name` is the memory's and `vmm` all that it depends on besides this boot. */
export const judgeKvm = async (
  options: Pick<ProbeOptions, "cacheDir" | "bootId" | "kernel" | "onProof" | "now"> & {
    name: string;
    vmm: string;
    prove: (kernel: string) => Promise<Verdict>;
    findObstacle?: () => Promise<string | null>;
  },
): Promise<Belief> => {
  const { cacheDir, bootId, kernel, name, vmm, now = Date.now, findObstacle = findKvmObstacle } = options;
  const obstacle = await findObstacle();
  if (obstacle) return { isProved: false, reason: obstacle };
  const memory = memoryOf({ cacheDir, name, key: `${bootId} ${vmm} ${FORM}`, isValue: isRemembered });
  const known = await memory.recall();
  // A clock that was set back must not make the wait any longer.
  const isStale = (at: number, atMs: number) => now() >= at || now() < atMs;
  const at = known && againAt(known);
  if (known && (at === null || !isStale(at, known.atMs))) return beliefOf(known);
  if (!kernel) return known ? beliefOf(known) : { isProved: false, reason: "there is no kernel yet to prove KVM with" };
  options.onProof?.();
  const verdict = await options.prove(kernel);
  const remembered: Remembered = { ...verdict, tries: (known?.tries ?? 0) + 1, atMs: now() };
  await memory.keep(remembered);
  return beliefOf(remembered);
};
