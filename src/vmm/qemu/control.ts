// Attaches to a launched QEMU and controls it: boot, power button, identity.
import { deadline } from "../../engine/deadline.ts";
import { describeUnknown, fail, isBangerError } from "../../spec/errors.ts";
import type { LaunchPlan } from "../../spec/plan.ts";
import type { EarlyEnd, VmmControl } from "../driver.ts";
import { vmIdOf } from "./launch.ts";
import { connectQmp, type QmpClient } from "./qmp.ts";

const RETRY_MS = 5;
/** How long the parent of a VMM that hung up is waited for. */
const LAST_WORDS_MS = 2000;

export type AttachOptions = { vm: string; timeoutMs: number; signal: AbortSignal; ended?: Promise<EarlyEnd> };

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

const connectWithRetry = async (path: string, vm: string, signal: AbortSignal): Promise<QmpClient> => {
  for (;;) {
    signal.throwIfAborted();
    try {
      return await connectQmp({ path, vm, signal });
    } catch (error) {
      signal.throwIfAborted();
      if (isBangerError(error)) throw error;
      if (!isNotThereYet(error)) {
        throw fail(
          "vmm.api_failed",
          { vm, call: "a connection to its monitor", detail: describeUnknown(error) },
          error,
        );
      }
      await pause(RETRY_MS, signal);
    }
  }
};

const lastWords = async ({ ended, signal }: AttachOptions): Promise<EarlyEnd | null> => {
  if (!ended || signal.aborted) return null;
  return await Promise.race([ended.catch(() => null), pause(LAST_WORDS_MS, signal).then(() => null)]);
};

const controlOf = (qmp: QmpClient, vm: string): VmmControl => {
  const status = async (signal?: AbortSignal) => (await qmp.execute("query-status", signal ? { signal } : {})).status;
  return {
    boot: async (signal) => {
      const found = await status(signal);
      // "prelaunch" is what -S leaves behind; `cont` itself would silently accept a running guest.
      if (found !== "prelaunch") {
        throw fail("vmm.api_failed", { vm, call: "boot", detail: `the guest was booted already (it is ${found})` });
      }
      await qmp.execute("cont", { signal });
    },
    askToStop: async () => {
      await qmp.execute("system_powerdown");
    },
    identify: async () => {
      const { UUID } = await qmp.execute("query-uuid");
      return vmIdOf(String(UUID)) ?? String(UUID);
    },
    hasBooted: async () => (await status()) !== "prelaunch",
    closed: qmp.closed,
    close: () => qmp.close(),
  };
};

/** As `VmmDriver.attach`. */
export const attachQemu = async (plan: LaunchPlan, options: AttachOptions): Promise<VmmControl> => {
  const { vm, timeoutMs } = options;
  const limit = deadline({ operation: `connecting to the VMM of ${vm}`, timeoutMs, signal: options.signal });
  const giveUp = new AbortController();
  const signal = AbortSignal.any([limit.signal, giveUp.signal]);
  let end: EarlyEnd | null = null;
  let isAttached = false;
  void options.ended?.then(
    (early) => {
      end = early;
      if (!isAttached) giveUp.abort(fail("vmm.exited_early", { vm, command: plan.argv, ...early }));
    },
    (error: unknown) => {
      if (!isAttached) giveUp.abort(error);
    },
  );
  try {
    const qmp = await connectWithRetry(plan.controlSocket, vm, signal);
    isAttached = true;
    return controlOf(qmp, vm);
  } catch (error) {
    // A VMM that dies hangs up first and is reaped a moment later: its own last words are the better answer.
    const last = end ?? (await lastWords(options));
    throw last ? fail("vmm.exited_early", { vm, command: plan.argv, ...last }, error) : error;
  } finally {
    isAttached = true;
    limit.clear();
  }
};
