// Waits until a guest can be reached: its helper has announced it, and its SSH port answers from here.
import { fail, hasCode } from "../spec/errors.ts";
import type { StartPlan } from "../spec/plan.ts";
import { sanitize } from "../spec/sanitize.ts";
import type { Context } from "./context.ts";

const CONSOLE_TAIL_BYTES = 1500;
const REACH_TIMEOUT_MS = 10_000;

/**
 * Rejects as soon as the guest cannot become ready any more: its VMM ended (with what it printed last), the deadline passed, or
 * the caller gave up. Errors: vm.ended_while_starting, guest.not_ready, net.unreachable.
 */
export const untilReady = async (context: Context, plan: StartPlan, signal: AbortSignal): Promise<void> => {
  const live = context.live.get(plan.vm.id);
  const { name } = plan.vm;
  if (!live) throw fail("guest.channel_lost", { vm: name });
  const ended = new AbortController();
  const guestEnd = live.shim.untilExit({ signal: ended.signal }).then(
    (end) => end.cause,
    (error) => (hasCode(error, "vmm.shim_lost") ? ("killed" as const) : new Promise<never>(() => {})),
  );
  try {
    await Promise.race([
      live.channel.ready({ timeoutMs: plan.timeouts.readyMs, signal }),
      guestEnd.then(async (cause) => {
        const console = sanitise(await context.host.files.tail(plan.paths.console, CONSOLE_TAIL_BYTES));
        throw fail("vm.ended_while_starting", { vm: name, cause, console });
      }),
    ]);
  } finally {
    ended.abort();
  }
  const { address, mode } = plan.network;
  const reach = mode === "namespace" ? context.namespace.reach : context.reach;
  // The helper's word says that sshd listens; only a connection proves that the way there works (FACTS §6.14).
  if (!(await reach({ address, port: 22, timeoutMs: REACH_TIMEOUT_MS, signal })))
    throw fail("net.unreachable", { vm: name, address, port: 22, waitedMs: REACH_TIMEOUT_MS });
};

/** Guest output without control characters: it may end up on a terminal (FACTS §6.18). */
export const sanitise = sanitize;
