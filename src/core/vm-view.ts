// Turns a record and what is known of the host into the VM object that people and programs see.

import type { ForwardRow, GuestPort } from "../spec/ports.ts";
import type { Address, ClockReading, Vm, VmRecord } from "../spec/vm.ts";
import { addressOf } from "./net-plan.ts";

export type ViewFacts = {
  /** The instance's subnet, null before its first VM. */
  subnet: string | null;
  zone: string;
  diskUsedMiB: number | null;
  vmmReason: string;
  clock: ClockReading | null;
  /** Whether this host's resolver leads to our name server. */
  isNamed: boolean;
  /** What its helper says that listens in it. */
  ports: readonly GuestPort[];
  /** What of this host leads to it. */
  forwards: readonly ForwardRow[];
};

/** The addresses of a VM: in bridge mode people reach it by the guest's own address. */
export const addressesOf = (record: VmRecord, subnet: string | null): Address[] =>
  subnet === null
    ? []
    : record.spec.networks.flatMap(({ mode, slot }): Address[] => {
        const address = addressOf(subnet, slot);
        return mode === "bridge"
          ? [
              { address, family: "ipv4", side: "guest" },
              { address, family: "ipv4", side: "host" },
            ]
          : [{ address, family: "ipv4", side: "guest" }];
      });

export const renderVm = (record: VmRecord, facts: ViewFacts): Vm => {
  const { spec, runtime } = record;
  return {
    id: record.id,
    name: spec.name,
    state: record.state,
    vmm: spec.vmm,
    vmmReason: facts.vmmReason,
    accelerator: runtime.accelerator,
    image: spec.imageName,
    kernel: spec.kernelId,
    user: spec.user.name,
    vcpus: spec.vcpus,
    memoryMiB: spec.memoryMiB,
    diskMiB: spec.disks[0]?.sizeMiB ?? 0,
    diskUsedMiB: facts.diskUsedMiB,
    network: spec.networks[0]?.mode ?? "bridge",
    addresses: addressesOf(record, facts.subnet),
    ports: [...facts.ports],
    forwards: [...facts.forwards],
    hostname: spec.hostname,
    fqdn: `${spec.hostname}.${facts.zone}`,
    isFoundByName: facts.isNamed && record.state === "running",
    dnsWildcard: spec.hasWildcardName,
    labels: spec.labels,
    createdAt: record.createdAt,
    startedAt: runtime.startedAt,
    pid: runtime.process?.pid ?? null,
    lastEnd: runtime.lastEnd,
    lastError: runtime.lastError,
    pendingRestart: runtime.pendingRestart,
    clock: record.state === "running" ? facts.clock : null,
  };
};
