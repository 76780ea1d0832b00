// Decides what a key does while something lies over the table: help, a question, a form, an error or a log.
import { callsOf, choose, type FormFacts, isRight, withValue } from "./form.ts";
import { type Action, actionOf, type KeyPress } from "./keys.ts";
import { hitsOf } from "./log-search.ts";
import type { Model, Overlay } from "./model.ts";
import type { Updated } from "./update.ts";
import { perform, performForm } from "./update-operate.ts";

type Of<Kind extends Overlay["kind"]> = Extract<Overlay, { kind: Kind }>;

const only = (model: Model): Updated => [model, []];
const close = (model: Model): Updated => only({ ...model, overlay: null });
const show = (model: Model, overlay: Overlay): Updated => only({ ...model, overlay });

/** Keys that move through text that is longer than the screen. */
const steps: Readonly<Partial<Record<Action, (top: number, page: number) => number>>> = {
  up: (top) => top - 1,
  down: (top) => top + 1,
  "page-up": (top, page) => top - page,
  "page-down": (top, page) => top + page,
  first: () => 0,
  last: () => Number.MAX_SAFE_INTEGER,
};

const read = (model: Model, overlay: Of<"help"> | Of<"error">, key: KeyPress): Updated => {
  const action = actionOf("everywhere", key);
  const by = key.name === "wheel-up" ? -3 : key.name === "wheel-down" ? 3 : 0;
  if (by !== 0) return show(model, { ...overlay, top: Math.max(0, overlay.top + by) });
  const step = action === null ? undefined : steps[action];
  if (step) return show(model, { ...overlay, top: Math.max(0, step(overlay.top, model.size.rows - 4)) });
  const isClosing = key.name === "escape" || key.name === "enter" || action === "leave" || action === overlay.kind;
  return isClosing ? close(model) : only(model);
};

const isYes = ({ text }: KeyPress): boolean => text === "y" || text === "Y";

/** Whatever is not a clear yes is a no. */
const answer = (model: Model, overlay: Of<"confirm">, key: KeyPress): Updated => {
  if (key.at) return only(model);
  const closed = { ...model, overlay: null };
  return isYes(key) ? perform(closed, overlay.verb, overlay.ids) : only(closed);
};

const answerLeaving = (model: Model, key: KeyPress): Updated => {
  if (key.at) return only(model);
  return isYes(key) ? [model, [{ kind: "leave" }]] : close(model);
};

export const formFactsOf = (model: Model): FormFacts => ({
  names: new Set([...(model.vms?.values() ?? [])].map(({ name }) => name)),
  images: (model.images ?? []).map(({ name }) => name),
  host: model.host && {
    cpus: model.host.cpus,
    freeMemoryMiB: model.host.memoryMiB - model.host.memoryUsedMiB,
    freeDiskMiB: model.host.disk && model.host.disk.totalMiB - model.host.disk.usedMiB,
  },
});

const fill = (model: Model, overlay: Of<"form">, key: KeyPress): Updated => {
  const { form } = overlay;
  const count = form.fields.length;
  const to = (next: typeof form): Updated => show(model, { ...overlay, form: next });
  const focus = (by: number): Updated => to({ ...form, focus: (form.focus + by + count) % count });
  const hasChoices = (form.fields[form.focus]?.choices ?? null) !== null;
  switch (key.name) {
    case "escape":
    case "ctrl-c":
      return close(model);
    case "tab":
    case "down":
      return focus(1);
    case "shift-tab":
    case "up":
      return focus(-1);
    case "enter":
      // A form that is not right stays, and says at each field why.
      return isRight(form, formFactsOf(model)) ? performForm({ ...model, overlay: null }, callsOf(form)) : only(model);
    case "left":
    case "right":
      return to(choose(form, key.name === "left" ? -1 : 1));
    case "backspace":
    case "delete":
      return hasChoices ? only(model) : to(withValue(form, (value) => [...value].slice(0, -1).join("")));
    case "ctrl-u":
      return hasChoices ? only(model) : to(withValue(form, () => ""));
  }
  if (hasChoices) return key.name === "space" ? to(choose(form, 1)) : only(model);
  return key.text === "" ? only(model) : to(withValue(form, (value) => (value + key.text).slice(0, 400)));
};

/** Rows that a log has on the screen. */
export const logRowsOf = (model: Model): number => Math.max(1, model.size.rows - 2);

const typeSearch = (model: Model, overlay: Of<"logs">, key: KeyPress): Updated => {
  const { query } = overlay;
  if (key.name === "escape") return show(model, { ...overlay, isTyping: false, query: "" });
  if (key.name === "enter") return jump(model, { ...overlay, isTyping: false }, "up", true);
  if (key.name === "backspace") return show(model, { ...overlay, query: [...query].slice(0, -1).join("") });
  return key.text === "" ? only(model) : show(model, { ...overlay, query: query + key.text });
};

/** Goes to the next line with what is searched; stays where there is none. */
const jump = (model: Model, overlay: Of<"logs">, direction: "up" | "down", isHereToo = false): Updated => {
  const lines = model.log?.lines ?? [];
  const bottom = lines.length - 1 - overlay.fromEnd;
  const hits = hitsOf(lines, overlay.query);
  const hit =
    direction === "up"
      ? hits.findLast((index) => (isHereToo ? index <= bottom : index < bottom))
      : hits.find((index) => index > bottom);
  return show(model, { ...overlay, fromEnd: hit === undefined ? overlay.fromEnd : lines.length - 1 - hit });
};

const follow = (model: Model, overlay: Of<"logs">, key: KeyPress): Updated => {
  if (overlay.isTyping) return typeSearch(model, overlay, key);
  const page = logRowsOf(model);
  const highest = Math.max(0, (model.log?.lines.length ?? 0) - page);
  const lookAt = (fromEnd: number) => show(model, { ...overlay, fromEnd: Math.max(0, Math.min(fromEnd, highest)) });
  if (key.name === "wheel-up") return lookAt(overlay.fromEnd + 3);
  if (key.name === "wheel-down") return lookAt(overlay.fromEnd - 3);
  switch (actionOf("logs", key)) {
    case "back":
      return overlay.query === "" ? close(model) : show(model, { ...overlay, query: "" });
    case "leave":
      return close(model);
    case "up":
      return lookAt(overlay.fromEnd + 1);
    case "down":
      return lookAt(overlay.fromEnd - 1);
    case "page-up":
      return lookAt(overlay.fromEnd + page);
    case "page-down":
      return lookAt(overlay.fromEnd - page);
    case "first":
      return lookAt(highest);
    case "last":
      return lookAt(0);
    case "search":
      return show(model, { ...overlay, isTyping: true, query: "" });
    case "next-hit":
      return jump(model, overlay, "up");
    case "previous-hit":
      return jump(model, overlay, "down");
    default:
      return only(model);
  }
};

export const updateOverlay = (model: Model, overlay: Overlay, key: KeyPress): Updated => {
  switch (overlay.kind) {
    case "help":
    case "error":
      return read(model, overlay, key);
    case "confirm":
      return answer(model, overlay, key);
    case "confirm-leaving":
      return answerLeaving(model, key);
    case "form":
      return fill(model, overlay, key);
    case "logs":
      return follow(model, overlay, key);
  }
};
