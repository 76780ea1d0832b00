// Brings records and host together when the daemon starts, and again whenever it is asked to: every open operation is adopted, undone or finished.
import { decideRecovery, type Observed, type Recovery } from "../core/decide-recovery.ts";
import { isTransitional } from "../core/vm-state.ts";
import { isSimulatedCrash, undoSteps } from "../engine/step.ts";
import { describeUnknown, hasCode, reportOf } from "../spec/errors.ts";
import type { StartPlan } from "../spec/plan.ts";
import type { Operation } from "../spec/records.ts";
import type { EndCause, NetworkMode, VmRecord } from "../spec/vm.ts";
import type { Context } from "./context.ts";
import { createSteps } from "./create.ts";
import { openLive } from "./live.ts";
import { deleteVm, failUndo, forget, leaveWith, setState, stopVm } from "./operate.ts";
import { placesOf, readCreatePlan, readStartPlan } from "./stored-plan.ts";

const SHIM_TIMEOUT_MS = 2000;
const ATTACH_TIMEOUT_MS = 2000;
const SETTLE_MS = 500;
const caller = { requestedBy: "recovery", emit: () => {} };

/** What became of each VM that needed something; for the log and for tests. */
export type RecoveryReport = { vm: string; action: Recovery["action"]; failure: string | null }[];

/** Looks at every VM. One that fails does not keep the others from being recovered. */
export const recover = async (context: Context): Promise<RecoveryReport> => {
  const { store, log } = context;
  const report: RecoveryReport = [];
  const found = await Promise.all(store.vms.all().map((record) => look(context, record)));
  await renewNetwork(context, found);
  for (const one of found) {
    const { record, recovery } = one;
    if (recovery.action === "none") continue;
    await context.locks.run(record.id, async () => {
      const failure = await carryOut(context, one).then(
        () => null,
        (error) => {
          // What is between two states is nothing that anybody could go on from.
          const now = isSimulatedCrash(error) ? null : store.vms.get(record.id);
          if (now && isTransitional(now.state)) leaveWith(context, record.id, error);
          return describeUnknown(error);
        },
      );
      log.info("recovered", { vm: record.spec.name, action: recovery.action, failure });
      report.push({ vm: record.spec.name, action: recovery.action, failure });
    });
  }
  return report;
};

/** A VM and what is to become of it; `obstacle` is why it could not even be looked at. */
type Found = { record: VmRecord; recovery: Recovery; obstacle: unknown };

/** A VM whose plan cannot be read, of a newer banger's say, is left as it is. */
const look = async (context: Context, record: VmRecord): Promise<Found> => {
  try {
    const recovery = decideRecovery(situationOf(context, record), await observeSettled(context, record));
    return { record, recovery, obstacle: null };
  } catch (obstacle) {
    return { record, recovery: { action: "leave", reason: describeUnknown(obstacle) }, obstacle };
  }
};

/** The rules for everyone who stays are applied as one, before anything is taken back: adding them one by one would cut off the rest. */
const renewNetwork = async (context: Context, found: readonly Found[]): Promise<void> => {
  const { vms, journal } = context.store;
  const staying = found.filter(({ recovery }) => recovery.action === "adopt" || recovery.action === "leave");
  // Those whose records cannot be read, of a newer banger say, run on beside the others.
  const ids = [...staying.map(({ record }) => record.id), ...vms.unreadable().map(({ id }) => id)];
  const places = ids.flatMap((id) => placesOf(journal.standing(id, "vm.start")));
  const isOurs = found.some(({ recovery }) => recovery.action !== "none");
  if (!isOurs) return;
  const serve = async (mode: NetworkMode) => {
    const first = places.find((place) => place.mode === mode);
    if (!first) return;
    await context.names
      .serveGuests(first, caller.requestedBy)
      .catch((error) => context.log.warn("guests' names are not answered", { detail: describeUnknown(error) }));
  };
  // Before the rules, which lead guests' questions to the port where this daemon answers: its predecessor's is closed.
  await serve("bridge");
  await context.network
    .ensure(places, caller.requestedBy)
    // Without the privileged helper the VMs still run on the rules they have.
    .catch((error) => context.log.warn("the network could not be renewed", { detail: describeUnknown(error) }));
  // There the sockets come after: they are made inside, and the rules follow them.
  await serve("namespace");
};

const situationOf = ({ store }: Context, record: VmRecord) => {
  const progressOf = (operation: Operation | null) =>
    operation && {
      isComplete: operation.doneAt !== null,
      isUndoBegun: operation.steps.some(({ phase }) => phase === "undone" || phase === "undo_failed"),
    };
  return {
    state: record.state,
    openCreate: progressOf(store.journal.standing(record.id, "vm.create")),
    openStart: progressOf(store.journal.standing(record.id, "vm.start")),
  };
};

