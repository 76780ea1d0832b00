// How long the steps of past operations took: the journal's own rows, kept in bounds, for `vm why-slow`.
import type { Operation } from "../spec/records.ts";
import type { Connection } from "./connection.ts";
import { operationReader } from "./journal.ts";

/** Closed operations that are kept for each VM. */
export const KEPT_PER_SUBJECT = 20;
/** Closed operations that are kept of everything that is no VM (any more). */
export const KEPT_OF_GONE = 200;

export type TimingTable = {
  /** Operations about `subject`, newest first, open ones included. */
  history(subject: string, options?: { kind?: string; limit?: number }): readonly Operation[];
  /** Removes closed operations beyond the bounds; open ones never. */
  prune(subject: string): void;
};

export const timingTable = (connection: Connection): TimingTable => {
  const select = connection.prepare(
    "SELECT * FROM operations WHERE subject = $subject AND ($kind IS NULL OR kind = $kind) ORDER BY id DESC LIMIT $limit",
  );
  const pruneSubject = connection.prepare(
    `DELETE FROM operations WHERE subject = $subject AND ended_at IS NOT NULL AND id NOT IN
       (SELECT id FROM operations WHERE subject = $subject AND ended_at IS NOT NULL ORDER BY id DESC LIMIT $kept)`,
  );
  const pruneGone = connection.prepare(
    `DELETE FROM operations WHERE ended_at IS NOT NULL AND subject NOT IN (SELECT id FROM vms) AND id NOT IN
       (SELECT id FROM operations WHERE ended_at IS NOT NULL AND subject NOT IN (SELECT id FROM vms) ORDER BY id DESC LIMIT $kept)`,
  );
  const isVm = connection.prepare("SELECT 1 FROM vms WHERE id = ?");
  const read = operationReader(connection);
  return {
    history: (subject, { kind, limit = KEPT_PER_SUBJECT } = {}) =>
      select.all({ subject, kind: kind ?? null, limit }).map(read),
    prune: (subject) => {
      pruneSubject.run({ subject, kept: KEPT_PER_SUBJECT });
      if (isVm.get(subject) === null) pruneGone.run({ kept: KEPT_OF_GONE });
    },
  };
};
