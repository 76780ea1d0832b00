// Waits for as long as a VM runs and somebody cares, for calls that serve a running VM.
import { fail } from "../spec/errors.ts";
import type { ChangeEvent } from "../spec/events.ts";
import type { VmRecord } from "../spec/vm.ts";
import type { Context } from "./context.ts";

type Served = Pick<VmRecord, "id" | "spec">;

const notRunning = ({ spec }: Served, verb: string, state: string) =>
  fail("vm.wrong_state", { vm: spec.name, state, verb, needs: ["running"] });

/** Looks at the record as it is now, not as it was when the call began. Errors: vm.wrong_state. */
export const requireRunning = (context: Context, vm: Served, verb: string): void => {
  const state = context.store.vms.get(vm.id)?.state ?? "stopped";
  if (state !== "running") throw notRunning(vm, verb, state);
};

/** Resolves when the caller goes. Errors: vm.wrong_state when the VM runs no more, or did not when this was called; those of `onEvent`. */
export const untilOver = (
  context: Context,
  vm: Served,
  options: { verb: string; signal: AbortSignal; onEvent?: (event: ChangeEvent) => Promise<void> },
): Promise<void> => {
  const { verb, signal, onEvent = async () => {} } = options;
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const unsubscribe = context.bus.subscribe(({ event }) => {
    if (!("id" in event) || event.id !== vm.id) return;
    if (event.type === "vm.deleted" || (event.type === "vm.state" && event.state !== "running"))
      reject(notRunning(vm, verb, "stopped"));
    else onEvent(event).catch(reject);
  });
  const onAbort = () => resolve();
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    // What was waited for since the call began may have outlived the VM, or the caller: nobody would tell of that again.
    requireRunning(context, vm, verb);
    if (signal.aborted) resolve();
  } catch (error) {
    reject(error);
  }
  return promise.finally(() => {
    unsubscribe();
    signal.removeEventListener("abort", onAbort);
  });
};
