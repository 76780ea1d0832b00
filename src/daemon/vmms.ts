// Finds out once per daemon which VMMs work on this host, and remembers why.
import type { Host } from "../host/host.ts";
import { fail } from "../spec/errors.ts";
import { VmmName } from "../spec/vm.ts";
import { PROBE_TIMEOUT_MS } from "../vmm/boot-proof.ts";
import type { ProbeOptions, VmmDriver, VmmProbe } from "../vmm/driver.ts";
import { chooseDriver, type Probes } from "../vmm/index.ts";
import type { ChosenVmm } from "./context.ts";

export type VmmFinder = {
  /** Null means `auto`. Errors: vmm.unavailable, host.command_missing. */
  choose(wish: VmmName | null): Promise<ChosenVmm>;
  reason(name: VmmName): string;
  /** Whether this VMM works here; remembered once it does. */
  probe(name: VmmName): Promise<VmmProbe>;
  /** Has it found out what the others need to know, and calls `onProof` when that means booting a guest. Never fails: what was found is theirs to judge. */
  settle(onProof: () => void): Promise<void>;
};

export const createVmmFinder = (options: {
  drivers: Readonly<Record<VmmName, VmmDriver>>;
  host: Host;
  cacheDir: string;
  /** A kernel that VMs here use, for proving KVM; null while there is no image. */
  kernel: () => string | null;
  tscKhz: (accelerator: "kvm" | "tcg") => Promise<number | null>;
  program?: NonNullable<ProbeOptions["program"]>;
  now?: () => number;
}): VmmFinder => {
  const { drivers, host, cacheDir, now = Date.now } = options;
  const known = new Map<VmmName, VmmProbe>();
  const asked = new Map<VmmName, Promise<VmmProbe>>();

  const ask = async (name: VmmName, onProof: () => void): Promise<VmmProbe> => {
    const bootId = await host.bootId();
    await host.files.makeDir(cacheDir);
    const kernel = options.kernel();
    const found = await drivers[name].probe({
      cacheDir,
      bootId,
      processes: host.processes,
      kernel,
      signal: AbortSignal.timeout(PROBE_TIMEOUT_MS),
      onProof,
      now,
      ...(options.program ? { program: options.program } : {}),
    });
    // A VMM that was missing may be installed any moment, and KVM is not proved without a kernel: both are asked again.
    if (found.ok && kernel !== null) known.set(name, found);
    return found;
  };

  /** VMs made side by side on a host that was just started wait for one proof, not for one each. */
  const askShared = (name: VmmName, onProof: () => void): Promise<VmmProbe> => {
    const asking = asked.get(name) ?? ask(name, onProof).finally(() => asked.delete(name));
    asked.set(name, asking);
    return asking;
  };

  const probe = async (name: VmmName, onProof = () => {}): Promise<VmmProbe> => {
    const found = known.get(name);
    if (!found) return await askShared(name, onProof);
    // What a busy host explains is asked again when it is time, beside whoever wants a VM now: most often it is no different.
    if (found.againMs !== undefined && now() >= found.againMs) askShared(name, () => {}).catch(() => {});
    return found;
  };

  return {
    probe: (name) => probe(name),
    settle: async (onProof) => {
      await Promise.allSettled(VmmName.options.map((name) => probe(name, onProof)));
    },
    reason: (name) => known.get(name)?.reason ?? "not asked since the daemon started",
    choose: async (wish) => {
      const names = wish === null ? VmmName.options : [wish];
      const probes = Object.fromEntries(
        await Promise.all(names.map(async (name) => [name, await probe(name)] as const)),
      ) as Probes;
      const choice = chooseDriver(wish ?? "auto", probes);
      const [missing] = choice.ok ? [] : choice.packages;
      if (missing !== undefined) throw fail("host.command_missing", { command: choice.vmm, package: missing });
      if (!choice.ok) throw fail("vmm.unavailable", { vmm: choice.vmm, detail: choice.reason });
      const found = probes[choice.vmm];
      if (!found?.ok) throw fail("vmm.unavailable", { vmm: choice.vmm, detail: "it was not asked" });
      return {
        driver: drivers[choice.vmm],
        binary: found.binary,
        accelerator: choice.accelerator,
        reason: choice.reason,
        tscKhz: await options.tscKhz(choice.accelerator),
      };
    },
  };
};
