// The one place that opens an SQLite connection: its pragmas, its statements, and what its errors mean to people.
import { Database, type SQLQueryBindings } from "bun:sqlite";
import { describeUnknown, fail } from "../spec/errors.ts";

/** Set on every connection; SQLite forgets them when a connection closes (all but the journal mode). */
export const PRAGMAS = {
  busy_timeout: 5000,
  foreign_keys: 1,
  synchronous: 2,
  trusted_schema: 0,
} as const;

export type Row = Record<string, unknown>;
export type Bindings = SQLQueryBindings[] | [Record<string, SQLQueryBindings>];

/** A prepared statement; its errors are banger's own except for constraints, which each table explains itself. */
export type Statement = {
  all(...bindings: Bindings): readonly Row[];
  get(...bindings: Bindings): Row | null;
  run(...bindings: Bindings): { changes: number; lastId: number };
};

export type Connection = {
  path: string;
  /** Prepares once; the statement lives until `close`. */
  prepare(sql: string): Statement;
  /** Runs SQL of several statements, without bindings. */
  exec(sql: string): void;
  /** The rows of a statement that is used once. */
  rows(sql: string): readonly Row[];
  /** The first value that `PRAGMA <text>` answers. */
  pragma(text: string): unknown;
  isInTransaction(): boolean;
  /**
   * Commits what `work` writes without waiting for the disk: a kill -9 takes nothing of it, a power cut may, until the next ordinary
   * commit, which brings everything before it to the disk too. For lines whose loss after a power cut changes no decision.
   */
  unhurried<Result>(work: () => Result): Result;
  close(): void;
};

const codeOf = (error: unknown): string =>
  error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : "";

export const isUniqueViolation = (error: unknown): boolean =>
  codeOf(error) === "SQLITE_CONSTRAINT_UNIQUE" || codeOf(error) === "SQLITE_CONSTRAINT_PRIMARYKEY";
export const isForeignKeyViolation = (error: unknown): boolean => codeOf(error) === "SQLITE_CONSTRAINT_FOREIGNKEY";
export const isBusy = (error: unknown): boolean => /^SQLITE_(BUSY|LOCKED)/.test(codeOf(error));

/** What an error of SQLite means to the user; constraints and errors of our own pass as they are. */
export const explained = (path: string, error: unknown): unknown => {
  const code = codeOf(error);
  const detail = describeUnknown(error);
  if (/^SQLITE_(CORRUPT|NOTADB)/.test(code)) return fail("store.corrupt", { path, detail }, error);
  if (isBusy(error)) return fail("host.file_failed", { path, operation: "lock", detail }, error);
  if (/^SQLITE_(FULL|IOERR|READONLY|CANTOPEN|PERM|NOLFS)/.test(code)) {
    return fail("host.file_failed", { path, operation: code === "SQLITE_CANTOPEN" ? "open" : "write", detail }, error);
  }
  return error;
};

/** Opens `path`, which exists, and sets every pragma. Errors: store.corrupt, host.file_failed. */
export const connect = (path: string, options: { readOnly: boolean }): Connection => {
  const guarded = <Result>(work: () => Result): Result => {
    try {
      return work();
    } catch (error) {
      throw explained(path, error);
    }
  };
  const database = guarded(
    () => new Database(path, options.readOnly ? { readonly: true, strict: true } : { readwrite: true, strict: true }),
  );
  const prepared: { finalize(): void }[] = [];
  const rows = (sql: string): readonly Row[] =>
    guarded(() => {
      const statement = database.prepare<Row, []>(sql);
      try {
        return statement.all();
      } finally {
        statement.finalize();
      }
    });
  const connection: Connection = {
    path,
    prepare: (sql) => {
      const statement = guarded(() => database.prepare<Row, SQLQueryBindings[]>(sql));
      prepared.push(statement);
      const spread = (bindings: Bindings) => bindings as SQLQueryBindings[];
      return {
        all: (...bindings) => guarded(() => statement.all(...spread(bindings))),
        get: (...bindings) => guarded(() => statement.get(...spread(bindings)) ?? null),
        run: (...bindings) =>
          guarded(() => {
            const { changes, lastInsertRowid } = statement.run(...spread(bindings));
            return { changes, lastId: Number(lastInsertRowid) };
          }),
      };
    },
    exec: (sql) => guarded(() => void database.run(sql)),
    rows,
    pragma: (text) => Object.values(rows(`PRAGMA ${text}`)[0] ?? {})[0],
    isInTransaction: () => database.inTransaction,
    unhurried: (work) => {
      // Inside a transaction the outermost commit decides, and SQLite refuses to change the level.
      if (database.inTransaction) return work();
      database.run("PRAGMA synchronous = NORMAL");
      try {
        return work();
      } finally {
        database.run(`PRAGMA synchronous = ${PRAGMAS.synchronous}`);
      }
    },
    close: () => {
      for (const statement of prepared.splice(0)) statement.finalize();
      database.close();
    },
  };
  try {
    for (const [name, value] of Object.entries(PRAGMAS)) connection.exec(`PRAGMA ${name} = ${value}`);
  } catch (error) {
    connection.close();
    throw error;
  }
  return connection;
};
