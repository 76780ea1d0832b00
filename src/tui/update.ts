// Changes the model: one message in, the new model and what is to be done out. Pure; every rule of the UI is under here.
import type { Vm } from "../spec/vm.ts";
import { layoutOf, scrollTo } from "./layout.ts";
import type { Effect, Message } from "./message.ts";
import {
  EVENTS_KEPT,
  type HostCheck,
  LOG_LINES_KEPT,
  type Model,
  type Operation,
  SAMPLES_KEPT,
  type Usage,
  type VmStats,
} from "./model.ts";
import { cursorIndex, isMoving, rowsOf } from "./select.ts";
import { withEvents } from "./update-events.ts";
import { updateKey } from "./update-key.ts";

export type Updated = readonly [Model, readonly Effect[]];

const NOTE_MS = 5000;

const isSameIn = (keys: readonly (keyof Model)[], one: Model, other: Model): boolean =>
  keys.every((key) => one[key] === other[key]);

/** A question about VMs that went away while it was asked is about the others; where none is left it closes, and says so. */
const withoutQuestion = (model: Model, vms: NonNullable<Model["vms"]>, before: Model): Model => {
  const { overlay, notice, nowMs } = model;
  if (overlay?.kind !== "confirm") return model;
  const ids = overlay.ids.filter((id) => vms.has(id));
  if (ids.length === overlay.ids.length) return model;
  if (ids.length > 0) return { ...model, overlay: { ...overlay, ids } };
  const [first = "", ...others] = overlay.ids;
  const who = others.length === 0 ? `${before.vms?.get(first)?.name ?? "it"} is` : "all of them are";
  const note = { kind: "note", text: `${who} gone: nothing to ${overlay.verb}`, atMs: nowMs } as const;
  return { ...model, overlay: null, notice: notice?.kind === "error" ? notice : note };
};

/** Forgets what is about VMs that are gone, or that no longer move. */
const tidy = (model: Model, before: Model): Model => {
  const { vms } = model;
  if (vms === null || isSameIn(["vms", "steps", "usage", "marked"], model, before)) return model;
  const keep = <Value>(map: ReadonlyMap<string, Value>, isKept: (vm: Vm) => boolean): ReadonlyMap<string, Value> => {
    const kept = [...map].filter(([id]) => {
      const vm = vms.get(id);
      return vm !== undefined && isKept(vm);
    });
    return kept.length === map.size ? map : new Map(kept);
  };
  const marked = [...model.marked].filter((id) => vms.has(id));
  return {
    ...withoutQuestion(model, vms, before),
    steps: keep(model.steps, isMoving),
    usage: keep(model.usage, ({ state }) => state === "running" || state === "paused"),
    marked: marked.length === model.marked.size ? model.marked : new Set(marked),
  };
};

/** What decides which rows there are, and which of them are on the screen. */
const placing = ["vms", "filter", "sort", "cursor", "top", "size", "notice", "tab", "isDetailed"] as const;
/** By what is measured as it goes on, rows change places with every measurement. */
const isPlaced = (model: Model, before: Model): boolean =>
  isSameIn(placing, model, before) && (model.sort.key !== "cpu" || model.usage === before.usage);

/** Keeps the cursor on a row and the row on the screen; a VM that went away leaves the cursor where it was. */
export const settle = (model: Model, before: Model): Model => {
  if (isPlaced(model, before)) return model;
  const rows = rowsOf(model);
  let { cursor } = model;
  if (!rows.some(({ id }) => id === cursor)) {
    const index = before.vms === null ? 0 : cursorIndex(before);
    cursor = rows[Math.min(index, rows.length - 1)]?.id ?? null;
  }
  const settled = cursor === model.cursor ? model : { ...model, cursor };
  const top = scrollTo({
    top: settled.top,
    index: cursorIndex(settled),
    height: layoutOf(settled).tableRows,
    count: rows.length,
  });
  return top === settled.top ? settled : { ...settled, top };
};

const addSample = (samples: readonly number[], share: number): readonly number[] =>
  [...samples, Math.max(0, Math.min(share, 1))].slice(-SAMPLES_KEPT);

const withStats = (model: Model, stats: readonly (readonly [string, VmStats])[]): Model => {
  const usage = new Map(model.usage);
  const changed: Vm[] = [];
  for (const [id, { cpuPercent, memoryMiB, memoryLimitMiB, diskUsedMiB }] of stats) {
    const vm = model.vms?.get(id);
    if (!vm) continue;
    const known: Usage = usage.get(id) ?? { cpu: [], memory: [], cpuPercent: null, memoryMiB: null };
    usage.set(id, {
      cpu: cpuPercent === null ? known.cpu : addSample(known.cpu, cpuPercent / 100 / vm.vcpus),
      memory: memoryMiB === null ? known.memory : addSample(known.memory, memoryMiB / Math.max(memoryLimitMiB, 1)),
      cpuPercent,
      memoryMiB,
    });
    if (vm.diskUsedMiB !== diskUsedMiB) changed.push({ ...vm, diskUsedMiB });
  }
  const measured = { ...model, usage };
  return changed.length === 0 ? measured : withVms(measured, changed);
};

const withVms = (model: Model, shown: readonly Vm[]): Model => {
  const vms = new Map(model.vms);
  for (const vm of shown) vms.set(vm.id, vm);
  return { ...model, vms };
};

