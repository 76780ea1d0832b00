// How people see what streams: a VM's console, and every change as it happens.
import type { EventOf } from "../../spec/rpc/contract.ts";
import { sanitize } from "../../spec/sanitize.ts";
import { formatMs } from "../format.ts";
import type { Paint } from "../paint.ts";
import { renderPorts, spellForward } from "./ports.ts";
import type { ViewContext } from "./views.ts";

type Change = EventOf<"events.subscribe">["event"];

const describeStep = (step: Extract<Change, { type: "vm.step" }>["step"]): string =>
  `${step.step} ${step.phase.replace("_", " ")}${step.ms === null ? "" : ` after ${formatMs(step.ms)}`}`;

const describeChange = (event: Change, paint: Paint): string => {
  switch (event.type) {
    case "vm.state":
      return `${paint.strong(event.vm)} is ${event.state}${event.cause ? ` (${event.cause.replace("_", " ")})` : ""}`;
    case "vm.changed":
      return `${paint.strong(event.vm)} changed: ${event.fields.join(", ")}`;
    case "vm.deleted":
      return `${paint.strong(event.vm)} is deleted`;
    case "vm.step":
      return `${paint.strong(event.vm)} ${describeStep(event.step)}`;
    case "image.added":
      return `image ${event.image} was added`;
    case "image.deleted":
      return `image ${event.image} is deleted`;
    case "daemon.started":
      return `bangerd ${event.version} started, process ${event.pid}`;
    case "daemon.note":
      return sanitize(event.text);
    default:
      // A newer daemon may tell of more than this side knows.
      return sanitize(JSON.stringify(event));
  }
};

type StreamViews = {
  [Name in "vm.logs" | "vm.ports" | "vm.forward" | "events.subscribe"]: (
    context: ViewContext,
  ) => (event: EventOf<Name>) => string;
};

export const streamViews: StreamViews = {
  // What a guest wrote never reaches a terminal as it is, nor a file that is later shown on one.
  "vm.logs": () => (event) => {
    const text = sanitize(event.text);
    return text.endsWith("\n") ? text : `${text}\n`;
  },
  "vm.ports":
    ({ paint }) =>
    (list) =>
      `${renderPorts(list, paint)}\n`,
  "vm.forward":
    () =>
    ({ name, forward }) =>
      `${spellForward(forward)} leads to port ${forward.guestPort} of ${name}, until Ctrl-C\n`,
  "events.subscribe":
    ({ paint }) =>
    ({ at, event }) =>
      `${paint.faint(at)}  ${describeChange(event, paint)}\n`,
};
