// The VMMs that banger knows, and the decision which of them runs a VM on this host.
import type { VmmName } from "../spec/vm.ts";
import type { VmmDriver, VmmProbe } from "./driver.ts";

import { firecrackerDriver } from "./firecracker/driver.ts";
import { qemuDriver } from "./qemu/driver.ts";

export const drivers: Readonly<Record<VmmName, VmmDriver>> = {
  firecracker: firecrackerDriver,
  qemu: qemuDriver,
};

/** The order in which `auto` considers them. */
export const driverOrder: readonly VmmName[] = Object.keys(drivers) as VmmName[];

export type DriverChoice =
  | { ok: true; vmm: VmmName; accelerator: "kvm" | "tcg"; reason: string }
  | { ok: false; vmm: VmmName | "auto"; reason: string; packages: readonly string[] };

/** What was found out about VMMs on this host; one that nobody asked about is left out. */
export type Probes = Readonly<Partial<Record<VmmName, VmmProbe>>>;

const refused = (vmm: VmmName | "auto", reason: string, probes: readonly VmmProbe[]): DriverChoice => ({
  ok: false,
  vmm,
  reason,
  packages: probes.flatMap((probe) => (!probe.ok && probe.package ? [probe.package] : [])),
});

/**
 * The VMM for a VM, and why, in a sentence for people. A VM that names one gets that or none; `auto` takes the first that
 * KVM serves, else the first that works at all. Pure.
 */
export const chooseDriver = (wanted: VmmName | "auto", probes: Probes): DriverChoice => {
  const names = wanted === "auto" ? driverOrder : [wanted];
  const found = names.flatMap((name) => (probes[name] ? [{ name, probe: probes[name] }] : []));
  const usable = found.flatMap(({ name, probe }) => (probe.ok ? [{ name, probe }] : []));
  const best = usable.find(({ probe }) => probe.accelerator === "kvm") ?? usable[0];
  if (best) {
    return { ok: true, vmm: best.name, accelerator: best.probe.accelerator, reason: best.probe.reason };
  }
  const reasons = found.map(({ name, probe }) => (probe.ok ? "" : `${name}: ${probe.reason}`));
  return refused(
    wanted,
    reasons.join("; "),
    found.map(({ probe }) => probe),
  );
};
