// The methods on VMs: look one up, take its lock, do it, and answer with the VM as it is then.
import { parseDurationMs } from "../../core/duration.ts";
import { planVmPaths } from "../../core/paths.ts";
import { resolveVm } from "../../core/resolve-vm.ts";
import { describeUnknown, fail } from "../../spec/errors.ts";
import type { Call, Handlers, ParsedInput } from "../../spec/rpc/contract.ts";
import type { VmRecord } from "../../spec/vm.ts";
import type { Context } from "../context.ts";
import { gatherStart } from "../gather-start.ts";
import { createVm, deleteVm, startVm, stopVm, tellOfProof } from "../operate.ts";
import { CREATE_LOCK, chooseMode, prepareCreate } from "../prepare-create.ts";
import { viewOf } from "../view.ts";

type VmHandlers = Pick<
  Handlers,
  | "vm.create"
  | "vm.start"
  | "vm.plan"
  | "vm.stop"
  | "vm.restart"
  | "vm.kill"
  | "vm.delete"
  | "vm.list"
  | "vm.show"
  | "vm.set"
  | "vm.rename"
  | "vm.label"
>;

type Found = Pick<VmRecord, "id" | "state" | "spec">;

/** The record a reference means. Errors: vm.not_found, vm.ambiguous. */
export const findVm = (context: Context, ref: string, match: "exact" | "prefix" = "prefix"): VmRecord => {
  const records = context.store.vms.all();
  const { id } = resolveVm(
    records.map((record) => ({ id: record.id, name: record.spec.name })),
    ref,
    match,
  );
  const found = records.find((record) => record.id === id);
  if (!found) throw fail("vm.not_found", { vm: ref });
  return found;
};

const wrongState = (record: Found, verb: string, needs: readonly string[]) =>
  fail("vm.wrong_state", { vm: record.spec.name, state: record.state, verb, needs });

/** Runs `work` with the VM's lock, on its record as it is then: another operation may have changed or deleted it meanwhile. */
export const withVm = <Result>(
  context: Context,
  found: VmRecord,
  work: (record: VmRecord) => Promise<Result>,
): Promise<Result> =>
  context.locks.run(found.id, async () => {
    const record = context.store.vms.get(found.id);
    if (!record) throw fail("vm.not_found", { vm: found.spec.name });
    return work(record);
  });

const timeoutOf = (text: string | undefined): number | null => (text === undefined ? null : parseDurationMs(text));

type StepCall = Pick<Call<"vm.start">, "requestedBy" | "emit" | "signal">;

