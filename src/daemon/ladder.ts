// Ends a VMM by ever harder means, each with its deadline: ask the guest, press its button, SIGTERM, SIGKILL.
import { describeUnknown, fail, hasCode } from "../spec/errors.ts";
import type { StartPlan } from "../spec/plan.ts";
import type { VmmDriver } from "../vmm/driver.ts";
import type { Context } from "./context.ts";

/** Where the ladder is entered. */
export type Rung = "ask" | "button" | "term" | "kill";

const rungs: readonly Rung[] = ["ask", "button", "term", "kill"];
const CALL_TIMEOUT_MS = 2000;

/**
 * Returns when the VMM of `plan` runs no more, and at once when it does not run. Nothing cancels it: a client that goes away
 * must not leave a VM half stopped (FACTS §6.1). Only the shim signals its own child, so no pid is ever taken on trust.
 * Errors: vmm.shim_timeout when even SIGKILL does not end it.
 */
export const endVmm = async (
  context: Context,
  plan: StartPlan,
  options: { driver: VmmDriver; from: Rung },
): Promise<void> => {
  const { shims, live, log } = context;
  const { id, name } = plan.vm;
  const shim = shims.connect({ path: plan.paths.shimControl, vm: name });
  try {
    // The VMM cannot outlive its shim, so nobody answering there means that nothing runs.
    if (!(await isAlive(shim))) return;
    const ended = shim.untilExit().then(
      () => {},
      // A shim that is lost takes its VMM with it.
      () => {},
    );
    await shim.preventRestart({ timeoutMs: CALL_TIMEOUT_MS }).catch(() => {});
    const means: Record<Rung, { act: () => Promise<void>; waitMs: number }> = {
      ask: {
        act: async () => {
          const channel = live.get(id)?.channel;
          if (!channel) throw fail("guest.channel_lost", { vm: name });
          await channel.shutdown("poweroff", { timeoutMs: CALL_TIMEOUT_MS });
        },
        waitMs: plan.timeouts.askMs,
      },
      button: {
        act: async () => {
          const signal = AbortSignal.timeout(CALL_TIMEOUT_MS);
          const control = await options.driver.attach(plan.launch, { vm: name, timeoutMs: CALL_TIMEOUT_MS, signal });
          try {
            await control.askToStop();
          } finally {
            control.close();
          }
        },
        waitMs: plan.timeouts.buttonMs,
      },
      term: { act: () => shim.signal("TERM", { timeoutMs: CALL_TIMEOUT_MS }), waitMs: plan.timeouts.termMs },
      kill: { act: () => shim.signal("KILL", { timeoutMs: CALL_TIMEOUT_MS }), waitMs: plan.timeouts.killMs },
    };
    for (const rung of rungs.slice(rungs.indexOf(options.from))) {
      const { act, waitMs } = means[rung];
      const isAsked = await act().then(
        () => true,
        (error) => {
          log.info("a rung of the ladder failed", { vm: name, rung, detail: describeUnknown(error) });
          // A lost shim means that the VMM ended meanwhile: the wait below sees it at once.
          return hasCode(error, "vmm.shim_lost");
        },
      );
      if (await endsWithin(ended, isAsked ? waitMs : 0)) return;
    }
    throw fail("vmm.shim_timeout", { vm: name, waitedMs: plan.timeouts.killMs });
  } finally {
    shim.close();
  }
};

const isAlive = async (shim: { hello: (limits: { timeoutMs: number }) => Promise<unknown> }): Promise<boolean> =>
  shim.hello({ timeoutMs: CALL_TIMEOUT_MS }).then(
    () => true,
    (error) => {
      if (hasCode(error, "vmm.shim_lost")) return false;
      throw error;
    },
  );

const endsWithin = async (ended: Promise<void>, waitMs: number): Promise<boolean> => {
  let timer: Timer | undefined;
  try {
    return await Promise.race([
      ended.then(() => true),
      new Promise<boolean>((resolve) => {
        timer = setTimeout(() => resolve(false), waitMs);
      }),
    ]);
  } finally {
    clearTimeout(timer);
  }
};
