// Holds the model and shows the frame made of it: messages go in, effects and changed frames come out.
import { type Frame, isSameFrame } from "./frame.ts";
import type { Line } from "./line.ts";
import type { Effect, Message } from "./message.ts";
import type { Model } from "./model.ts";
import { update } from "./update.ts";
import { renderScreen } from "./view/screen.ts";

export type Store = {
  model: () => Model;
  /** The newest frame. */
  frame: () => Frame;
  dispatch: (message: Message) => void;
};

/** What comes from the daemon is drawn so much later, so that a change and its details are one frame. */
const FRAME_MS = 100;
/** Drawn at once: what somebody waits for who looks at the screen, and the details that a change has waited for. */
const prompt = new Set<Message["type"]>(["key", "resized", "shown"]);

/** `onChange` is called after each message, with what it asks for; `onFrame` when there is another one, and after a resize. */
export const openStore = (given: {
  model: Model;
  paint: (line: Line) => string;
  onChange: (model: Model, effects: readonly Effect[]) => void;
  onFrame: (frame: Frame) => void;
}): Store => {
  const { paint, onChange, onFrame } = given;
  const draw = (): Frame => renderScreen(model).map(paint);
  let model = given.model;
  let drawn = model;
  let frame = draw();
  let timer: ReturnType<typeof setTimeout> | null = null;
  /** Keys that came in one piece are one frame. */
  let isDue = false;

  const show = (): void => {
    if (timer !== null) clearTimeout(timer);
    timer = null;
    isDue = false;
    if (drawn === model) return;
    const next = draw();
    const isResized = drawn.size !== model.size;
    drawn = model;
    if (isSameFrame(frame, next) && !isResized) return;
    frame = next;
    onFrame(frame);
  };
  const showNow = (): void => {
    if (isDue) return;
    isDue = true;
    queueMicrotask(show);
  };

  return {
    model: () => model,
    frame: () => frame,
    dispatch: (message) => {
      const [next, effects] = update(model, message);
      const isChanged = next !== model;
      model = next;
      if (prompt.has(message.type)) showNow();
      else if (isChanged) timer ??= setTimeout(show, FRAME_MS);
      onChange(model, effects);
    },
  };
};
