// The daemon's memory: one SQLite file, opened safely, with one table object per noun and transactions over all of them.
import { fail } from "../spec/errors.ts";
import type { Connection } from "./connection.ts";
import { type EventTable, eventTable } from "./events.ts";
import { type ImageTable, imageTable } from "./images.ts";
import { type JournalTable, journalTable } from "./journal.ts";
import { type KernelTable, kernelTable } from "./kernels.ts";
import { type MetaTable, metaTable } from "./meta.ts";
import { type Migration, migrations as released } from "./migrations.ts";
import { openDatabase } from "./open.ts";
import { type PrivLogTable, privLogTable } from "./priv-log.ts";
import { type TimingTable, timingTable } from "./timings.ts";
import { type VmTable, vmTable } from "./vms.ts";

export type { Unreadable } from "./documents.ts";
export type { OperationId } from "./journal.ts";

export type Store = {
  path: string;
  vms: VmTable;
  images: ImageTable;
  kernels: KernelTable;
  journal: JournalTable;
  timings: TimingTable;
  events: EventTable;
  privLog: PrivLogTable;
  meta: MetaTable;
  /**
   * All of `work` or nothing; nested ones join the outermost, and what an inner one did is taken back alone when it throws.
   * Synchronous only: a promise is refused, since another request's writes would get in between.
   */
  transaction<Result>(work: () => Result extends PromiseLike<unknown> ? never : Result): Result;
  /** What SQLite's full check and the foreign keys complain of; empty when all is well. */
  integrityCheck(): readonly string[];
  /** Writes the log back into the file when nobody else has it open. Later calls do nothing. */
  close(): void;
};

export type OpenStoreOptions = {
  /** Absolute path of the database; made, with mode 0600, when it is not there. */
  path: string;
  clock?: () => Date;
  readOnly?: boolean;
  /** For tests of migrating; the released list otherwise. */
  migrations?: readonly Migration[];
};

/** Errors: store.corrupt, store.newer_schema, host.file_failed. What is refused is left as it is. */
export const openStore = (options: OpenStoreOptions): Store => {
  const { path, clock = () => new Date(), readOnly = false, migrations = released } = options;
  const connection = openDatabase({ path, clock, readOnly, migrations });
  let forgetCaches = (): void => {};
  const transaction = transactionsOf(connection, () => forgetCaches());
  const vms = vmTable(connection);
  forgetCaches = vms.forgetCache;
  const timings = timingTable(connection);
  let isOpen = true;
  return {
    path,
    vms,
    images: imageTable(connection, transaction),
    kernels: kernelTable(connection),
    journal: journalTable(connection, { clock, transaction, onClose: timings.prune }),
    timings,
    events: eventTable(connection, clock),
    privLog: privLogTable(connection),
    meta: metaTable(connection),
    transaction,
    integrityCheck: () => integrityOf(connection),
    close: () => {
      if (isOpen) connection.close();
      isOpen = false;
    },
  };
};

/** BEGIN IMMEDIATE takes the write lock at once: a transaction that reads first and writes later could otherwise fail with SQLITE_BUSY at any time. */
const transactionsOf = (connection: Connection, onRollback: () => void) => {
  let depth = 0;
  return <Result>(work: () => Result): Result => {
    const savepoint = `level_${depth}`;
    connection.exec(depth === 0 ? "BEGIN IMMEDIATE" : `SAVEPOINT ${savepoint}`);
    depth += 1;
    try {
      const result = work();
      if (result instanceof Promise) {
        throw fail("internal.bug", { detail: "a transaction was given work that does not end at once" });
      }
      connection.exec(depth === 1 ? "COMMIT" : `RELEASE ${savepoint}`);
      return result;
    } catch (error) {
      onRollback();
      // SQLite has rolled back by itself after some errors (disk full, I/O).
      if (connection.isInTransaction()) {
        connection.exec(depth === 1 ? "ROLLBACK" : `ROLLBACK TO ${savepoint}; RELEASE ${savepoint}`);
      }
      throw error;
    } finally {
      depth -= 1;
    }
  };
};

const integrityOf = (connection: Connection): readonly string[] => {
  const answers = connection.rows("PRAGMA integrity_check");
  const orphans = connection.rows("PRAGMA foreign_key_check");
  return [
    ...answers.map((row) => String(Object.values(row)[0])).filter((answer) => answer !== "ok"),
    ...orphans.map(({ table, rowid }) => `row ${String(rowid)} of ${String(table)} refers to nothing`),
  ];
};
