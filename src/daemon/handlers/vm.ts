// The methods on VMs: look one up, take its lock, do it, and answer with the VM as it is then.
import { randomInt } from "node:crypto";
import { parseDurationMs } from "../../core/duration.ts";
import { generateName } from "../../core/generated-name.ts";
import { chooseSlot } from "../../core/net-plan.ts";
import { planVmPaths } from "../../core/paths.ts";
import { planCreate, planSpec, planUser } from "../../core/plan-create.ts";
import { resolveVm } from "../../core/resolve-vm.ts";
import { mergeKeys, parsePublicKeys } from "../../core/ssh-keys.ts";
import { fail } from "../../spec/errors.ts";
import type { Call, Handlers, ParsedInput } from "../../spec/rpc/contract.ts";
import { emptyRuntime, type VmRecord } from "../../spec/vm.ts";
import type { Context } from "../context.ts";
import { gatherStart } from "../gather-start.ts";
import { createVm, deleteVm, startVm, stopVm } from "../operate.ts";
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
const withVm = <Result>(
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
      // Names and slots are chosen under one lock, so that two creations never choose the same.
      const made = await context.locks.run("create", async () => {
        const prepared = await prepareCreate(context, input);
        await createVm(context, prepared, call);
        return prepared.record;
      });
      if (!input.start) return viewOf(context, findVm(context, made.id, "exact"));
      return context.locks.run(made.id, async () => {
        try {
          return await viewOf(context, await start(made, call, { wait: input.wait, timeout: input.timeout }));
        } catch (error) {
          // What could not be started was never acknowledged: the same command can be typed again.
          await deleteVm(context, made.id, { requestedBy: call.requestedBy, emit: call.emit });
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
  const next = {
    ...spec,
    vcpus: input.vcpu ?? spec.vcpus,
    memoryMiB: input.memory ?? spec.memoryMiB,
    disks: spec.disks.map((disk) => (disk.role === "root" ? { ...disk, sizeMiB: input.disk ?? disk.sizeMiB } : disk)),
  };
  const fields = [
    next.vcpus === spec.vcpus ? null : "vcpus",
    next.memoryMiB === spec.memoryMiB ? null : "memoryMiB",
    next.disks[0]?.sizeMiB === currentMiB ? null : "diskMiB",
  ].filter((field) => field !== null);
  if (fields.length === 0) return false;
  if (input.disk !== undefined && input.disk > currentMiB)
    await host.files.growDisk(planVmPaths(context.paths, record.id).disk, input.disk);
  store.vms.updateSpec(record.id, next);
  context.bus.publish({ type: "vm.changed", vm: spec.name, id: record.id, fields });
  return true;
};

/** Everything about a new VM is decided and checked here, before anything is made. */
const prepareCreate = async (context: Context, input: ParsedInput<"vm.create">) => {
  const { store, images, host, paths, config } = context;
  const records = store.vms.all();
  const names = new Set(records.map(({ spec }) => spec.name));
  if (input.name !== undefined && names.has(input.name)) throw fail("vm.name_taken", { name: input.name });
  const { vm: defaults, vmm, network } = config();
  const image = images.resolve(input.image ?? defaults.image);
  const [root, facts, chosen] = await Promise.all([
    images.rootOf(image),
    host.facts(),
    context.chooseVmm(input.vmm === undefined ? vmm.prefer : input.vmm === "auto" ? null : input.vmm),
  ]);
  const slot = chooseSlot(records.flatMap(({ spec }) => spec.networks.map(({ slot }) => slot)));
  if (slot === null) throw fail("net.addresses_exhausted", { subnet: await context.subnet.choose() });
  const vmId = context.randomHex(12);
  const user = planUser(facts);
  const given = await Promise.all(input.sshKey.map((key) => readKeys(context, key)));
  const own = defaults.sshKeys
    ? await Promise.all(defaults.sshKeys.map((key) => readKeys(context, key)))
    : facts.publicKeys.map(({ path, text }) => safeKeys(text, path));
  const spec = planSpec(
    {
      name: input.name ?? generateName(names, () => randomInt(2 ** 32) / 2 ** 32),
      vcpus: input.vcpu ?? defaults.vcpus,
      memoryMiB: input.memory ?? defaults.memoryMiB,
      diskMiB: input.disk ?? Math.max(defaults.diskMiB, root.sizeMiB),
      labels: input.label,
      authorizedKeys: mergeKeys([[await bangerKey(context)], ...own, ...given]),
      hasUserData: input.userData !== undefined,
    },
    {
      vmId,
      instance: paths.instance,
      machineId: context.randomHex(32),
      slot,
      image: { id: image.id, name: image.name, kernelId: image.kernelId, rootPath: root.path, sizeMiB: root.sizeMiB },
      vmm: chosen.driver.name,
      networkMode: network.mode ?? "bridge",
      host: { cpus: facts.cpus, memoryMiB: facts.memoryMiB },
      user:
        defaults.user === null
          ? user
          : { ...user, name: defaults.user, home: defaults.user === "root" ? "/root" : `/home/${defaults.user}` },
    },
  );
  const vmPaths = planVmPaths(paths, vmId);
  const record: VmRecord = {
    id: vmId,
    state: "creating",
    spec,
    runtime: emptyRuntime,
    createdAt: context.now().toISOString(),
  };
  return {
    record,
    plan: planCreate({ vmId, spec, paths: vmPaths, imagePath: root.path }),
    userData: input.userData === undefined ? null : await readUserData(context, input.userData),
    userDataPath: vmPaths.userData,
  };
};

/** A key's own text, or the keys in the file of that name. */
const readKeys = async (context: Context, key: string): Promise<string[]> => {
  if (!key.startsWith("/") && !key.startsWith("~/")) return parsePublicKeys(key, "--ssh-key");
  const path = key.startsWith("~/") ? `${(await context.host.facts()).home}${key.slice(1)}` : key;
  const text = await context.host.files.read(path);
  if (text === null) throw fail("host.file_failed", { path, operation: "read", detail: "there is no such file" });
  return parsePublicKeys(text, path);
};

/** The user's own key files are taken as they are found: one that is broken does not keep a VM from being made. */
const safeKeys = (text: string, path: string): string[] => {
  try {
    return parsePublicKeys(text, path);
  } catch {
    return [];
  }
};

const readUserData = async (context: Context, path: string): Promise<string> => {
  const text = await context.host.files.read(path);
  if (text === null) throw fail("host.file_failed", { path, operation: "read", detail: "there is no such file" });
  return text.startsWith("#!") ? text : `#!/bin/sh\n${text}`;
};

/** banger's own key pair, made once per instance: it lets `banger ssh` in whatever keys the user has. */
export const bangerKeyPath = (context: Context): string => `${context.paths.keysDir}/id_ed25519`;

const bangerKey = async (context: Context): Promise<string> => {
  const { host, paths } = context;
  const path = bangerKeyPath(context);
  const existing = await host.files.read(`${path}.pub`);
  if (existing !== null) return existing.trim();
  await host.files.makeDir(paths.keysDir);
  await host.processes.runCommand({
    argv: ["/usr/bin/ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", `banger-${paths.instance}`, "-f", path],
    timeoutMs: 10_000,
    package: "openssh-client",
  });
  return ((await host.files.read(`${path}.pub`)) ?? "").trim();
};
