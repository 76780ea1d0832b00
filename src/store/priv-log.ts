// The table `priv_log`: every privileged operation that was asked, by which request, and its result; the newest are kept.
import { PrivLogEntry } from "../spec/host-op.ts";
import type { Connection } from "./connection.ts";
import { readColumns } from "./documents.ts";

/** Entries that are kept at least; up to PRUNE_EVERY more lie there between two prunings. */
export const PRIV_LOG_KEPT = 5_000;
const PRUNE_EVERY = 250;

export type PrivLogTable = {
  append(entry: PrivLogEntry): void;
  /** The newest `limit` entries, oldest of them first. */
  tail(limit: number): readonly PrivLogEntry[];
};

export const privLogTable = (connection: Connection): PrivLogTable => {
  const insert = connection.prepare(
    "INSERT INTO priv_log (at, requested_by, op, detail, ok, ms, error) VALUES (?, ?, ?, ?, ?, ?, ?)",
  );
  const select = connection.prepare("SELECT * FROM priv_log ORDER BY id DESC LIMIT ?");
  const prune = connection.prepare("DELETE FROM priv_log WHERE id <= ?");
  return {
    append: ({ at, requestedBy, op, detail, ok, ms, error }) => {
      const id = insert.run(at, requestedBy, op, detail, ok ? 1 : 0, ms, error).lastId;
      if (id % PRUNE_EVERY === 0) prune.run(id - PRIV_LOG_KEPT);
    },
    tail: (limit) =>
      [...select.all(limit)].reverse().map((row) =>
        readColumns(
          PrivLogEntry,
          { path: connection.path, row: `priv_log ${String(row.id)}` },
          {
            at: row.at,
            requestedBy: row.requested_by,
            op: row.op,
            detail: row.detail,
            ok: row.ok === 1,
            ms: row.ms,
            error: row.error,
          },
        ),
      ),
  };
};
