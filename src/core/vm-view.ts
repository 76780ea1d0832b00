// Turns a record and what is known of the host into the VM object that people and programs see.

import type { ForwardRow, GuestPort, HostSocket } from "../spec/ports.ts";
import type { Address, ClockReading, Vm, VmRecord } from "../spec/vm.ts";
import { reachOf } from "./guest-ports.ts";
import { addressOf } from "./net-plan.ts";

/** The instance's subnet, and the block of this host's loopback that stands for its guests in namespaces; null before the first VM of a kind. */
export type Blocks = { subnet: string | null; loopback: string | null };

export type ViewFacts = {
  blocks: Blocks;
  zone: string;
  diskUsedMiB: number | null;
  vmmReason: string;
  clock: ClockReading | null;
  kernelRelease: string;
  /** Whether this host's resolver leads to our name server. */
  isNamed: boolean;
  /** What its helper says that listens in it. */
  ports: readonly GuestPort[];
  /** What of them is opened on this host; null where nothing has to be. */
  published: readonly HostSocket[] | null;
  /** What of this host leads to it. */
  forwards: readonly ForwardRow[];
};

/** The addresses of a VM: on a bridge people reach it by the guest's own address, in a namespace by one of this host's loopback. */
export const addressesOf = (record: VmRecord, { subnet, loopback }: Blocks): Address[] =>
  record.spec.networks.flatMap(({ mode, slot }): Address[] => {
    const sides = [
      { side: "guest" as const, block: subnet },
      { side: "host" as const, block: mode === "bridge" ? subnet : loopback },
    ];
    return sides.flatMap(({ side, block }) =>
      block === null ? [] : [{ address: addressOf(block, slot), family: "ipv4", side }],
    );
  });

export const renderVm = (record: VmRecord, facts: ViewFacts): Vm => {
  const { spec, runtime } = record;
  const addresses = addressesOf(record, facts.blocks);
  const addressAt = (wanted: Address["side"]) => addresses.find(({ side }) => side === wanted)?.address ?? null;
  const sides = { guest: addressAt("guest"), host: addressAt("host"), published: facts.published };
  return {
    id: record.id,
    name: spec.name,
    state: record.state,
    vmm: spec.vmm,
    vmmReason: facts.vmmReason,
    privilege: runtime.privilege,
    accelerator: runtime.accelerator,
    image: spec.imageName,
    kernel: spec.kernelId,
    kernelRelease: facts.kernelRelease,
    user: spec.user.name,
    vcpus: spec.vcpus,
    memoryMiB: spec.memoryMiB,
    diskMiB: spec.disks[0]?.sizeMiB ?? 0,
    diskUsedMiB: facts.diskUsedMiB,
    network: spec.networks[0]?.mode ?? "bridge",
    addresses,
    ports: facts.ports.map((port) => ({ ...port, reach: reachOf(port, sides) })),
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