/** A VMM that is just ending answers no more and is not gone yet: what cannot be proved is looked at again before it is given up. */
const observeSettled = async (context: Context, record: VmRecord): Promise<Observed> => {
  const observed = await observe(context, record);
  if (observed.vmm !== "unproven") return observed;
  await Bun.sleep(SETTLE_MS);
  return await observe(context, record);
};

/** Finds out whether the VMM of a VM runs and is ours: the shim's word, its child's start time and boot id, and the VM id in the VMM's own words. */
const observe = async (context: Context, record: VmRecord): Promise<Observed> => {
  const { store, shims, host } = context;
  const operation = store.journal.standing(record.id, "vm.start");
  if (!operation) return { vmm: "gone", endCause: null };
  const plan = readStartPlan(context, operation);
  const shim = shims.connect({ path: plan.paths.shimControl, vm: plan.vm.name });
  try {
    const identity = await shim.hello({ timeoutMs: SHIM_TIMEOUT_MS });
    const isSame = identity.id === record.id && (await host.processes.prove(identity)) === "same";
    return { vmm: isSame && (await saysItIs(context, plan)) ? "ours" : "unproven", endCause: null };
  } catch (error) {
    if (!hasCode(error, "vmm.shim_lost")) return { vmm: "unproven", endCause: null };
    return { vmm: "gone", endCause: await endCauseOf(context, plan, record) };
  } finally {
    shim.close();
  }
};

const saysItIs = async (context: Context, plan: StartPlan): Promise<boolean> => {
  const signal = AbortSignal.timeout(ATTACH_TIMEOUT_MS);
  const driver = context.drivers[plan.vmm];
  const control = await driver.attach(plan.launch, { vm: plan.vm.name, timeoutMs: ATTACH_TIMEOUT_MS, signal });
  try {
    return (await control.identify()) === plan.vm.id;
  } finally {
    control.close();
  }
};

/** What the shim wrote about an end that no daemon saw; a record from another boot means that the host went down under the VM. */
const endCauseOf = async (context: Context, plan: StartPlan, record: VmRecord): Promise<EndCause> => {
  const status = await context.shims.readStatus(plan.paths.shimStatus);
  const bootId = await context.host.bootId();
  const process = record.runtime.process;
  if ((status ?? process)?.bootId !== bootId) return "host_reboot";
  if (status?.state === "ended" && status.cause !== null) return status.cause;
  // A shim that wrote nothing at its end was killed, and its VMM with it.
  return "killed";
};

const lostShim = (vm: string, reason: string) => ({
  code: "vmm.shim_lost",
  message: `${vm} was left alone: ${reason}.`,
  fix: `banger kill ${vm}`,
});

const carryOut = async (context: Context, { record, recovery, obstacle }: Found): Promise<void> => {
  const { store, names, live } = context;
  switch (recovery.action) {
    case "adopt": {
      const operation = store.journal.standing(record.id, "vm.start");
      if (!operation) return;
      const plan = readStartPlan(context, operation);
      live.set(record.id, openLive(context, plan));
      await names.publish(plan);
      await context.ports
        .publish(plan)
        .catch((error) => context.log.warn("ports were not published", { detail: describeUnknown(error) }));
      const identity = await live.get(record.id)?.shim.hello();
      if (identity) {
        const { pid, startTicks, bootId } = identity;
        store.vms.updateRuntime(record.id, { process: { pid, startTicks, bootId } });
      }
      if (record.state === "error") {
        store.vms.updateRuntime(record.id, { lastError: null });
        setState(context, record.id, "running");
      }
      return;
    }
    case "undo-start":
      await stopVm(context, record.id, { ...caller, from: "term", cause: recovery.cause });
      return;
    case "finish-create": {
      setState(context, record.id, "stopped");
      return;
    }
    case "undo-create":
      await undoCreate(context, store.journal.standing(record.id, "vm.create"), record);
      return;
    case "finish-delete":
      await deleteVm(context, record.id, caller);
      return;
    case "leave": {
      const { spec } = record;
      const report = obstacle === null ? lostShim(spec.name, recovery.reason) : reportOf(obstacle);
      const { code, message, fix } = report;
      store.vms.updateRuntime(record.id, { lastError: { code, message, fix, at: context.now().toISOString() } });
      if (record.state !== "error") setState(context, record.id, "error");
      return;
    }
    case "none":
      return;
  }
};

const undoCreate = async (context: Context, operation: Operation | null, record: VmRecord): Promise<void> => {
  if (!operation) return forget(context, record.id, null);
  const failures = await undoSteps({
    steps: createSteps(context, readCreatePlan(context, operation), null),
    journal: context.store.journal.journalFor(operation.id),
    clock: context.clock,
    observe: () => {},
  });
  if (failures.length > 0) throw failUndo(context, record, failures);
  forget(context, record.id, operation.id);
};
