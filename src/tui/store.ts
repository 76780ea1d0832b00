// Holds the model and the frame made of it: messages go in, effects and changed frames come out.
import type { Line } from "./line.ts";
import type { Effect, Message } from "./message.ts";
import type { Model } from "./model.ts";
import { update } from "./update.ts";
import { renderScreen } from "./view/screen.ts";

export type Frame = readonly string[];

export type Store = {
  model: () => Model;
  frame: () => Frame;
  dispatch: (message: Message) => void;
  subscribe: (listener: () => void) => () => void;
};

/** What comes from the daemon is drawn so much later, so that a change and its details are one frame; keys are drawn at once. */
const FRAME_MS = 100;

const isSame = (one: Frame, other: Frame): boolean =>
  one.length === other.length && one.every((line, index) => line === other[index]);

/** `onChange` is called after each message, with what it asks for. */
export const openStore = (given: {
  model: Model;
  paint: (line: Line) => string;
  onChange: (model: Model, effects: readonly Effect[]) => void;
}): Store => {
  const { paint, onChange } = given;
  const draw = (): Frame => renderScreen(model).map(paint);
  const listeners = new Set<() => void>();
  let model = given.model;
  let frame = draw();
  let timer: ReturnType<typeof setTimeout> | null = null;

  const show = (): void => {
    if (timer !== null) clearTimeout(timer);
    timer = null;
    const next = draw();
    if (isSame(frame, next)) return;
    frame = next;
    for (const listener of listeners) listener();
  };

  return {
    model: () => model,
    frame: () => frame,
    dispatch: (message) => {
      const [next, effects] = update(model, message);
      const isChanged = next !== model;
      model = next;
      if (message.type === "key" || message.type === "resized") show();
      else if (isChanged) timer ??= setTimeout(show, FRAME_MS);
      onChange(model, effects);
    },
    subscribe: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
};
