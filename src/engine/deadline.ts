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
