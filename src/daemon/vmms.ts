// Finds out once per daemon which VMM works on this host, and remembers why.

import type { Host } from "../host/host.ts";
import { fail } from "../spec/errors.ts";
import type { VmmName } from "../spec/vm.ts";
import type { VmmDriver, VmmProbe } from "../vmm/driver.ts";
import type { ChosenVmm } from "./context.ts";

export type VmmFinder = {
  choose(wish: VmmName | null): Promise<ChosenVmm>;
  reason(name: VmmName): string;
};

const PROBE_TIMEOUT_MS = 60_000;

export const createVmmFinder = (options: {
  drivers: Readonly<Record<VmmName, VmmDriver>>;
  /** Best first; `auto` takes the first that works. */
  order: readonly VmmName[];
  host: Host;
  cacheDir: string;
  /** A kernel that VMs here use, for proving KVM; null while there is no image. */
  kernel: () => string | null;
  tscKhz: (accelerator: "kvm" | "tcg") => Promise<number | null>;
}): VmmFinder => {
  const { drivers, order, host, cacheDir } = options;
  const known = new Map<VmmName, VmmProbe>();

  const probe = async (name: VmmName): Promise<VmmProbe> => {
    const cached = known.get(name);
    // A VMM that was missing may have been installed since; one that was found stays.
    if (cached?.ok) return cached;
    const { bootId } = await host.facts();
    await host.files.makeDir(cacheDir);
    const found = await drivers[name].probe({
      cacheDir,
      bootId,
      processes: host.processes,
      kernel: options.kernel(),
      signal: AbortSignal.timeout(PROBE_TIMEOUT_MS),
    });
    if (options.kernel() !== null || !found.ok) known.set(name, found);
    return found;
  };

  return {
    reason: (name) => known.get(name)?.reason ?? "not asked since the daemon started",
    choose: async (wish) => {
      const refusals: string[] = [];
      for (const name of wish === null ? order : [wish]) {
        const found = await probe(name);
        if (found.ok) {
          const { binary, accelerator, reason } = found;
          return { driver: drivers[name], binary, accelerator, reason, tscKhz: await options.tscKhz(accelerator) };
        }
        if (wish !== null && found.package !== null)
          throw fail("host.command_missing", { command: name, package: found.package });
        refusals.push(found.reason);
      }
      throw fail("vmm.unavailable", { vmm: wish ?? "any VMM", detail: refusals.join("; ") });
    },
  };
};
