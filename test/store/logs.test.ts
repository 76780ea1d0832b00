// What the smaller tables promise: cursors that are never reused, bounds, one namespace of image names, kept decisions.
import { Database } from "bun:sqlite";
import { expect, test } from "bun:test";
import { EVENTS_KEPT } from "../../src/store/events.ts";
import { PRIV_LOG_KEPT } from "../../src/store/priv-log.ts";
import { openStore } from "../../src/store/store.ts";
import { codeThrownBy, idOf, inDirectory, sampleVm } from "./sample.ts";

const note = (text: string) => ({ type: "daemon.note" as const, text });

test("a stream of events resumes after its cursor, over a restart, and no cursor is used twice", () =>
  inDirectory((directory) => {
    const path = `${directory}/banger.db`;
    const first = openStore({ path, clock: () => new Date("2026-11-22T10:00:00Z") });
    expect(first.events.range()).toEqual({ oldest: 0, newest: 0 });
    const cursors = ["a", "b", "c"].map((text) => first.events.append(note(text)).cursor);
    first.close();
    const raw = new Database(path);
    raw.run("DELETE FROM events WHERE cursor >= 2");
    raw.close();
    const store = openStore({ path });
    const next = store.events.append(note("d"));
    expect(next.cursor).toBeGreaterThan(cursors[2]!);
    expect(store.events.since(cursors[0]!, 10)).toEqual([next]);
    expect(store.events.since(0, 1)).toEqual([{ cursor: 1, at: "2026-11-22T10:00:00.000Z", event: note("a") }]);
    expect(store.events.range()).toEqual({ oldest: 1, newest: next.cursor });
    store.close();
  }));

test("an event of a kind that only a newer banger knows is left out of the stream", () =>
  inDirectory((directory) => {
    const path = `${directory}/banger.db`;
    const store = openStore({ path });
    store.events.append(note("a"));
    const raw = new Database(path);
    raw.run(`INSERT INTO events (at, event) VALUES ('x', '{"type":"moon.landed"}'), ('x', 'no json')`);
    raw.close();
    store.events.append(note("b"));
    expect(store.events.since(0, 10).map(({ event }) => event)).toEqual([note("a"), note("b")]);
    store.close();
  }));

test("events and privileged operations are bounded, the newest kept", () =>
  inDirectory((directory) => {
    const store = openStore({ path: `${directory}/banger.db` });
    store.transaction(() => {
      for (let index = 0; index < EVENTS_KEPT * 2; index += 1) store.events.append(note(String(index)));
      for (let index = 0; index < PRIV_LOG_KEPT * 2; index += 1) {
        const entry = { at: "x", requestedBy: "vm.start", op: "tap.create", detail: String(index), ms: 1 };
        store.privLog.append({ ...entry, ok: index % 2 === 0, error: null });
      }
    });
    const { oldest, newest } = store.events.range();
    expect([newest, newest - oldest + 1]).toEqual([EVENTS_KEPT * 2, EVENTS_KEPT]);
    expect(store.privLog.tail(PRIV_LOG_KEPT * 3)).toHaveLength(PRIV_LOG_KEPT);
    const [before, last] = store.privLog.tail(2);
    expect([before?.ok, last?.detail, last?.ok]).toEqual([true, String(PRIV_LOG_KEPT * 2 - 1), false]);
    store.close();
  }));

test("an image is found by name and alias, an alias moves to the newer image, and a name never does", () =>
  inDirectory((directory) => {
    const store = openStore({ path: `${directory}/banger.db` });
    const kernel = { id: "k1", dir: "/k", release: "6.1", cmdline: ["quiet"], createdAt: "2026-11-22T10:00:00.000Z" };
    store.kernels.insert(kernel);
    store.kernels.insert({ ...kernel, dir: "/elsewhere" });
    expect(store.kernels.all()).toEqual([kernel]);
    const image = (id: string, name: string, aliases: string[]) => ({
      ...{ id, name, aliases, dir: `/i/${id}`, sizeMiB: 2048, usedMiB: 400.5, kernelId: "k1", helperVersion: null },
      ...{ createdAt: "2026-11-22T10:00:00.000Z", origin: { how: "built" as const, details: { suite: "trixie" } } },
    });
    store.images.insert(image("one", "debian-12", ["debian", "old"]));
    expect(store.images.byName("debian")).toEqual(image("one", "debian-12", ["debian", "old"]));
    store.images.insert(image("two", "debian-13", ["debian"]));
    expect(store.images.byName("debian")?.id).toBe("two");
    expect(store.images.get("one")?.aliases).toEqual(["old"]);
    expect(codeThrownBy(() => store.images.insert(image("three", "debian-13", [])))).toBe("image.name_taken");
    expect(codeThrownBy(() => store.images.insert(image("three", "mine", ["debian-12"])))).toBe("image.name_taken");
    expect(store.images.all().map(({ id }) => id)).toEqual(["one", "two"]);
    store.images.rename("one", { name: "bookworm", aliases: [] });
    store.images.setUsedMiB("one", 77);
    expect(store.images.byName("bookworm")).toMatchObject({ id: "one", usedMiB: 77, aliases: [] });
    expect(store.images.byName("debian-12")).toBeNull();
    expect(codeThrownBy(() => store.kernels.remove("k1"))).toBe("internal.bug");
    for (const id of ["one", "two", "two"]) store.images.remove(id);
    store.kernels.remove("k1");
    expect([store.images.byName("debian"), store.kernels.get("k1")]).toEqual([null, null]);
    store.close();
  }));

test("what the instance decided is kept and can be changed and forgotten", () =>
  inDirectory((directory) => {
    const store = openStore({ path: `${directory}/banger.db` });
    store.meta.set("network.subnet", "10.77.5.0/24");
    store.meta.set("network.subnet", "10.77.6.0/24");
    store.meta.set("probe", "tcg");
    store.meta.remove("probe");
    store.meta.remove("probe");
    expect([store.meta.get("network.subnet"), store.meta.get("probe")]).toEqual(["10.77.6.0/24", null]);
    expect(store.meta.all()).toEqual({ "network.subnet": "10.77.6.0/24" });
    store.close();
  }));

test("a transaction is all or nothing, an inner one is taken back alone, and a promise is refused", () =>
  inDirectory((directory) => {
    const store = openStore({ path: `${directory}/banger.db` });
    const answer = store.transaction(() => {
      store.vms.insert(sampleVm(1));
      const inner = () =>
        store.transaction(() => {
          store.meta.set("inner", "lost");
          throw new Error("inner");
        });
      expect(inner).toThrow("inner");
      store.meta.set("outer", "kept");
      return 42;
    });
    expect([answer, store.meta.all(), store.vms.all().length]).toEqual([42, { outer: "kept" }, 1]);
    const failing = () =>
      store.transaction(() => {
        store.vms.remove(idOf(1));
        store.meta.set("outer", "changed");
        throw new Error("outer");
      });
    expect(failing).toThrow("outer");
    expect([store.meta.get("outer"), store.vms.get(idOf(1))]).toEqual(["kept", sampleVm(1)]);
    const pending = async () => store.meta.set("outer", "promised");
    // @ts-expect-error work that does not end at once is no transaction
    expect(codeThrownBy(() => store.transaction(pending))).toBe("internal.bug");
    expect(store.meta.get("outer")).toBe("kept");
    store.close();
  }));
