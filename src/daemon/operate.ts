// The operations on a VM, each under the VM's lock: start, stop, delete, and what follows when a guest ends by itself.
import { isSimulatedCrash, runSteps, type StepObserver, type UndoFailure, undoSteps } from "../engine/step.ts";
import type { HostFacts } from "../host/host.ts";
import { fail, hasCode, isBangerError, reportOf } from "../spec/errors.ts";
import type { ProgressEvent, StepEvent } from "../spec/events.ts";
import type { CreatePlan, StartPlan } from "../spec/plan.ts";
import type { Operation } from "../spec/records.ts";
import type { EndCause, VmRecord, VmState } from "../spec/vm.ts";
import type { Context } from "./context.ts";
import { createSteps } from "./create.ts";
import { gatherStart } from "./gather-start.ts";
import type { Rung } from "./ladder.ts";
import { once } from "./once.ts";
import { startSteps } from "./start.ts";
import { readCreatePlan, readStartPlan } from "./stored-plan.ts";

export type Emit = (event: ProgressEvent) => void;

/** Said while a guest is booted to see whether KVM serves: nobody asked for that, and it takes seconds. */
export const tellOfProof = (emit: Emit) => (): void =>
  emit({ kind: "note", text: "trying whether KVM boots a guest; the answer is remembered" });

type Caller = { requestedBy: string; emit: Emit };

/** A failed start has nothing to ask its guest: SIGTERM is quick and lets a VMM close its files. */
const FAILED_START_RUNG: Rung = "term";

export const setState = (context: Context, id: string, state: VmState, cause: EndCause | null = null): VmRecord => {
  const record = context.store.vms.setState(id, state);
  context.bus.publish({ type: "vm.state", vm: record.spec.name, id, state, cause });
  return record;
};

/** Steps are seen by the caller, by everyone who subscribed, and by the journal. */
const observer =
  (context: Context, vm: { id: string; name: string }, operation: string, emit: Emit): StepObserver =>
  (event) => {
    const step: StepEvent = { kind: "step", operation, ...event };
    emit(step);
    context.bus.publish({ type: "vm.step", vm: vm.name, id: vm.id, step });
  };

const recordOf = (context: Context, id: string): VmRecord => {
  const record = context.store.vms.get(id);
  if (!record) throw fail("vm.not_found", { vm: id });
  return record;
};

const nameOf = (record: VmRecord) => ({ id: record.id, name: record.spec.name });

export type StartRequest = Caller & { isWaiting: boolean; readyTimeoutMs: number | null; signal: AbortSignal };

/** Starts a stopped VM; the caller holds its lock. Everything is undone when it fails. */
export const startVm = async (context: Context, id: string, request: StartRequest): Promise<VmRecord> => {
  const { store, clock } = context;
  let record = recordOf(context, id);
  if (record.state === "error") record = await tidyUp(context, record, request);
  if (record.state !== "stopped") {
    throw fail("vm.wrong_state", { vm: record.spec.name, state: record.state, verb: "start", needs: ["stopped"] });
  }
  await context.settleVmms(tellOfProof(request.emit));
  const facts = once<void, HostFacts>(context.host.facts);
  await context.doctor.preflight(["vm.start"], { mode: record.spec.networks[0]?.mode ?? "bridge", facts });
  const { plan, driver, vmmReason, privilege } = await gatherStart(context, record, {
    readyTimeoutMs: request.readyTimeoutMs,
    facts,
  });
  const operation = store.transaction(() => {
    store.vms.updateRuntime(id, { lastError: null, lastEnd: null });
    store.vms.setState(id, "starting");
    return store.journal.beginOperation({ kind: "vm.start", subject: id, plan, requestedBy: request.requestedBy });
  });
  context.bus.publish({ type: "vm.state", vm: record.spec.name, id, state: "starting", cause: null });
  const journal = store.journal.journalFor(operation);
  const steps = startSteps(context, plan, {
    driver,
    requestedBy: request.requestedBy,
    isWaiting: request.isWaiting,
    undoFrom: FAILED_START_RUNG,
  });
  const observe = observer(context, plan.vm, "vm.start", request.emit);
  try {
    await runSteps({ steps, journal, signal: request.signal, clock, observe });
  } catch (error) {
    settle(context, { id, operation, error });
    throw isBangerError(error) || !request.signal.aborted
      ? error
      : fail("operation.cancelled", { operation: "The start" }, error);
  }
  // One that ended since has a watch on it, which waits for this lock to say so: the start is done, and its end comes next.
  const identity = await context.live
    .get(id)
    ?.shim.hello()
    .catch(() => null);
  store.transaction(() => {
    store.journal.markDone(operation);
    store.vms.updateRuntime(id, {
      startedAt: context.now().toISOString(),
      process: identity ? { pid: identity.pid, startTicks: identity.startTicks, bootId: identity.bootId } : null,
      accelerator: plan.accelerator,
      vmmReason,
      privilege,
      pendingRestart: false,
    });
    store.vms.setState(id, "running");
  });
  context.bus.publish({ type: "vm.state", vm: plan.vm.name, id, state: "running", cause: null });
  return recordOf(context, id);
};

