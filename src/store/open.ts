// Opens the database file: refuses what it must not touch, keeps it private, backs it up and brings its schema up to date.
import {
  chmodSync,
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  rmSync,
  statSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import { describeUnknown, fail, hasCode, isBangerError } from "../spec/errors.ts";
import { type Connection, connect, isBusy } from "./connection.ts";
import { APPLICATION_ID, latestVersion, type Migration } from "./migrations.ts";

/** How many backups are kept beside the database. */
export const BACKUPS_KEPT = 3;
const PRIVATE = 0o600;
const WAL_SWITCH_TRIES = 400;
const WAL_SWITCH_PAUSE_MS = 10;

type OpenOptions = { path: string; readOnly: boolean; clock: () => Date; migrations: readonly Migration[] };

/** Errors: store.corrupt, store.newer_schema (the file is then as it was, byte for byte), host.file_failed. */
export const openDatabase = (options: OpenOptions): Connection => {
  const { path, readOnly, migrations } = options;
  const isThere = existsSync(path);
  if (!isThere && readOnly) throw fail("host.file_failed", { path, operation: "open", detail: "no such file" });
  if (!isThere) create(path);
  const found = inspect(path);
  const known = latestVersion(migrations);
  if (found > known) throw fail("store.newer_schema", { path, found, known });
  if (readOnly) {
    if (found === known) return connect(path, { readOnly });
    const detail = `its schema ${found} has to be brought to ${known} first, which the daemon does when it starts`;
    throw fail("host.file_failed", { path, operation: "read", detail });
  }
  keepPrivate(path);
  const connection = connect(path, { readOnly });
  try {
    switchToWal(connection);
    if (found < known) migrate(connection, options);
    return connection;
  } catch (error) {
    connection.close();
    throw error;
  }
};

// Opened before SQLite does: closing a descriptor of a file drops every POSIX lock that this process has on it.
const create = (path: string): void => {
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    closeSync(openSync(path, "ax", PRIVATE));
  } catch (error) {
    if (existsSync(path)) return;
    throw fail("host.file_failed", { path, operation: "create", detail: describeUnknown(error) }, error);
  }
};

const keepPrivate = (path: string): void => {
  for (const file of [path, `${path}-wal`, `${path}-shm`]) {
    try {
      if ((statSync(file).mode & 0o777) !== PRIVATE) chmodSync(file, PRIVATE);
    } catch (error) {
      if (file === path)
        throw fail("host.file_failed", { path, operation: "chmod", detail: describeUnknown(error) }, error);
    }
  }
};

/** The schema version in the file, read without ever writing to it. */
const inspect = (path: string): number => {
  const connection = connect(path, { readOnly: true });
  try {
    // One look: another process may be making the very first schema between two of these questions.
    connection.exec("BEGIN");
    const version = Number(connection.pragma("user_version"));
    const isEmpty = connection.rows("SELECT 1 FROM sqlite_schema LIMIT 1").length === 0;
    if (isEmpty && version === 0) return 0;
    if (Number(connection.pragma("application_id")) !== APPLICATION_ID || version < 1) {
      throw fail("store.corrupt", { path, detail: "it is no database of banger" });
    }
    const damage = firstDamage(connection);
    if (damage !== null) throw fail("store.corrupt", { path, detail: damage });
    return version;
  } finally {
    if (connection.isInTransaction()) connection.exec("ROLLBACK");
    connection.close();
  }
};

/** The first thing that SQLite's quick check finds wrong, or null. */
export const firstDamage = (connection: Connection): string | null => {
  const answer = String(connection.pragma("quick_check(1)"));
  return answer === "ok" ? null : answer.replaceAll("\n", " ");
};

// The switch needs the file for itself, and SQLite does not call its busy handler for it: two daemons that start at once meet here.
const switchToWal = (connection: Connection): void => {
  for (let tries = 1; ; tries += 1) {
    try {
      if (connection.pragma("journal_mode = WAL") === "wal") return;
      throw fail("host.file_failed", {
        path: connection.path,
        operation: "use",
        detail: "its file system cannot hold a write-ahead log; a local one is needed",
      });
    } catch (error) {
      const isWorthAnotherTry = isBangerError(error) && isBusy(error.cause) && tries < WAL_SWITCH_TRIES;
      if (!isWorthAnotherTry) throw error;
      Bun.sleepSync(WAL_SWITCH_PAUSE_MS);
    }
  }
};

const migrate = (connection: Connection, options: OpenOptions): void => {
  const { path, clock, migrations } = options;
  const known = latestVersion(migrations);
  // Rebuilding a table with foreign keys on would delete what refers to it; the check below makes up for their being off.
  connection.exec("PRAGMA foreign_keys = OFF");
  connection.exec("BEGIN IMMEDIATE");
  // Read again under the lock: another process may have been quicker.
  const before = Number(connection.pragma("user_version"));
  try {
    if (before > 0 && before < known) backUp(path, { from: before, at: clock() });
    for (const { version, sql } of [...migrations].sort((one, other) => one.version - other.version)) {
      if (version <= before) continue;
      connection.exec(sql);
      connection.exec(`PRAGMA user_version = ${version}`);
    }
    const [orphan] = connection.rows("PRAGMA foreign_key_check");
    if (orphan !== undefined)
      throw fail("internal.bug", { detail: `rows of ${String(orphan.table)} refer to nothing` });
    connection.exec("COMMIT");
  } catch (error) {
    if (connection.isInTransaction()) connection.exec("ROLLBACK");
    if (hasCode(error, "host.file_failed")) throw error;
    const detail = `bringing it from schema ${before} to ${known} failed and was taken back: ${describeUnknown(error)}`;
    throw fail("store.corrupt", { path, detail }, error);
  }
  connection.exec("PRAGMA foreign_keys = ON");
  for (const file of listBackups(path).slice(0, -BACKUPS_KEPT)) rmSync(file, { force: true });
};

/** Copies the database as it is; the caller holds the write lock, and so a connection of its own does the reading. */
const backUp = (path: string, { from, at }: { from: number; at: Date }): void => {
  const base = `${path}.backup-${from}-${at.toISOString().replaceAll(/[-:.]/g, "")}`;
  let target = base;
  for (let copy = 2; existsSync(target); copy += 1) target = `${base}-${copy}`;
  const reader = connect(path, { readOnly: true });
  try {
    // VACUUM INTO accepts an empty file, and so the copy is never readable by others, not even for a moment.
    closeSync(openSync(target, "ax", PRIVATE));
    reader.exec(`VACUUM INTO '${target.replaceAll("'", "''")}'`);
    const descriptor = openSync(target, "r+");
    fsyncSync(descriptor);
    closeSync(descriptor);
  } catch (error) {
    rmSync(target, { force: true });
    const detail = describeUnknown(error);
    throw fail("host.file_failed", { path: target, operation: "write the backup", detail }, error);
  } finally {
    reader.close();
  }
};

/** The backups beside `path`, oldest first. */
export const listBackups = (path: string): readonly string[] => {
  const stampOf = (name: string) => name.slice(prefix.length).replace(/^\d+-/, "");
  const prefix = `${basename(path)}.backup-`;
  return readdirSync(dirname(path))
    .filter((name) => name.startsWith(prefix) && /^\d+-\d{8}T\d{9}Z(-\d+)?$/.test(name.slice(prefix.length)))
    .sort((one, other) => (stampOf(one) < stampOf(other) ? -1 : 1))
    .map((name) => join(dirname(path), name));
};
