// The VM object of a record, with what has to be looked up on the host.

import type { Sides } from "../core/guest-ports.ts";
import { planVmPaths } from "../core/paths.ts";
import { addressesOf, type Blocks, renderVm } from "../core/vm-view.ts";
import type { Address, Vm, VmRecord } from "../spec/vm.ts";
import type { Context } from "./context.ts";
import { forwardRowsOf } from "./forward-rows.ts";

const blocksOf = ({ subnet, loopback }: Context): Blocks => ({ subnet: subnet.known(), loopback: loopback.known() });

/** The VM as people and programs see it; asking for the disk's real use is one stat(2). */
export const viewOf = async (context: Context, record: VmRecord): Promise<Vm> => {
  const { disk } = planVmPaths(context.paths, record.id);
  const diskUsedMiB = await context.host.files.diskUsedMiB(disk).catch(() => null);
  return renderVm(record, {
    blocks: blocksOf(context),
    zone: context.config().dns.zone,
    diskUsedMiB,
    isNamed: context.names.isWired(),
    vmmReason: record.runtime.vmmReason ?? context.vmmReason(record.spec.vmm),
    kernelRelease: context.store.kernels.get(record.spec.kernelId)?.release ?? "unknown",
    clock: context.clocks.reading(record.id),
    ports: context.live.get(record.id)?.ports.current() ?? [],
    published: publishedOf(context, record),
    forwards: forwardRowsOf(context, record),
  });
};

/** The address people here reach a VM by, null before the instance has a network. */
export const hostAddressOf = (context: Context, record: VmRecord): string | null => sideOf(context, record, "host");

/** The address the guest itself has. */
export const guestAddressOf = (context: Context, record: VmRecord): string | null => sideOf(context, record, "guest");

/** What is opened here for a VM in a namespace; null on a bridge, where nothing has to be. */
const publishedOf = (context: Context, record: VmRecord): Sides["published"] =>
  record.spec.networks[0]?.mode === "namespace" ? context.ports.published(record.id) : null;

export const sidesOf = (context: Context, record: VmRecord): Sides => ({
  guest: guestAddressOf(context, record),
  host: hostAddressOf(context, record),
  published: publishedOf(context, record),
});

const sideOf = (context: Context, record: VmRecord, wanted: Address["side"]): string | null =>
  addressesOf(record, blocksOf(context)).find(({ side }) => side === wanted)?.address ?? null;
