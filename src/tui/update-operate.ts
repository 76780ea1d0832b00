// Turns what people do to VMs into calls: which VMs it is for, what it asks first, and the operation that is watched.
import type { Vm } from "../spec/vm.ts";
import type { FormCall } from "./form.ts";
import type { AnyCall, Effect } from "./message.ts";
import type { Model, Operation, Verb } from "./model.ts";
import type { Updated } from "./update.ts";

type VerbRule = {
  /** Whether it would change anything about this VM. */
  isFor: (vm: Vm) => boolean;
  call: (vm: Vm) => AnyCall;
  isCancelledByLeaving: boolean;
};

const isUp = ({ state }: Vm): boolean => state === "running" || state === "paused";
const isEndable = (vm: Vm): boolean => isUp(vm) || vm.state === "starting" || vm.state === "stopping";

export const verbs: Readonly<Record<Verb, VerbRule>> = {
  start: {
    isFor: ({ state }) => state === "stopped" || state === "suspended" || state === "error",
    call: ({ id }) => ({ method: "vm.start", input: { vm: id } }),
    isCancelledByLeaving: true,
  },
  stop: {
    isFor: isUp,
    call: ({ id }) => ({ method: "vm.stop", input: { vm: id } }),
    isCancelledByLeaving: false,
  },
  restart: {
    isFor: isUp,
    call: ({ id }) => ({ method: "vm.restart", input: { vm: id } }),
    isCancelledByLeaving: false,
  },
  kill: {
    isFor: (vm) => isEndable(vm) || vm.state === "error",
    call: ({ id }) => ({ method: "vm.kill", input: { vm: id } }),
    isCancelledByLeaving: false,
  },
  delete: {
    isFor: ({ state }) => state !== "deleting",
    call: (vm) => ({ method: "vm.delete", input: { vm: vm.id, force: isEndable(vm) } }),
    isCancelledByLeaving: false,
  },
};

type Request = {
  verb: string;
  subject: string;
  calls: readonly [AnyCall, ...AnyCall[]];
  isCancelledByLeaving: boolean;
};

const begin = (model: Model, request: Request): { model: Model; effect: Effect } => {
  const operation: Operation = {
    id: model.nextOperation,
    method: request.calls[0].method,
    verb: request.verb,
    subject: request.subject,
    isCancelledByLeaving: request.isCancelledByLeaving,
  };
  return {
    model: { ...model, nextOperation: operation.id + 1, operations: [...model.operations, operation] },
    effect: { kind: "perform", operation, calls: request.calls },
  };
};

/** Does it to each of these VMs, side by side; those that went away meanwhile are left out. */
export const perform = (model: Model, verb: Verb, ids: readonly string[]): Updated => {
  const effects: Effect[] = [];
  let next: Model = { ...model, marked: new Set(), notice: null };
  for (const id of ids) {
    const vm = model.vms?.get(id);
    if (!vm) continue;
    const rule = verbs[verb];
    const { isCancelledByLeaving } = rule;
    const begun = begin(next, { verb, subject: vm.name, calls: [rule.call(vm)], isCancelledByLeaving });
    next = begun.model;
    effects.push(begun.effect);
  }
  return [next, effects];
};

/** What a form came to, as one operation. */
export const performForm = (model: Model, calls: readonly FormCall[]): Updated => {
  const [first, ...rest] = calls;
  if (!first) return [model, []];
  const isCreate = first.method === "vm.create";
  const subject = isCreate ? (first.input.name ?? "a VM") : (model.vms?.get(first.input.vm)?.name ?? "");
  const begun = begin(
    { ...model, notice: null },
    { verb: isCreate ? "create" : "change", subject, calls: [first, ...rest], isCancelledByLeaving: isCreate },
  );
  return [begun.model, [begun.effect]];
};
