// Decides what a key does, by what is open: an overlay first, then the line being typed, then the table.
import { createForm, editForm } from "./form.ts";
import { type Action, actionOf, type KeyPress } from "./keys.ts";
import { layoutOf, scrollTo } from "./layout.ts";
import type { Effect } from "./message.ts";
import { detailTabs, type Model, sortKeys, type Tab, tabs, type Verb } from "./model.ts";
import { addressOf, currentVm, cursorIndex, rowsOf, targetsOf } from "./select.ts";
import type { Updated } from "./update.ts";
import { perform, verbs } from "./update-operate.ts";
import { updateOverlay } from "./update-overlay.ts";

const only = (model: Model): Updated => [model, []];
const doing = (model: Model, effect: Effect): Updated => [model, [effect]];

const moveTo = (model: Model, index: number): Model => {
  if (model.tab === "images") {
    return { ...model, imageCursor: Math.max(0, Math.min(index, (model.images?.length ?? 0) - 1)) };
  }
  if (model.tab === "host") {
    return { ...model, checkCursor: Math.max(0, Math.min(index, (model.checks?.rows.length ?? 0) - 1)) };
  }
  const rows = rowsOf(model);
  return { ...model, cursor: rows[Math.max(0, Math.min(index, rows.length - 1))]?.id ?? null };
};

const placeOf = (model: Model): number => {
  if (model.tab === "images") return model.imageCursor;
  return model.tab === "host" ? model.checkCursor : cursorIndex(model);
};

const moveBy = (model: Model, by: number): Model => moveTo(model, placeOf(model) + by);

const pageOf = (model: Model): number => Math.max(1, layoutOf(model).tableRows - 1);

const toggleMark = (model: Model): Model => {
  const current = currentVm(model);
  if (!current) return model;
  const marked = new Set(model.marked);
  if (!marked.delete(current.id)) marked.add(current.id);
  return moveBy({ ...model, marked }, 1);
};

const toggleAll = (model: Model): Model => {
  const shown = rowsOf(model).map(({ id }) => id);
  const isAll = shown.length > 0 && shown.every((id) => model.marked.has(id));
  return { ...model, marked: new Set(isAll ? [] : shown) };
};

const turnDetail = (model: Model, by: number): Model => {
  if (!model.isDetailed) return { ...model, isDetailed: true };
  const index = (detailTabs.indexOf(model.detailTab) + by + detailTabs.length) % detailTabs.length;
  return { ...model, detailTab: detailTabs[index] ?? "overview" };
};

const sortNext = (model: Model): Model => {
  const key = sortKeys[(sortKeys.indexOf(model.sort.key) + 1) % sortKeys.length] ?? "name";
  // Numbers are asked for from the largest on.
  const isDescending = ["vcpus", "memory", "disk", "uptime", "cpu"].includes(key);
  return { ...model, sort: { key, isDescending }, top: 0 };
};

const ask = (model: Model, verb: Verb): Updated => {
  const targets = targetsOf(model).filter((vm) => verbs[verb].isFor(vm));
  const [first] = targetsOf(model);
  if (!first) return only(model);
  if (targets.length === 0) {
    const text =
      model.marked.size > 1 ? `none of them can be: ${verb}` : `${first.name} is ${first.state}: nothing to ${verb}`;
    return only({ ...model, notice: { kind: "note", text, atMs: model.nowMs } });
  }
  const ids = targets.map(({ id }) => id);
  return verb === "start" ? perform(model, verb, ids) : only({ ...model, overlay: { kind: "confirm", verb, ids } });
};

const handOver = (model: Model, command: "ssh" | "console"): Updated => {
  const vm = currentVm(model);
  if (!vm) return only(model);
  return doing(
    { ...model, isAway: true },
    { kind: "hand-over", words: command === "ssh" ? [command, "-q", vm.name] : [command, vm.name], name: vm.name },
  );
};

const copyAddress = (model: Model): Updated => {
  const addresses = targetsOf(model).flatMap((vm) => addressOf(vm) ?? []);
  const text = addresses.join("\n");
  if (text === "")
    return only({ ...model, notice: { kind: "note", text: "it has no address yet", atMs: model.nowMs } });
  const notice = { kind: "note", text: `copied ${addresses.join(", ")}`, atMs: model.nowMs } as const;
  return doing({ ...model, notice }, { kind: "copy", text });
};

const openForm = (model: Model, kind: "create" | "edit"): Model => {
  if (kind === "create") return { ...model, overlay: { kind: "form", form: createForm(model.images ?? []) } };
  const vm = currentVm(model);
  return vm ? { ...model, overlay: { kind: "form", form: editForm(vm) } } : model;
};

const openLogs = (model: Model): Model => {
  const vm = currentVm(model);
  if (!vm) return model;
  return {
    ...model,
    overlay: { kind: "logs", vmId: vm.id, name: vm.name, fromEnd: 0, query: "", isTyping: false },
  };
};

/** Escape undoes one thing: the newest that shows. */
const goBack = (model: Model): Model => {
  if (model.notice) return { ...model, notice: null };
  if (model.isDetailed && model.tab === "vms") return { ...model, isDetailed: false };
  if (model.filter !== "") return { ...model, filter: "" };
  return { ...model, marked: new Set() };
};

const showError = (model: Model): Model => {
  const { notice } = model;
  const failure = currentVm(model)?.lastError;
  if (notice?.kind === "error") {
    return { ...model, overlay: { kind: "error", report: notice.report, subject: notice.subject, top: 0 } };
  }
  if (!failure) return model;
  const report = { ...failure, data: null };
  return { ...model, overlay: { kind: "error", report, subject: currentVm(model)?.name ?? "", top: 0 } };
};

