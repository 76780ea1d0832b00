// Applies what the daemon says has changed to what we know; details that an event does not carry are asked for afterwards.
import type { ChangeEvent, Event } from "../spec/events.ts";
import type { CurrentStep, Model } from "./model.ts";

type Change = {
  vms: Map<string, NonNullable<ReturnType<NonNullable<Model["vms"]>["get"]>>>;
  steps: Map<string, CurrentStep>;
};

const apply = ({ vms, steps }: Change, event: ChangeEvent, atMs: number): void => {
  switch (event.type) {
    case "vm.state": {
      const vm = vms.get(event.id);
      if (vm) vms.set(event.id, { ...vm, name: event.vm, state: event.state });
      steps.delete(event.id);
      return;
    }
    case "vm.deleted":
      vms.delete(event.id);
      steps.delete(event.id);
      return;
    case "vm.step": {
      const { step, phase } = event.step;
      const isBegin = phase === "begin" || phase === "undo";
      if (isBegin) steps.set(event.id, { step, isUndo: phase === "undo", sinceMs: atMs });
      else if (steps.get(event.id)?.step === step) steps.delete(event.id);
      return;
    }
  }
};

export const withEvents = (model: Model, events: readonly Event[]): Model => {
  const change: Change = { vms: new Map(model.vms), steps: new Map(model.steps) };
  for (const { event, at } of events) apply(change, event, Date.parse(at));
  return { ...model, vms: model.vms === null ? null : change.vms, steps: change.steps };
};

/** What must be asked anew after these events. */
export const staleAfter = (events: readonly Event[]): { vms: ReadonlySet<string>; images: boolean } => {
  const vms = new Set<string>();
  let images = false;
  for (const { event } of events) {
    if (event.type === "vm.state" || event.type === "vm.changed") vms.add(event.id);
    else if (event.type === "vm.deleted") {
      vms.delete(event.id);
      images = true;
    } else if (event.type === "image.added" || event.type === "image.deleted") images = true;
  }
  return { vms, images };
};
