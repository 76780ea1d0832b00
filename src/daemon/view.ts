// The VM object of a record, with what has to be looked up on the host.

import { planVmPaths } from "../core/paths.ts";
import { addressesOf, renderVm } from "../core/vm-view.ts";
import type { Vm, VmRecord } from "../spec/vm.ts";
import type { Context } from "./context.ts";
import { forwardRowsOf } from "./forward-rows.ts";

/** The VM as people and programs see it; asking for the disk's real use is one stat(2). */
export const viewOf = async (context: Context, record: VmRecord): Promise<Vm> => {
  const { disk } = planVmPaths(context.paths, record.id);
  const diskUsedMiB = await context.host.files.diskUsedMiB(disk).catch(() => null);
  return renderVm(record, {
    subnet: context.subnet.known(),
    zone: context.config().dns.zone,
    diskUsedMiB,
    isNamed: context.names.isWired(),
    vmmReason: record.runtime.vmmReason ?? context.vmmReason(record.spec.vmm),
    clock: context.clocks.reading(record.id),
    ports: context.live.get(record.id)?.ports.current() ?? [],
    forwards: forwardRowsOf(context, record),
  });
};

/** The address people here reach a VM by, null before the instance has a network. */
export const hostAddressOf = (context: Context, record: VmRecord): string | null =>
  addressesOf(record, context.subnet.known()).find(({ side }) => side === "host")?.address ?? null;

/** The address the guest itself has. */
export const guestAddressOf = (context: Context, record: VmRecord): string | null =>
  addressesOf(record, context.subnet.known()).find(({ side }) => side === "guest")?.address ?? null;
