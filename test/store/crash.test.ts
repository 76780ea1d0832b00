// What survives a kill -9 and a crowd: every acknowledged commit, whole transactions only, one migration however many open at once.
import { expect, test } from "bun:test";
import { join } from "node:path";
import { latestVersion, migrations } from "../../src/store/migrations.ts";
import { listBackups } from "../../src/store/open.ts";
import { openStore } from "../../src/store/store.ts";
import { inDirectory } from "./sample.ts";

const script = join(import.meta.dir, "writer.ts");
const spawnWriter = (...argv: string[]) =>
  Bun.spawn([process.execPath, script, ...argv], { stdin: "ignore", stdout: "pipe", stderr: "inherit" });

/** Lets the writer acknowledge `lines` lines, kills it, and returns everything that it acknowledged. */
const killAfter = async (writer: ReturnType<typeof spawnWriter>, lines: number): Promise<string[]> => {
  const decoder = new TextDecoder();
  let seen = "";
  for await (const part of writer.stdout) {
    seen += decoder.decode(part, { stream: true });
    if (seen.split("\n").length > lines) writer.kill("SIGKILL");
  }
  await writer.exited;
  return seen.split("\n").slice(0, -1);
};

test(
  "twenty kills -9 lose no acknowledged commit and leave no half of a transaction",
  () =>
    inDirectory(async (directory) => {
      const path = `${directory}/banger.db`;
      let acknowledged = 0;
      for (let round = 0; round < 20; round += 1) {
        const lines = await killAfter(spawnWriter(path, "loop"), 1 + ((round * 7) % 13));
        expect(Number(lines[0])).toBeGreaterThan(acknowledged);
        acknowledged = Number(lines.at(-1));
        const store = openStore({ path });
        const count = Number(store.meta.get("count"));
        expect(count).toBeGreaterThanOrEqual(acknowledged);
        expect(store.journal.open()).toHaveLength(count);
        expect(store.journal.open().at(-1)?.steps).toMatchObject([{ name: "step", phase: "begun" }]);
        expect(store.events.range().newest).toBe(count);
        expect(store.integrityCheck()).toEqual([]);
        store.close();
      }
      expect(acknowledged).toBeGreaterThanOrEqual(20);
    }),
  60_000,
);

test(
  "a process killed inside a transaction leaves nothing of it, and its lock is gone with it",
  () =>
    inDirectory(async (directory) => {
      const path = `${directory}/banger.db`;
      expect(await killAfter(spawnWriter(path, "hang"), 1)).toEqual(["inside"]);
      const store = openStore({ path });
      expect(store.meta.get("count")).toBeNull();
      store.meta.set("count", "1");
      expect(store.integrityCheck()).toEqual([]);
      store.close();
    }),
  30_000,
);

test(
  "several processes that open one new database at once all get it, and no write is lost",
  () =>
    inDirectory(async (directory) => {
      const path = `${directory}/banger.db`;
      const writers = Array.from({ length: 4 }, () => spawnWriter(path, "count", "15"));
      expect(await Promise.all(writers.map(({ exited }) => exited))).toEqual([0, 0, 0, 0]);
      const store = openStore({ path });
      expect(store.meta.get("count")).toBe("60");
      expect(store.integrityCheck()).toEqual([]);
      store.close();
    }),
  30_000,
);

test("an open store keeps its locks when this process opens the same file again and closes it", () =>
  inDirectory((directory) => {
    const path = `${directory}/banger.db`;
    // POSIX drops every lock of a process on a file as soon as it closes any descriptor of that file.
    const tryToWrite = `import { Database } from "bun:sqlite";
      const database = new Database(process.argv[1]);
      try { database.run("BEGIN IMMEDIATE"); console.log("written"); } catch (error) { console.log(error.code); }`;
    const attempt = () => Bun.spawnSync([process.execPath, "-e", tryToWrite, path]).stdout.toString().trim();
    const store = openStore({ path });
    const meanwhile = store.transaction(() => {
      store.meta.set("a", "b");
      openStore({ path, readOnly: true }).close();
      return attempt();
    });
    expect([meanwhile, attempt()]).toEqual(["SQLITE_BUSY", "written"]);
    store.close();
  }));

test(
  "several processes that find an older database at once migrate it once",
  () =>
    inDirectory(async (directory) => {
      const path = `${directory}/banger.db`;
      const store = openStore({ path });
      store.meta.set("count", "7");
      store.close();
      const migrators = Array.from({ length: 4 }, () => spawnWriter(path, "migrate"));
      expect(await Promise.all(migrators.map(({ exited }) => exited))).toEqual([0, 0, 0, 0]);
      const reader = openStore({ path, migrations: [...migrations, { version: latestVersion() + 1, sql: "" }] });
      // Each of them adds one, and the migration ten: twice would be twenty.
      expect(reader.meta.get("count")).toBe("21");
      expect(listBackups(path)).toHaveLength(1);
      reader.close();
    }),
  30_000,
);