const withoutOperation = (model: Model, id: number): { model: Model; operation: Operation | undefined } => ({
  model: { ...model, operations: model.operations.filter((operation) => operation.id !== id) },
  operation: model.operations.find((operation) => operation.id === id),
});

const onTick = (model: Model, nowMs: number): Model => {
  const { notice } = model;
  const isOver = notice?.kind === "note" && nowMs - notice.atMs > NOTE_MS;
  return { ...model, nowMs, notice: isOver ? null : notice };
};

const stillRunning = (name: string): string => `${name} is still running; d stops it`;

/** Back from a shell: what still runs is said, and which key ends it. */
const onReturn = (model: Model, name: string, isShell: boolean): Model => {
  const isRunning = [...(model.vms?.values() ?? [])].some((vm) => vm.name === name && vm.state === "running");
  const text = stillRunning(name);
  const notice = isShell && isRunning ? ({ kind: "note", text, atMs: model.nowMs } as const) : model.notice;
  return { ...model, isAway: false, notice };
};

/** More of the same note, unless another has taken its place. */
const withLeftBehind = (model: Model, name: string, summary: string): Model => {
  const { notice } = model;
  const said = stillRunning(name);
  if (notice?.kind !== "note" || notice.text !== said) return model;
  return { ...model, notice: { ...notice, text: `${said}. Left in it: ${summary}` } };
};

const severities: readonly HostCheck["status"][] = ["error", "warning", "ok", "skipped"];

/** What is to be mended comes first; the rest stays in its order. */
const worstFirst = (rows: readonly HostCheck[]): readonly HostCheck[] =>
  severities.flatMap((severity) => rows.filter(({ status }) => status === severity));

const change = (model: Model, message: Exclude<Message, { type: "key" }>): Model => {
  switch (message.type) {
    case "resized":
      return { ...model, size: message.size };
    case "ticked":
      return onTick(model, message.nowMs);
    case "host-read":
      return { ...model, host: message.host };
    case "connected":
      return { ...model, instance: message.instance, link: { state: "live", version: message.version } };
    case "lost":
      return model.link.state === "lost"
        ? { ...model, link: { ...model.link, detail: message.detail } }
        : { ...model, link: { state: "lost", sinceMs: message.nowMs, detail: message.detail } };
    case "listed":
      return { ...model, vms: new Map(message.vms.map((vm) => [vm.id, vm])) };
    case "shown":
      return withVms(model, message.vms);
    case "images-listed":
      return {
        ...model,
        images: message.images,
        imageCursor: Math.max(0, Math.min(model.imageCursor, message.images.length - 1)),
      };
    case "host-checked": {
      const rows = worstFirst(message.rows);
      const checkCursor = Math.max(0, Math.min(model.checkCursor, rows.length - 1));
      return { ...model, checks: { rows, atMs: model.nowMs }, checkCursor, isChecking: false };
    }
    case "host-check-failed":
      return {
        ...model,
        isChecking: false,
        notice: { kind: "error", report: message.report, subject: "check this host" },
      };
    case "events": {
      const events = [...model.events, ...message.events].slice(-EVENTS_KEPT);
      return message.isHistory ? { ...model, events } : withEvents({ ...model, events }, message.events);
    }
    case "stats":
      return withStats(model, message.stats);
    case "waterfall":
      return { ...model, waterfall: { key: message.key, value: message.value } };
    case "log-opened":
      return { ...model, log: { vmId: message.vmId, lines: [], hasEnded: false } };
    case "log-lines":
      return withLogLines(model, message.vmId, message.lines);
    case "log-ended":
      return model.log?.vmId === message.vmId ? { ...model, log: { ...model.log, hasEnded: true } } : model;
    case "performed":
      return withoutOperation(model, message.id).model;
    case "failed": {
      const { model: after, operation } = withoutOperation(model, message.id);
      const subject = operation ? `${operation.verb} ${operation.subject}` : "";
      return { ...after, notice: { kind: "error", report: message.report, subject } };
    }
    case "returned":
      return onReturn(model, message.name, message.isShell);
    case "left-behind":
      return withLeftBehind(model, message.name, message.summary);
    case "problem":
      return { ...model, notice: { kind: "error", report: message.report, subject: message.subject } };
    case "note":
      return { ...model, notice: { kind: "note", text: message.text, atMs: model.nowMs } };
  }
};

/** New lines go to the end; whoever looks further up keeps looking at the same ones. */
const withLogLines = (model: Model, vmId: string, added: readonly string[]): Model => {
  const { log, overlay } = model;
  if (log?.vmId !== vmId) return model;
  const lines = [...log.lines, ...added].slice(-LOG_LINES_KEPT);
  const isLookingUp = overlay?.kind === "logs" && overlay.fromEnd > 0;
  return {
    ...model,
    log: { ...log, lines },
    overlay: isLookingUp ? { ...overlay, fromEnd: Math.min(overlay.fromEnd + added.length, lines.length) } : overlay,
  };
};

export const update = (model: Model, message: Message): Updated => {
  if (message.type === "key") {
    const [next, effects] = updateKey(model, message.key);
    return [settle(next, model), effects];
  }
  const next = tidy(change(model, message), model);
  return [settle(next, model), []];
};
