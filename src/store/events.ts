// The table `events`: the newest changes with cursors that are never used twice, so that a stream can be resumed.
import { ChangeEvent, type Event } from "../spec/events.ts";
import type { Connection } from "./connection.ts";
import { parseJson } from "./documents.ts";

/** Events that are kept at least; up to PRUNE_EVERY more lie there between two prunings. */
export const EVENTS_KEPT = 10_000;
const PRUNE_EVERY = 500;

export type EventTable = {
  append(event: ChangeEvent): Event;
  /** Events after `cursor`, oldest first, at most `limit`; kinds that only a newer banger knows are left out. */
  since(cursor: number, limit: number): readonly Event[];
  /** Cursors of the oldest and newest event that are kept; `newest` is 0 before the first event. A stream resumed before `oldest - 1` has missed some. */
  range(): { oldest: number; newest: number };
};

export const eventTable = (connection: Connection, clock: () => Date): EventTable => {
  const insert = connection.prepare("INSERT INTO events (at, event) VALUES (?, ?)");
  const select = connection.prepare("SELECT * FROM events WHERE cursor > ? ORDER BY cursor LIMIT ?");
  const prune = connection.prepare("DELETE FROM events WHERE cursor <= ?");
  const bounds = connection.prepare("SELECT min(cursor) AS oldest, max(cursor) AS newest FROM events");
  return {
    append: (event) => {
      const at = clock().toISOString();
      const cursor = connection.unhurried(() => insert.run(at, JSON.stringify(event)).lastId);
      if (cursor % PRUNE_EVERY === 0) prune.run(cursor - EVENTS_KEPT);
      return { cursor, at, event };
    },
    since: (cursor, limit) =>
      select.all(cursor, limit).flatMap((row) => {
        const event = ChangeEvent.safeParse(parseJson(row.event));
        return event.success ? [{ cursor: Number(row.cursor), at: String(row.at), event: event.data }] : [];
      }),
    range: () => {
      const row = bounds.get();
      return { oldest: Number(row?.oldest ?? 0), newest: Number(row?.newest ?? 0) };
    },
  };
};
