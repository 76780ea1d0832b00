// Hands every change to those who subscribed, and to the store first, so that a cursor can be resumed.
import type { ChangeEvent, Event } from "../spec/events.ts";

export type EventBus = {
  publish(event: ChangeEvent): void;
  /** Calls `listener` for each change from now on; the answer ends it. */
  subscribe(listener: (event: Event) => void): () => void;
};

/** `record` stores an event and gives it its cursor. */
export const createEventBus = (record: (event: ChangeEvent) => Event): EventBus => {
  const listeners = new Set<(event: Event) => void>();
  return {
    publish(event) {
      const recorded = record(event);
      for (const listener of listeners) listener(recorded);
    },
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
};
