// What the journal promises: every line on disk before it returns, nothing forgotten by a restart, bounds that spare what is open.
import { expect, test } from "bun:test";
import { runSteps, type Step, undoSteps } from "../../src/engine/step.ts";
import { openStore } from "../../src/store/store.ts";
import { KEPT_OF_GONE, KEPT_PER_SUBJECT } from "../../src/store/timings.ts";
import { codeThrownBy, idOf, inDirectory, sampleVm } from "./sample.ts";

const start = (subject: string) => ({
  kind: "vm.start",
  subject,
  plan: { version: 1, tap: "bgr-aaaaa-2" },
  requestedBy: "vm.start",
});
const quiet = { clock: () => 0, observe: () => {} };

test("an operation and its steps are there after the process that wrote them is gone, in the order they were begun", () =>
  inDirectory((directory) => {
    const path = `${directory}/banger.db`;
    const first = openStore({ path, clock: () => new Date("2026-11-22T10:00:00Z") });
    const id = first.journal.beginOperation(start(idOf(1)));
    const journal = first.journal.journalFor(id);
    journal.begin("disk.clone");
    journal.done("disk.clone", 12.5);
    journal.begin("tap.create");
    // Not closed: another connection sees what a crash would leave.
    const second = openStore({ path });
    expect(second.journal.open()).toEqual([
      {
        id,
        kind: "vm.start",
        subject: idOf(1),
        planVersion: 1,
        plan: { version: 1, tap: "bgr-aaaaa-2" },
        requestedBy: "vm.start",
        startedAt: "2026-11-22T10:00:00.000Z",
        doneAt: null,
        endedAt: null,
        outcome: null,
        detail: null,
        steps: [
          { name: "disk.clone", phase: "done", ms: 12.5, detail: null },
          { name: "tap.create", phase: "begun", ms: null, detail: null },
        ],
      },
    ]);
    expect(second.journal.journalFor(id).standing()).toEqual(["disk.clone", "tap.create"]);
    first.close();
    second.close();
  }));

test("the step runner rolls back through it, and what could not be undone stays until it is", () =>
  inDirectory(async (directory) => {
    const store = openStore({ path: `${directory}/banger.db` });
    const undone: string[] = [];
    let isStuck = true;
    const step = (name: string, run: () => void, undo: () => void = () => {}): Step => ({
      name,
      run: async () => run(),
      undo: async () => {
        undo();
        undone.push(name);
      },
    });
    const steps = [
      step("one", () => {}),
      step(
        "two",
        () => {},
        () => {
          if (isStuck) throw new Error("busy");
        },
      ),
      step("three", () => {
        throw new Error("no space");
      }),
    ];
    const id = store.journal.beginOperation(start(idOf(1)));
    const journal = store.journal.journalFor(id);
    const run = runSteps({ steps, journal, signal: new AbortController().signal, ...quiet });
    await expect(run).rejects.toThrow("no space");
    expect(undone).toEqual(["three", "one"]);
    expect(journal.standing()).toEqual(["two"]);
    expect(store.journal.get(id)?.steps[1]).toMatchObject({ phase: "undo_failed", detail: "busy" });
    expect(codeThrownBy(() => store.journal.close(id, "undone"))).toBe("internal.bug");
    isStuck = false;
    expect(await undoSteps({ steps, journal, ...quiet })).toEqual([]);
    store.journal.close(id, "undone");
    expect(store.journal.open()).toEqual([]);
    expect(store.journal.get(id)).toMatchObject({ outcome: "undone" });
    store.close();
  }));

test("a step that is begun again after having been undone is the newest to be undone", () =>
  inDirectory((directory) => {
    const store = openStore({ path: `${directory}/banger.db` });
    const journal = store.journal.journalFor(store.journal.beginOperation(start(idOf(1))));
    for (const name of ["one", "two"]) {
      journal.begin(name);
      journal.done(name, 1);
    }
    journal.undone("one");
    journal.begin("one");
    expect(journal.standing()).toEqual(["two", "one"]);
    expect(codeThrownBy(() => journal.done("never", 1))).toBe("internal.bug");
    store.close();
  }));

test("a start stands, done, for as long as nobody closes it", () =>
  inDirectory((directory) => {
    const store = openStore({ path: `${directory}/banger.db` });
    const id = store.journal.beginOperation(start(idOf(1)));
    store.journal.markDone(id);
    expect(store.journal.standing(idOf(1), "vm.start")).toMatchObject({ id, endedAt: null, outcome: null });
    expect(store.journal.standing(idOf(1), "vm.start")?.doneAt).not.toBeNull();
    expect(store.journal.standing(idOf(1), "vm.create")).toBeNull();
    expect(store.journal.standing(idOf(2), "vm.start")).toBeNull();
    store.journal.close(id, "lost", "the host was restarted");
    store.journal.close(id, "done");
    expect(store.journal.standing(idOf(1), "vm.start")).toBeNull();
    expect(store.journal.get(id)).toMatchObject({ outcome: "lost", detail: "the host was restarted" });
    store.close();
  }));

test("a plan without a version is refused before anything is written", () =>
  inDirectory((directory) => {
    const store = openStore({ path: `${directory}/banger.db` });
    const begin = () => store.journal.beginOperation({ ...start("x"), plan: {} as { version: number } });
    expect(codeThrownBy(begin)).toBe("internal.bug");
    expect(store.journal.open()).toEqual([]);
    store.close();
  }));

test("the newest operations of a VM are kept for why-slow, and an open one however old it is", () =>
  inDirectory((directory) => {
    const store = openStore({ path: `${directory}/banger.db` });
    store.vms.insert(sampleVm(1));
    const standing = store.journal.beginOperation(start(idOf(1)));
    const closed = Array.from({ length: KEPT_PER_SUBJECT + 5 }, () => {
      const id = store.journal.beginOperation({ ...start(idOf(1)), kind: "vm.stop" });
      store.journal.journalFor(id).begin("step");
      store.journal.close(id, "done");
      return id;
    });
    const kept = store.timings.history(idOf(1), { limit: 100 }).map(({ id }) => id);
    expect(kept).toEqual([...closed.slice(-KEPT_PER_SUBJECT).reverse(), standing]);
    expect(store.timings.history(idOf(1), { kind: "vm.start" }).map(({ id }) => id)).toEqual([standing]);
    expect(store.timings.history(idOf(1), { limit: 3 })).toHaveLength(3);
    expect(store.integrityCheck()).toEqual([]);
    store.close();
  }));

test("operations about what is gone are bounded all together", () =>
  inDirectory((directory) => {
    const store = openStore({ path: `${directory}/banger.db` });
    store.transaction(() => {
      for (let index = 0; index < KEPT_OF_GONE + 10; index += 1) {
        store.journal.close(store.journal.beginOperation(start(idOf(index))), "undone");
      }
    });
    expect(store.timings.history(idOf(9))).toEqual([]);
    expect(store.timings.history(idOf(10))).toHaveLength(1);
    store.close();
  }));