/** After a failed start: stopped when all was undone, otherwise `error` with what is left, which the next reconcile retries. */
const settle = (context: Context, failed: { id: string; operation: number; error: unknown }): void => {
  const { store, now, bus } = context;
  const left = store.journal.journalFor(failed.operation).standing();
  const report = reportOf(failed.error);
  const state = left.length === 0 ? "stopped" : "error";
  const record = store.transaction(() => {
    if (left.length === 0) store.journal.close(failed.operation, "undone", report.message);
    store.vms.updateRuntime(failed.id, {
      process: null,
      startedAt: null,
      lastError: { code: report.code, message: report.message, fix: report.fix, at: now().toISOString() },
    });
    return store.vms.setState(failed.id, state);
  });
  bus.publish({ type: "vm.state", vm: record.spec.name, id: failed.id, state, cause: null });
};

export type StopRequest = Caller & { from: Rung; cause: EndCause };

type StandingStart = { operation: Operation; plan: StartPlan };

/** Looked up before any state is changed: a plan that cannot be read refuses the whole. Errors: store.newer_document, store.corrupt. */
const standingStart = (context: Context, id: string): StandingStart | null => {
  const operation = context.store.journal.standing(id, "vm.start");
  return operation && { operation, plan: readStartPlan(context, operation) };
};

/** Undoes the standing start of a VM and leaves it stopped; the caller holds its lock. */
export const stopVm = async (context: Context, id: string, request: StopRequest): Promise<VmRecord> => {
  const { store } = context;
  const record = recordOf(context, id);
  const start = standingStart(context, id);
  if (record.state !== "stopping" && record.state !== "stopped") setState(context, id, "stopping");
  if (start) await undoStart(context, record, start, request);
  store.vms.updateRuntime(id, {
    process: null,
    startedAt: null,
    lastEnd: { cause: request.cause, at: context.now().toISOString() },
  });
  return setState(context, id, "stopped", request.cause);
};

/** The one way back from a start, for stop, guest ends and recovery. Errors: operation.undo_incomplete, operation.step_unknown (the VM is in `error` then). */
const undoStart = async (
  context: Context,
  record: VmRecord,
  { operation, plan }: StandingStart,
  request: StopRequest,
): Promise<void> => {
  const { store, clock } = context;
  const driver = context.drivers[record.spec.vmm];
  const steps = startSteps(context, plan, {
    driver,
    requestedBy: request.requestedBy,
    isWaiting: false,
    undoFrom: request.from,
  });
  const failures = await undoSteps({
    steps,
    journal: store.journal.journalFor(operation.id),
    clock,
    observe: observer(context, nameOf(record), "vm.stop", request.emit),
  });
  if (failures.length === 0) {
    store.journal.close(operation.id, "undone");
    return;
  }
  throw failUndo(context, record, failures);
};

/** The VM stays, in `error` and with its cause, so that what is left has a name. */
export const leaveWith = (context: Context, id: string, cause: unknown): void => {
  const { code, message, fix } = reportOf(cause);
  context.store.vms.updateRuntime(id, { lastError: { code, message, fix, at: context.now().toISOString() } });
  setState(context, id, "error");
};

