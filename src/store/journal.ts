// The tables `operations` and `steps`: what was begun, done and undone, each line on disk before the effect it speaks of.
import type { Journal } from "../engine/step.ts";
import { fail } from "../spec/errors.ts";
import { Operation, type OperationOutcome, type OperationStep } from "../spec/records.ts";
import type { Connection, Row } from "./connection.ts";
import { parseJson, readColumns } from "./documents.ts";

export type OperationId = number;

export type JournalTable = {
  /** Errors: internal.bug for a plan without a numeric `version`. */
  beginOperation(options: {
    /** noun.verb, for example `vm.start`. */
    kind: string;
    /** Id of what it is about. */
    subject: string;
    plan: { version: number };
    /** The request it serves, for people: a method's name, `recovery`. */
    requestedBy: string;
  }): OperationId;
  /** The engine's port: every call is committed when it returns. Works again after a restart, for any open operation. */
  journalFor(operation: OperationId): Journal;
  /** Every step was done. The operation stays open, since what it made stands. */
  markDone(operation: OperationId): void;
  /** Closes it. Errors: internal.bug for `undone` while steps still stand. Closing twice keeps the first outcome. */
  close(operation: OperationId, outcome: OperationOutcome, detail?: string): void;
  get(operation: OperationId): Operation | null;
  /** Every operation that is not closed, oldest first: what recovery, reconcile and audit look at. */
  open(): readonly Operation[];
  /** The newest open operation of this kind about `subject`. */
  standing(subject: string, kind: string): Operation | null;
};

const STANDING = "('begun', 'done', 'undo_failed')";

/** Reads rows of `operations` together with their steps. */
export const operationReader = (connection: Connection) => {
  const steps = connection.prepare("SELECT * FROM steps WHERE operation_id = ? ORDER BY ordinal");
  return (row: Row): Operation =>
    readColumns(
      Operation,
      { path: connection.path, row: `operation ${String(row.id)}` },
      {
        id: row.id,
        kind: row.kind,
        subject: row.subject,
        planVersion: row.plan_version,
        plan: parseJson(row.plan),
        requestedBy: row.requested_by,
        startedAt: row.started_at,
        doneAt: row.done_at,
        endedAt: row.ended_at,
        outcome: row.outcome,
        detail: row.detail,
        steps: steps.all(Number(row.id)).map(({ name, phase, ms, detail }) => ({ name, phase, ms, detail })),
      },
    );
};

type JournalOptions = {
  clock: () => Date;
  transaction: <Result>(work: () => Result) => Result;
  /** Told after an operation about `subject` was closed, inside the same transaction. */
  onClose: (subject: string) => void;
};

export const journalTable = (connection: Connection, { clock, transaction, onClose }: JournalOptions): JournalTable => {
  const now = () => clock().toISOString();
  const insert = connection.prepare(
    "INSERT INTO operations (kind, subject, plan_version, plan, requested_by, started_at) VALUES (?, ?, ?, ?, ?, ?)",
  );
  const select = connection.prepare("SELECT * FROM operations WHERE id = ?");
  const selectOpen = connection.prepare("SELECT * FROM operations WHERE ended_at IS NULL ORDER BY id");
  const selectStanding = connection.prepare(
    "SELECT * FROM operations WHERE subject = ? AND kind = ? AND ended_at IS NULL ORDER BY id DESC LIMIT 1",
  );
  const setDone = connection.prepare("UPDATE operations SET done_at = ? WHERE id = ? AND ended_at IS NULL");
  const setClosed = connection.prepare(
    "UPDATE operations SET ended_at = ?, outcome = ?, detail = ? WHERE id = ? AND ended_at IS NULL",
  );
  // A step that is begun again after having been undone takes the newest place: undoing goes by the order of beginning.
  const begin = connection.prepare(
    `INSERT OR REPLACE INTO steps (operation_id, ordinal, name, phase, ms, detail)
     VALUES ($id, (SELECT coalesce(max(ordinal), 0) + 1 FROM steps WHERE operation_id = $id), $name, 'begun', NULL, NULL)`,
  );
  const setStep = connection.prepare(
    "UPDATE steps SET phase = $phase, ms = coalesce($ms, ms), detail = $detail WHERE operation_id = $id AND name = $name",
  );
  const standingSteps = connection.prepare(
    `SELECT name FROM steps WHERE operation_id = ? AND phase IN ${STANDING} ORDER BY ordinal`,
  );
  const read = operationReader(connection);
  const readOrNull = (row: Row | null): Operation | null => (row === null ? null : read(row));
  const standingOf = (id: OperationId): readonly string[] => standingSteps.all(id).map(({ name }) => String(name));

  const mark = (
    id: OperationId,
    step: { name: string; phase: OperationStep["phase"]; ms?: number; detail?: string },
  ): void => {
    const { name, phase, ms = null, detail = null } = step;
    // Whether a step that was begun is also done decides nothing, and undoing twice is harmless: only `begin` has to be on the disk.
    if (connection.unhurried(() => setStep.run({ id, name, phase, ms, detail })).changes === 0) {
      throw fail("internal.bug", { detail: `step ${name} of operation ${id} is ${phase} without having been begun` });
    }
  };

  return {
    beginOperation: ({ kind, subject, plan, requestedBy }) => {
      if (!Number.isInteger(plan.version)) throw fail("internal.bug", { detail: `the plan of ${kind} has no version` });
      return insert.run(kind, subject, plan.version, JSON.stringify(plan), requestedBy, now()).lastId;
    },
    journalFor: (id) => ({
      begin: (name) => void begin.run({ id, name }),
      done: (name, ms) => mark(id, { name, phase: "done", ms }),
      undone: (name) => mark(id, { name, phase: "undone" }),
      undoFailed: (name, detail) => mark(id, { name, phase: "undo_failed", detail }),
      standing: () => standingOf(id),
    }),
    markDone: (id) => void setDone.run(now(), id),
    close: (id, outcome, detail) =>
      transaction(() => {
        const row = select.get(id);
        if (row === null || row.ended_at !== null) return;
        const left = outcome === "undone" ? standingOf(id) : [];
        if (left.length > 0) {
          throw fail("internal.bug", { detail: `operation ${id} cannot be undone while ${left.join(", ")} stand` });
        }
        setClosed.run(now(), outcome, detail ?? null, id);
        onClose(String(row.subject));
      }),
    get: (id) => readOrNull(select.get(id)),
    open: () => selectOpen.all().map(read),
    standing: (subject, kind) => readOrNull(selectStanding.get(subject, kind)),
  };
};
