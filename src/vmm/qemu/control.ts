// Attaches to a launched QEMU and controls it: boot, power button, identity.
import { fail } from "../../spec/errors.ts";
import type { LaunchPlan } from "../../spec/plan.ts";
import { type AttachOptions, attachTo } from "../attach.ts";
import type { VmmControl } from "../driver.ts";
import { vmIdOf } from "./launch.ts";
import { connectQmp, type QmpClient } from "./qmp.ts";

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
  const { vm } = options;
  const qmp = await attachTo(plan, { ...options, connect: (path, signal) => connectQmp({ path, vm, signal }) });
  return controlOf(qmp, vm);
};