export const failUndo = (context: Context, record: VmRecord, failures: readonly UndoFailure[]) => {
  const steps = failures.map(({ step }) => step);
  const detail = failures.map((failure) => failure.detail).join("; ");
  const vm = record.spec.name;
  const error = failures.some(({ cause }) => hasCode(cause, "operation.step_unknown"))
    ? fail("operation.step_unknown", { vm, steps })
    : fail("operation.undo_incomplete", { vm, steps, detail });
  leaveWith(context, record.id, error);
  return error;
};

/** What an earlier failure left is undone before anything new is begun. */
const tidyUp = async (context: Context, record: VmRecord, caller: Caller): Promise<VmRecord> => {
  const creation = context.store.journal.standing(record.id, "vm.create");
  if (creation && creation.doneAt === null)
    throw fail("vm.wrong_state", {
      vm: record.spec.name,
      state: "only half made",
      verb: "start",
      needs: ["deleted and created anew"],
    });
  return stopVm(context, record.id, { ...caller, from: "term", cause: "stopped" });
};

/** The last of a VM: its record, together with the operation that made it. */
export const forget = ({ store }: Context, id: string, operation: number | null): void =>
  store.transaction(() => {
    if (operation !== null) store.journal.close(operation, "undone");
    store.vms.remove(id);
  });

export type CreateRequest = Caller & { signal: AbortSignal };

/** Makes a VM out of its plan and leaves it stopped; when it fails nothing of it is left. */
export const createVm = async (
  context: Context,
  made: { record: VmRecord; plan: CreatePlan; userData: string | null; userDataPath: string },
  request: CreateRequest,
): Promise<VmRecord> => {
  const { store, clock } = context;
  const { record, plan } = made;
  // Record and operation come and go together: neither is ever found without the other.
  const operation = store.transaction(() => {
    store.vms.insert(record);
    return store.journal.beginOperation({
      kind: "vm.create",
      subject: record.id,
      plan,
      requestedBy: request.requestedBy,
    });
  });
  const journal = store.journal.journalFor(operation);
  const observe = observer(context, plan.vm, "vm.create", request.emit);
  try {
    await runSteps({ steps: createSteps(context, plan, made), journal, signal: request.signal, clock, observe });
  } catch (error) {
    if (isSimulatedCrash(error)) throw error;
    if (journal.standing().length === 0) forget(context, record.id, operation);
    else leaveWith(context, record.id, error);
    throw isBangerError(error) || !request.signal.aborted
      ? error
      : fail("operation.cancelled", { operation: "The creation" }, error);
  }
  store.transaction(() => {
    store.journal.markDone(operation);
    store.vms.setState(record.id, "stopped");
  });
  context.bus.publish({ type: "vm.state", vm: plan.vm.name, id: record.id, state: "stopped", cause: null });
  return recordOf(context, record.id);
};

/** Stops a VM if it runs, and undoes its creation; the caller holds its lock. Can be repeated after any crash. */
export const deleteVm = async (context: Context, id: string, caller: Caller): Promise<void> => {
  const { store, clock } = context;
  const record = recordOf(context, id);
  const start = standingStart(context, id);
  const operation = store.journal.standing(id, "vm.create");
  const creation = operation && readCreatePlan(context, operation);
  const request: StopRequest = { ...caller, from: "term", cause: "stopped" };
  if (start) {
    if (record.state === "deleting") await undoStart(context, record, start, request);
    else await stopVm(context, id, request);
  }
  setState(context, id, "deleting");
  if (operation && creation) {
    const failures = await undoSteps({
      steps: createSteps(context, creation, null),
      journal: store.journal.journalFor(operation.id),
      clock,
      observe: observer(context, nameOf(record), "vm.delete", caller.emit),
    });
    if (failures.length > 0) throw failUndo(context, record, failures);
  }
  forget(context, id, operation?.id ?? null);
  context.bus.publish({ type: "vm.deleted", vm: record.spec.name, id });
};

/** A guest powered off, halted, panicked or was killed: what its start had made is undone. */
export const onGuestEnd = async (context: Context, id: string, cause: EndCause): Promise<void> => {
  await context.locks.run(id, async () => {
    const record = context.store.vms.get(id);
    // A stop that waited for the same lock has done it already.
    if (!record || (record.state !== "running" && record.state !== "paused")) return;
    context.log.info("a guest ended", { vm: record.spec.name, cause });
    await stopVm(context, id, { requestedBy: "guest", emit: () => {}, from: "kill", cause });
  });
};
