// Deadlines on a monotonic clock, and waiting that ends.
import { fail } from "../spec/errors.ts";

/** A signal that aborts after `timeoutMs`, with `operation.timeout` as its reason. */
export const deadline = (options: {
  operation: string;
  timeoutMs: number;
  signal?: AbortSignal | undefined;
}): {
  signal: AbortSignal;
  clear: () => void;
} => {
  const controller = new AbortController();
  const timer = setTimeout(
    () => controller.abort(fail("operation.timeout", { operation: options.operation, waitedMs: options.timeoutMs })),
    options.timeoutMs,
  );
  const outer = options.signal;
  const onAbort = () => controller.abort(outer?.reason);
  if (outer?.aborted) onAbort();
  else outer?.addEventListener("abort", onAbort, { once: true });
  return {
    signal: controller.signal,
    clear: () => {
      clearTimeout(timer);
      outer?.removeEventListener("abort", onAbort);
    },
  };
};

/** The result of `work`, or the deadline's error; `work` gets the signal and is expected to end with it. */
export const withDeadline = async <Result>(
  options: { operation: string; timeoutMs: number; signal?: AbortSignal | undefined },
  work: (signal: AbortSignal) => Promise<Result>,
): Promise<Result> => {
  const { signal, clear } = deadline(options);
  try {
    return await Promise.race([
      work(signal),
      new Promise<never>((_, reject) => {
        signal.addEventListener("abort", () => reject(signal.reason), { once: true });
      }),
    ]);
  } finally {
    clear();
  }
};
