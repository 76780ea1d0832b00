// What opening promises: the file is private, nothing foreign or newer is touched, and migrating leaves a way back.
import { Database } from "bun:sqlite";
import { expect, test } from "bun:test";
import { chmodSync, copyFileSync, readdirSync, readFileSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { connect, PRAGMAS } from "../../src/store/connection.ts";
import { latestVersion, type Migration, migrations } from "../../src/store/migrations.ts";
import { BACKUPS_KEPT, listBackups } from "../../src/store/open.ts";
import { openStore } from "../../src/store/store.ts";
import { codeThrownBy, idOf, inDirectory, sampleVm } from "./sample.ts";

const fixtures = join(import.meta.dir, "../fixtures/store");
const next = latestVersion() + 1;
const withNext = (sql: string): readonly Migration[] => [...migrations, { version: next, sql }];

const fromFixture = (path: string, name: string): void => {
  const database = new Database(path);
  database.run(`BEGIN; ${readFileSync(join(fixtures, name), "utf8")} COMMIT;`);
  database.close();
};

const withRaw = (path: string, work: (database: Database) => void): void => {
  const database = new Database(path);
  work(database);
  database.close();
};

const sha256 = (path: string): string => new Bun.CryptoHasher("sha256").update(readFileSync(path)).digest("hex");
const modeOf = (path: string): number => statSync(path).mode & 0o777;

/** Opening throws this code, and the file is afterwards what it was. */
const expectRefused = (path: string, code: string): void => {
  const before = sha256(path);
  expect(codeThrownBy(() => openStore({ path }))).toBe(code);
  expect(codeThrownBy(() => openStore({ path, readOnly: true }))).toBe(code);
  expect(sha256(path)).toBe(before);
};

test("every connection has the pragmas, however it was opened", () =>
  inDirectory((directory) => {
    const path = `${directory}/banger.db`;
    openStore({ path }).close();
    const connections = [false, true, false].map((readOnly) => connect(path, { readOnly }));
    for (const connection of connections) {
      for (const [name, value] of Object.entries(PRAGMAS))
        expect([name, connection.pragma(name)]).toEqual([name, value]);
      expect(connection.pragma("journal_mode")).toBe("wal");
      // Lines that may be late leave the others as careful as before, also when they fail.
      expect(connection.unhurried(() => connection.pragma("synchronous"))).toBe(1);
      expect(() => connection.unhurried(() => connection.exec("nonsense"))).toThrow();
      expect(connection.pragma("synchronous")).toBe(2);
      connection.close();
    }
    expect(PRAGMAS).toMatchObject({ busy_timeout: 5000, foreign_keys: 1, synchronous: 2 });
  }));

test("connections are opened in one place only, and foreign keys are on again after a migration", () =>
  inDirectory((directory) => {
    const source = join(import.meta.dir, "../../src");
    const openers = readdirSync(source, { recursive: true, encoding: "utf8" }).filter(
      (file) => file.endsWith(".ts") && readFileSync(join(source, file), "utf8").includes("new Database("),
    );
    expect(openers).toEqual(["store/connection.ts"]);
    const store = openStore({ path: `${directory}/banger.db` });
    const orphan = { id: "i", name: "x", aliases: [], dir: "/x", sizeMiB: 1, usedMiB: 1, kernelId: "none" };
    const insert = () =>
      store.images.insert({ ...orphan, helperVersion: null, createdAt: "x", origin: { how: "built", details: {} } });
    expect(codeThrownBy(insert)).toBe("SQLITE_CONSTRAINT_FOREIGNKEY");
    store.close();
  }));

test("the file and its log can be read by their owner alone, also where they were open to others", () =>
  inDirectory((directory) => {
    const path = `${directory}/state/banger.db`;
    const store = openStore({ path });
    store.meta.set("a", "b");
    for (const file of readdirSync(`${directory}/state`))
      expect([file, modeOf(`${directory}/state/${file}`)]).toEqual([file, 0o600]);
    store.close();
    chmodSync(path, 0o644);
    openStore({ path }).close();
    expect(modeOf(path)).toBe(0o600);
  }));

test("a database of a newer schema is refused and left byte for byte as it was, with what its log holds", () =>
  inDirectory((directory) => {
    const path = `${directory}/banger.db`;
    openStore({ path }).close();
    withRaw(path, (database) => database.run(`PRAGMA user_version = ${next}`));
    expectRefused(path, "store.newer_schema");
    // The version may stand in the log alone, as after a kill -9 of the newer daemon.
    const other = `${directory}/other.db`;
    openStore({ path: other }).close();
    const writer = new Database(other);
    writer.run("PRAGMA journal_mode = WAL");
    writer.run(`PRAGMA user_version = ${next}`);
    const copy = `${directory}/copy.db`;
    for (const suffix of ["", "-wal"]) copyFileSync(other + suffix, copy + suffix);
    writer.close();
    const logBefore = sha256(`${copy}-wal`);
    expectRefused(copy, "store.newer_schema");
    expect(sha256(`${copy}-wal`)).toBe(logBefore);
    expect(listBackups(copy)).toEqual([]);
  }));

test("what is no database, half a database, a damaged one or somebody else's is refused and left as it was", () =>
  inDirectory((directory) => {
    const at = (name: string) => `${directory}/${name}`;
    writeFileSync(at("text"), "this is no database, and it is long enough to be looked at".repeat(40));
    expectRefused(at("text"), "store.corrupt");

    fromFixture(at("whole"), "schema-1.sql");
    copyFileSync(at("whole"), at("half"));
    truncateSync(at("half"), Math.floor(statSync(at("half")).size / 2));
    expectRefused(at("half"), "store.corrupt");

    const bytes = readFileSync(at("whole"));
    bytes.fill(0xff, 4096 * 2, 4096 * 3);
    writeFileSync(at("scribbled"), bytes);
    expectRefused(at("scribbled"), "store.corrupt");

    withRaw(at("foreign"), (database) => database.run("CREATE TABLE cookies (name TEXT)"));
    expectRefused(at("foreign"), "store.corrupt");
  }));

test("a path that cannot hold a file is said so", () =>
  inDirectory((directory) => {
    writeFileSync(`${directory}/file`, "");
    expect(codeThrownBy(() => openStore({ path: `${directory}/file/banger.db` }))).toBe("host.file_failed");
    expect(codeThrownBy(() => openStore({ path: `${directory}/none.db`, readOnly: true }))).toBe("host.file_failed");
    expect(readdirSync(directory)).toEqual(["file"]);
  }));

test("a database of schema 1 is read, record by record", () =>
  inDirectory((directory) => {
    const path = `${directory}/banger.db`;
    fromFixture(path, "schema-1.sql");
    const store = openStore({ path });
    expect(store.vms.unreadable()).toEqual([]);
    expect(store.vms.byName("ada")).toMatchObject({
      id: idOf(1),
      state: "running",
      runtime: { process: { pid: 4242 } },
    });
    expect(store.vms.byName("bob")).toEqual(sampleVm(2, "bob"));
    expect(store.images.byName("debian")).toMatchObject({
      name: "debian-13",
      usedMiB: 412.5,
      kernelId: "k".repeat(64),
    });
    expect(store.kernels.all()).toMatchObject([{ release: "6.1.0-44-cloud-amd64", cmdline: ["quiet"] }]);
    expect(store.journal.open()).toMatchObject([{ kind: "vm.start", steps: [{ name: "tap.create" }, { ms: 40 }] }]);
    expect(store.timings.history(idOf(1))).toHaveLength(2);
    expect(store.events.since(0, 10).map(({ event }) => event.type)).toEqual(["vm.state", "image.added"]);
    expect(store.privLog.tail(10)).toMatchObject([{ op: "tap.create", ok: true }]);
    expect(store.meta.get("network.subnet")).toBe("10.77.5.0/24");
    expect(store.integrityCheck()).toEqual([]);
    store.close();
  }));

test("a migration keeps what was there, after a private backup of the state before", () =>
  inDirectory((directory) => {
    const path = `${directory}/banger.db`;
    fromFixture(path, "schema-1.sql");
    const upgraded = withNext("ALTER TABLE vms ADD COLUMN note TEXT NOT NULL DEFAULT 'none'");
    const store = openStore({ path, migrations: upgraded, clock: () => new Date("2026-11-22T12:00:00.123Z") });
    expect(store.vms.byName("bob")).toEqual(sampleVm(2, "bob"));
    store.close();
    withRaw(path, (database) => {
      expect(database.query("PRAGMA user_version").get()).toEqual({ user_version: next });
      expect(database.query("SELECT note FROM vms WHERE name = 'bob'").get()).toEqual({ note: "none" });
    });
    expect(listBackups(path)).toEqual([`${path}.backup-1-20261122T120000123Z`]);
    const [backup = ""] = listBackups(path);
    expect(modeOf(backup)).toBe(0o600);
    // The way back: the backup in place of the database, for the older banger.
    copyFileSync(backup, `${directory}/restored.db`);
    const restored = openStore({ path: `${directory}/restored.db` });
    expect(restored.vms.all()).toHaveLength(2);
    expect(restored.integrityCheck()).toEqual([]);
    restored.close();
  }));

test("a new database is made without a backup, and an up-to-date one is opened without one", () =>
  inDirectory((directory) => {
    const path = `${directory}/banger.db`;
    openStore({ path }).close();
    openStore({ path }).close();
    expect(readdirSync(directory)).toEqual(["banger.db"]);
  }));

test("a migration that fails is taken back whole, and its backup stays", () =>
  inDirectory((directory) => {
    const path = `${directory}/banger.db`;
    fromFixture(path, "schema-1.sql");
    const failing = [...withNext("DROP TABLE events"), { version: next + 1, sql: "ALTER TABLE nothing ADD COLUMN x" }];
    expect(codeThrownBy(() => openStore({ path, migrations: failing }))).toBe("store.corrupt");
    const orphaning = withNext("PRAGMA defer_foreign_keys = ON; DELETE FROM kernels");
    expect(codeThrownBy(() => openStore({ path, migrations: orphaning }))).toBe("store.corrupt");
    const store = openStore({ path });
    expect(store.events.since(0, 10)).toHaveLength(2);
    expect(store.kernels.all()).toHaveLength(1);
    store.close();
    expect(listBackups(path)).toHaveLength(2);
  }));

test("the newest backups are kept and older ones go", () =>
  inDirectory((directory) => {
    const path = `${directory}/banger.db`;
    openStore({ path }).close();
    let known = migrations;
    for (let version = next; version < next + BACKUPS_KEPT + 2; version += 1) {
      known = [...known, { version, sql: `CREATE TABLE extra_${version} (x TEXT)` }];
      const clock = () => new Date(Date.UTC(2026, 10, 22, 12, 0, version));
      openStore({ path, migrations: known, clock }).close();
    }
    const versions = listBackups(path).map((file) => Number(/backup-(\d+)-/.exec(file)?.[1]));
    expect(versions).toEqual(Array.from({ length: BACKUPS_KEPT }, (_, index) => next + 1 + index));
  }));

test("a reader does not migrate: it says what has to be done first", () =>
  inDirectory((directory) => {
    const path = `${directory}/banger.db`;
    openStore({ path }).close();
    const upgraded = withNext("CREATE TABLE extra (x TEXT)");
    expect(codeThrownBy(() => openStore({ path, readOnly: true, migrations: upgraded }))).toBe("host.file_failed");
    const reader = openStore({ path, readOnly: true });
    expect(codeThrownBy(() => reader.meta.set("a", "b"))).toBe("host.file_failed");
    reader.close();
    reader.close();
  }));
