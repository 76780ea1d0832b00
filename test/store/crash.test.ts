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

test(
  "an open store of this process does not lose its locks when the same file is opened and closed again",
  () =>
    inDirectory(async (directory) => {
      const path = `${directory}/banger.db`;
      const store = openStore({ path });
      await store.transaction(() => {
        store.meta.set("count", "100");
        openStore({ path, readOnly: true }).close();
        // Another process has to wait for this transaction, and must then see what it wrote.
        return { writer: spawnWriter(path, "count", "1") };
      }).writer.exited;
      expect(store.meta.get("count")).toBe("101");
      store.close();
    }),
  30_000,
);

test("a migration happens once, when an older database is opened while another one migrates it", () =>
  inDirectory((directory) => {
    const path = `${directory}/banger.db`;
    openStore({ path }).close();
    const next = latestVersion() + 1;
    // The second would fail on a table that exists if it did not look again under the lock.
    const known = [...migrations, { version: next, sql: "CREATE TABLE extra (x TEXT)" }];
    openStore({ path, migrations: known }).close();
    openStore({ path, migrations: known }).close();
    expect(listBackups(path)).toHaveLength(1);
  }));
