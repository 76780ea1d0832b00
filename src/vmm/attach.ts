// Attaches to a VMM that was just launched: tries until it answers, and prefers its last words to the errors of a socket it left.
import { deadline } from "../engine/deadline.ts";
import { describeUnknown, fail, isBangerError } from "../spec/errors.ts";
import type { LaunchPlan } from "../spec/plan.ts";
import type { EarlyEnd } from "./driver.ts";

const RETRY_MS = 5;
/** How long the parent of a VMM that hung up is waited for. */
const LAST_WORDS_MS = 2000;

export type AttachOptions = { vm: string; timeoutMs: number; signal: AbortSignal; ended?: Promise<EarlyEnd> };

/** Connects once: rejects with a BangerError to give up, with the system's error for a socket that is not there yet to be asked again. */
export type Connect<Client> = (path: string, signal: AbortSignal) => Promise<Client>;

const isNotThereYet = (error: unknown): boolean =>
  typeof error === "object" &&
  error !== null &&
  "code" in error &&
  ["ENOENT", "ECONNREFUSED"].includes(`${error.code}`);

const pause = (ms: number, signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    const finish = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", finish);
      resolve();
    };
    const timer = setTimeout(finish, ms);
    signal.addEventListener("abort", finish, { once: true });
  });

const connectWithRetry = async <Client>(
  connect: Connect<Client>,
  options: { path: string; vm: string; signal: AbortSignal },
): Promise<Client> => {
  const { path, vm, signal } = options;
  for (;;) {
    signal.throwIfAborted();
    try {
      return await connect(path, signal);
    } catch (error) {
      signal.throwIfAborted();
      if (isBangerError(error)) throw error;
      if (!isNotThereYet(error)) {
        const detail = describeUnknown(error);
        throw fail("vmm.api_failed", { vm, call: "a connection to its control socket", detail }, error);
      }
      await pause(RETRY_MS, signal);
    }
  }
};

/** How a VMM that has just hung up ended, in the words of its parent; null when that is not told within a moment. */
export const lastWords = async ({
  ended,
  signal,
}: Pick<AttachOptions, "ended" | "signal">): Promise<EarlyEnd | null> => {
  if (!ended || signal.aborted) return null;
  return await Promise.race([ended.catch(() => null), pause(LAST_WORDS_MS, signal).then(() => null)]);
};

/** The connected client, as `VmmDriver.attach` promises it. Errors: vmm.exited_early, vmm.api_failed, operation.timeout, the signal's reason. */
export const attachTo = async <Client>(
  plan: LaunchPlan,
  options: AttachOptions & { connect: Connect<Client> },
): Promise<Client> => {
  const { vm, timeoutMs } = options;
  const limit = deadline({ operation: `connecting to the VMM of ${vm}`, timeoutMs, signal: options.signal });
  const giveUp = new AbortController();
  const signal = AbortSignal.any([limit.signal, giveUp.signal]);
  let end: EarlyEnd | null = null;
  let isOver = false;
  void options.ended?.then(
    (early) => {
      end = early;
      if (!isOver) giveUp.abort(fail("vmm.exited_early", { vm, command: plan.argv, ...early }));
    },
    (error: unknown) => {
      if (!isOver) giveUp.abort(error);
    },
  );
  try {
    return await connectWithRetry(options.connect, { path: plan.controlSocket, vm, signal });
  } catch (error) {
    // A VMM that dies hangs up first and is reaped a moment later: its own last words are the better answer.
    const last = end ?? (await lastWords(options));
    throw last ? fail("vmm.exited_early", { vm, command: plan.argv, ...last }, error) : error;
  } finally {
    isOver = true;
    limit.clear();
  }
};
