// A process that writes to a store until it is killed, or a given number of times: what the crash tests kill.
import { writeSync } from "node:fs";
import { latestVersion, migrations } from "../../src/store/migrations.ts";
import { openStore } from "../../src/store/store.ts";

const [path = "", mode = "loop", count = "0"] = process.argv.slice(2);
const addTen = "UPDATE meta SET value = value + 10 WHERE key = 'count'";
const known = mode === "migrate" ? [...migrations, { version: latestVersion() + 1, sql: addTen }] : migrations;
const store = openStore({ path, migrations: known });

const write = (): number =>
  store.transaction(() => {
    const next = Number(store.meta.get("count") ?? "0") + 1;
    store.meta.set("count", String(next));
    const id = store.journal.beginOperation({ kind: "t", subject: "s", plan: { version: 1 }, requestedBy: "test" });
    store.journal.journalFor(id).begin("step");
    store.events.append({ type: "daemon.note", text: String(next) });
    return next;
  });

if (mode === "hang") {
  store.transaction(() => {
    store.meta.set("count", "never");
    writeSync(1, "inside\n");
    Bun.sleepSync(60_000);
  });
} else if (mode === "loop") {
  for (;;) writeSync(1, `${write()}\n`);
} else if (mode === "migrate") {
  write();
  store.close();
} else {
  for (let written = 0; written < Number(count); written += 1) write();
  store.close();
}