const leave = (model: Model): Updated =>
  model.operations.some(({ isCancelledByLeaving }) => isCancelledByLeaving)
    ? only({ ...model, overlay: { kind: "confirm-leaving" } })
    : doing(model, { kind: "leave" });

/** What the checks cost is paid when somebody looks: at the first look, and when they are asked for again. */
const checkHost = (model: Model): Updated =>
  model.isChecking ? only(model) : doing({ ...model, isChecking: true }, { kind: "check-host" });

const showTab = (model: Model, tab: Tab): Updated => {
  const shown = { ...model, tab };
  return tab === "host" && model.checks === null ? checkHost(shown) : only(shown);
};

const nextTab = (model: Model): Updated => showTab(model, tabs[(tabs.indexOf(model.tab) + 1) % tabs.length] ?? "vms");

const copyFix = (model: Model): Updated => {
  const fix = model.checks?.rows[model.checkCursor]?.fix ?? null;
  const text = fix === null ? "there is nothing to type" : `copied ${fix}`;
  const noted: Model = { ...model, notice: { kind: "note", text, atMs: model.nowMs } };
  return fix === null ? only(noted) : doing(noted, { kind: "copy", text: fix });
};

const actions: Readonly<Record<Action, (model: Model) => Updated>> = {
  help: (model) => only({ ...model, overlay: { kind: "help", top: 0 } }),
  "next-tab": nextTab,
  "show-vms": (model) => showTab(model, "vms"),
  "show-images": (model) => showTab(model, "images"),
  "show-host": (model) => showTab(model, "host"),
  "check-host": checkHost,
  "copy-fix": copyFix,
  up: (model) => only(moveBy(model, -1)),
  down: (model) => only(moveBy(model, 1)),
  "page-up": (model) => only(moveBy(model, -pageOf(model))),
  "page-down": (model) => only(moveBy(model, pageOf(model))),
  first: (model) => only(moveTo(model, 0)),
  last: (model) => only(moveTo(model, Number.MAX_SAFE_INTEGER)),
  back: (model) => only(goBack(model)),
  error: (model) => only(showError(model)),
  mouse: (model) => doing({ ...model, hasMouse: !model.hasMouse }, { kind: "mouse", isOn: !model.hasMouse }),
  "start-daemon": (model) => (model.link.state === "lost" ? doing(model, { kind: "start-daemon" }) : only(model)),
  leave,
  details: (model) => only({ ...model, isDetailed: !model.isDetailed }),
  "previous-detail": (model) => only(turnDetail(model, -1)),
  "next-detail": (model) => only(turnDetail(model, 1)),
  filter: (model) => only({ ...model, isFiltering: true }),
  sort: (model) => only(sortNext(model)),
  reverse: (model) => only({ ...model, sort: { ...model.sort, isDescending: !model.sort.isDescending } }),
  mark: (model) => only(toggleMark(model)),
  "mark-all": (model) => only(toggleAll(model)),
  create: (model) => only(openForm(model, "create")),
  edit: (model) => only(openForm(model, "edit")),
  start: (model) => ask(model, "start"),
  stop: (model) => ask(model, "stop"),
  restart: (model) => ask(model, "restart"),
  kill: (model) => ask(model, "kill"),
  delete: (model) => ask(model, "delete"),
  ssh: (model) => handOver(model, "ssh"),
  console: (model) => handOver(model, "console"),
  logs: (model) => only(openLogs(model)),
  copy: copyAddress,
  // Of the log alone, which is an overlay.
  search: only,
  "next-hit": only,
  "previous-hit": only,
};

/** The line of the filter: every key changes what is shown at once. */
const typeFilter = (model: Model, key: KeyPress): Updated => {
  const { filter } = model;
  if (key.name === "enter" || key.name === "tab") return only({ ...model, isFiltering: false });
  if (key.name === "escape") return only({ ...model, isFiltering: false, filter: "" });
  if (key.name === "ctrl-c") return leave(model);
  if (key.name === "up" || key.name === "down") return only(moveBy(model, key.name === "up" ? -1 : 1));
  if (key.name === "backspace" || key.name === "delete") {
    return only({ ...model, filter: [...filter].slice(0, -1).join("") });
  }
  if (key.name === "ctrl-u" || key.name === "ctrl-w") return only({ ...model, filter: "" });
  return only(key.text === "" ? model : { ...model, filter: filter + key.text });
};

const onMouse = (model: Model, key: KeyPress): Updated => {
  if (key.name === "wheel-up" || key.name === "wheel-down")
    return only(moveBy(model, key.name === "wheel-up" ? -3 : 3));
  const { firstTableRow, tableRows } = layoutOf(model);
  const row = (key.at?.row ?? -1) - firstTableRow;
  if (row < 0 || row >= tableRows) return only(model);
  if (model.tab !== "vms") {
    const count = (model.tab === "images" ? model.images : model.checks?.rows)?.length ?? 0;
    const top = scrollTo({ top: 0, index: placeOf(model), height: tableRows, count });
    return top + row < count ? only(moveTo(model, top + row)) : only(model);
  }
  const index = model.top + row;
  if (index >= rowsOf(model).length) return only(model);
  // A click on the row that is chosen already opens it.
  return cursorIndex(model) === index ? only({ ...model, isDetailed: !model.isDetailed }) : only(moveTo(model, index));
};

export const updateKey = (model: Model, key: KeyPress): Updated => {
  if (model.overlay) return updateOverlay(model, model.overlay, key);
  if (key.at) return onMouse(model, key);
  if (model.isFiltering) return typeFilter(model, key);
  const action = actionOf(model.tab, key);
  return action === null ? only(model) : actions[action](model);
};