export const vmHandlers = (context: Context): VmHandlers => {
  const { store } = context;

  const changed = async (record: VmRecord, isChanged: boolean) => ({
    ...(await viewOf(context, store.vms.get(record.id) ?? record)),
    changed: isChanged,
  });

  const start = async (record: VmRecord, call: StepCall, options: { wait: boolean; timeout: string | undefined }) =>
    startVm(context, record.id, {
      requestedBy: call.requestedBy,
      emit: call.emit,
      signal: call.signal,
      isWaiting: options.wait,
      readyTimeoutMs: timeoutOf(options.timeout),
    });

  const stop = (record: VmRecord, call: Pick<StepCall, "requestedBy" | "emit">, rung: "ask" | "term" | "kill") =>
    stopVm(context, record.id, { requestedBy: call.requestedBy, emit: call.emit, from: rung, cause: "stopped" });

  return {
    "vm.create": async (input, call) => {
      await context.settleVmms(tellOfProof(call.emit));
      const mode = await chooseMode(context, input.network);
      await context.doctor.preflight(input.start ? ["vm.create", "vm.start"] : ["vm.create"], { mode });
      const made = await context.locks.run(CREATE_LOCK, async () => {
        const prepared = await prepareCreate(context, input, { mode });
        await createVm(context, prepared, call);
        return prepared.record;
      });
      if (!input.start) return viewOf(context, findVm(context, made.id, "exact"));
      return context.locks.run(made.id, async () => {
        try {
          return await viewOf(context, await start(made, call, { wait: input.wait, timeout: input.timeout }));
        } catch (error) {
          // What could not be started was never acknowledged: the same command can be typed again. The cause is what its maker must hear
          // of; what could not be deleted keeps its record, with a failure of its own.
          await deleteVm(context, made.id, { requestedBy: call.requestedBy, emit: call.emit }).catch((second) =>
            context.log.warn("a VM that could not be started was not deleted", {
              vm: made.spec.name,
              detail: describeUnknown(second),
            }),
          );
          throw error;
        }
      });
    },

    "vm.start": (input, call) =>
      withVm(context, findVm(context, input.vm), async (record) => {
        if (record.state === "running") return changed(record, false);
        return changed(await start(record, call, { wait: input.wait, timeout: input.timeout }), true);
      }),

    "vm.plan": async (input) => {
      const { plan } = await gatherStart(context, findVm(context, input.vm), { readyTimeoutMs: null });
      return plan;
    },

    "vm.stop": (input, call) =>
      withVm(context, findVm(context, input.vm), async (record) => {
        if (record.state === "stopped") return changed(record, false);
        return changed(await stop(record, call, input.force ? "term" : "ask"), true);
      }),

    "vm.restart": (input, call) =>
      withVm(context, findVm(context, input.vm), async (record) => {
        // Before it is stopped: one that could not be started again is left running.
        await context.doctor.preflight(["vm.start"], { mode: record.spec.networks[0]?.mode ?? "bridge" });
        const stopped = record.state === "stopped" ? record : await stop(record, call, input.force ? "term" : "ask");
        return changed(await start(stopped, call, { wait: true, timeout: input.timeout }), true);
      }),

    "vm.kill": (input, call) =>
      withVm(context, findVm(context, input.vm, "exact"), async (record) => {
        if (record.state === "stopped") return changed(record, false);
        return changed(await stop(record, call, "kill"), true);
      }),

    "vm.delete": (input, call) =>
      withVm(context, findVm(context, input.vm, "exact"), async (record) => {
        if (record.state === "running" && !input.force) throw fail("vm.running", { vm: record.spec.name });
        await deleteVm(context, record.id, { requestedBy: call.requestedBy, emit: call.emit });
        return { id: record.id, name: record.spec.name, deleted: true as const };
      }),

    "vm.list": async (input) => {
      const wanted = Object.entries(input.label);
      const records = store.vms.all().filter(({ spec }) => wanted.every(([key, value]) => spec.labels[key] === value));
      return Promise.all(records.map((record) => viewOf(context, record)));
    },

    "vm.show": async (input) => viewOf(context, findVm(context, input.vm)),

    "vm.set": (input) =>
      withVm(context, findVm(context, input.vm), async (record) =>
        changed(record, await setVm(context, record, input)),
      ),

    "vm.rename": (input) =>
      withVm(context, findVm(context, input.vm), async (record) => {
        if (record.spec.name === input.name) return changed(record, false);
        if (record.state !== "stopped") throw wrongState(record, "rename", ["stopped"]);
        store.vms.updateSpec(record.id, { ...record.spec, name: input.name, hostname: input.name });
        context.bus.publish({ type: "vm.changed", vm: input.name, id: record.id, fields: ["name", "hostname"] });
        return changed(record, true);
      }),

    "vm.label": (input) =>
      withVm(context, findVm(context, input.vm), async (record) => {
        const labels = { ...record.spec.labels, ...input.set };
        for (const key of input.remove) delete labels[key];
        store.vms.updateSpec(record.id, { ...record.spec, labels });
        context.bus.publish({ type: "vm.changed", vm: record.spec.name, id: record.id, fields: ["labels"] });
        return changed(record, true);
      }),
  };
};

/** Changes the size of a stopped VM; a disk grows before its spec says so, and growing again is harmless. */
const setVm = async (context: Context, record: VmRecord, input: ParsedInput<"vm.set">): Promise<boolean> => {
  const { store, host } = context;
  const { spec } = record;
  if (record.state !== "stopped") throw wrongState(record, "change", ["stopped"]);
  const facts = await host.facts();
  if (input.memory !== undefined && input.memory > facts.memoryMiB)
    throw fail("host.memory_short", { neededMiB: input.memory, hostMiB: facts.memoryMiB });
  const currentMiB = spec.disks[0]?.sizeMiB ?? 0;
  if (input.disk !== undefined && input.disk < currentMiB)
    throw fail("vm.disk_shrink", { vm: spec.name, currentMiB, wantedMiB: input.disk });
  const kernelId = input.kernel
    ? (await context.images.kernelFor(context.images.resolve(spec.imageId), input.kernel)).id
    : spec.kernelId;
  const next = {
    ...spec,
    kernelId,
    vcpus: input.vcpu ?? spec.vcpus,
    memoryMiB: input.memory ?? spec.memoryMiB,
    hasWildcardName: input.dnsWildcard ?? spec.hasWildcardName,
    networks: spec.networks.map((link) => ({ ...link, mode: input.network ?? link.mode })),
    disks: spec.disks.map((disk) => (disk.role === "root" ? { ...disk, sizeMiB: input.disk ?? disk.sizeMiB } : disk)),
  };
  const fields = [
    next.vcpus === spec.vcpus ? null : "vcpus",
    next.memoryMiB === spec.memoryMiB ? null : "memoryMiB",
    next.disks[0]?.sizeMiB === currentMiB ? null : "diskMiB",
    next.hasWildcardName === spec.hasWildcardName ? null : "dnsWildcard",
    next.networks[0]?.mode === spec.networks[0]?.mode ? null : "network",
    next.kernelId === spec.kernelId ? null : "kernel",
  ].filter((field) => field !== null);
  if (fields.length === 0) return false;
  if (input.disk !== undefined && input.disk > currentMiB)
    await host.files.growDisk(planVmPaths(context.paths, record.id).disk, input.disk);
  store.vms.updateSpec(record.id, next);
  context.bus.publish({ type: "vm.changed", vm: spec.name, id: record.id, fields });
  return true;
};
