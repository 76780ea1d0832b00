// The rules of the terminal UI, message by message and key by key, without a terminal.
import { describe, expect, test } from "bun:test";
import type { Image } from "../../src/spec/image.ts";
import type { Effect, Message } from "../../src/tui/message.ts";
import { LOG_LINES_KEPT, type Model } from "../../src/tui/model.ts";
import { currentVm, rowsOf, targetsOf } from "../../src/tui/select.ts";
import { update } from "../../src/tui/update.ts";
import { wantsOf } from "../../src/tui/wants.ts";
import { checks, fleet, given, images, key, NOW_MS, opened, textOn, type } from "./fleet.ts";

const names = (model: Model): string[] => rowsOf(model).map(({ name }) => name);
const send = (model: Model, ...messages: readonly Message[]): Model =>
  messages.reduce((current, message) => update(current, message)[0], model);
const effectsOf = (model: Model, word: string): readonly Effect[] => update(model, { type: "key", key: key(word) })[1];
const report = { code: "host.no_space", message: "There is no room left.", fix: "banger image prune", data: null };

describe("the table", () => {
  const all = ["broken", "build-agent-with-a-rather-long-name", "db", "old", "web"];
  const cases: readonly [what: string, keys: readonly string[], rows: readonly string[]][] = [
    ["is in order of names at first", [], all],
    ["is turned round", ["O"], [...all].reverse()],
    ["by state, equal ones by name", ["o"], ["broken", "db", "web", "build-agent-with-a-rather-long-name", "old"]],
    ["by the largest memory", ["o", "o", "o", "o", "o"], ["db", ...all.filter((name) => name !== "db")]],
    ["is filtered by a part of a name", ["/", "l", "d"], ["build-agent-with-a-rather-long-name", "old"]],
    ["is filtered by a label", ["/", "team=blue", "enter"], all.filter((name) => name !== "old")],
    ["is filtered by words that must all fit", ["/", "running blue 77.5.3"], ["db"]],
    ["is filtered without regard to case", ["/", "WEB"], ["web"]],
    ["shows all again after escape", ["/", "web", "escape"], all],
    ["a kept filter goes with escape", ["/", "web", "enter", "escape"], all],
    ["the filter loses its last letter by backspace", ["/", "webx", "backspace"], ["web"]],
  ];
  for (const [what, keys, rows] of cases) {
    test(what, () => expect(names(type(opened(), ...keys))).toEqual([...rows]));
  }

  const places: readonly [keys: readonly string[], name: string][] = [
    [[], "broken"],
    [["down"], "build-agent-with-a-rather-long-name"],
    [["j", "j", "k"], "build-agent-with-a-rather-long-name"],
    [["up"], "broken"],
    [["G"], "web"],
    [["G", "down"], "web"],
    [["end", "home"], "broken"],
    [["pagedown"], "web"],
    [["G", "O"], "web"],
    [["/", "b", "down"], "build-agent-with-a-rather-long-name"],
  ];
  for (const [keys, name] of places) {
    test(`${keys.join(" ") || "nothing"} leads to ${name}`, () =>
      expect(currentVm(type(opened(), ...keys))?.name).toBe(name));
  }

  test("the cursor stays on its VM when others come before it, and on its row when its VM goes", () => {
    const model = type(opened(), "j", "j");
    expect(currentVm(model)?.name).toBe("db");
    const more = send(model, { type: "shown", vms: [{ ...fleet[0]!, id: "ffffffffffff", name: "aaa" }] });
    expect(currentVm(more)?.name).toBe("db");
    const event = { type: "vm.deleted", vm: "db", id: fleet[1]!.id } as const;
    const fewer = send(model, { type: "events", events: [{ cursor: 9, at: "", event }], isHistory: false });
    expect(currentVm(fewer)?.name).toBe("old");
  });

  test("500 VMs scroll by as little as is needed, and only what is on the screen is drawn", () => {
    const many = Array.from({ length: 500 }, (_, index) => ({
      ...fleet[0]!,
      id: index.toString(16).padStart(12, "0"),
      name: `vm-${String(index).padStart(3, "0")}`,
    }));
    const model = opened({ columns: 80, rows: 24 }, many);
    const further = type(model, ...Array.from({ length: 25 }, () => "j"));
    expect(further.top).toBe(6);
    expect(textOn(further).split("\n")).toHaveLength(24);
    expect(textOn(further)).toContain("vm-025");
    const back = type(further, "k", "k");
    expect(back.top).toBe(6);
    expect(type(further, "G").top).toBe(480);
  });
});

describe("marks and operations", () => {
  test("a mark moves on, and what follows is done to all marked at once", () => {
    const model = type(opened(), "/", "running", "enter", "space", "space", "d");
    expect(model.overlay).toEqual({ kind: "confirm", verb: "stop", ids: [fleet[0]!.id, fleet[1]!.id] });
    const [after, effects] = update(model, { type: "key", key: key("y") });
    expect(effects.map((effect) => effect.kind === "perform" && effect.calls)).toEqual([
      [{ method: "vm.stop", input: { vm: fleet[0]!.id } }],
      [{ method: "vm.stop", input: { vm: fleet[1]!.id } }],
    ]);
    expect(after.operations.map(({ verb, subject }) => `${verb} ${subject}`)).toEqual(["stop web", "stop db"]);
    expect(after.marked.size).toBe(0);
  });

  test("all shown are marked and unmarked by one key", () => {
    const model = type(opened(), "/", "blue", "enter", "a");
    expect(targetsOf(model)).toHaveLength(4);
    expect(type(model, "a").marked.size).toBe(0);
  });

  for (const answer of ["n", "enter", "escape", "x"]) {
    test(`${answer} is no yes`, () => {
      const model = type(opened(), "G", "X");
      expect(model.overlay?.kind).toBe("confirm");
      expect(effectsOf(model, answer)).toEqual([]);
      expect(type(model, answer).overlay).toBeNull();
    });
  }

  test("deleting a VM that runs says so and stops it first; a stopped one is not forced", () => {
    const running = type(opened(), "G", "X");
    expect(textOn(running)).toContain("Delete web, which runs, with all data? y/N");
    expect(effectsOf(running, "y")).toMatchObject([{ calls: [{ input: { force: true } }] }]);
    const stopped = type(opened(), "/", "old", "enter", "X");
    expect(effectsOf(stopped, "y")).toMatchObject([{ calls: [{ input: { force: false } }] }]);
  });

  test("a question is about those that are still there, and closes with a note when none is", () => {
    const deleted = (vm: (typeof fleet)[number]): Message => ({
      type: "events",
      events: [
        { cursor: 1, at: new Date(NOW_MS).toISOString(), event: { type: "vm.deleted", vm: vm.name, id: vm.id } },
      ],
      isHistory: false,
    });
    const [web, db] = [fleet[0]!, fleet[1]!];
    const asked = type(opened(), "/", "running", "enter", "space", "space", "X");
    const one = send(asked, deleted(web));
    expect(textOn(one)).toContain("Delete db, which runs, with all data? y/N");
    const none = send(one, deleted(db));
    expect(none.overlay).toBeNull();
    expect(none.notice).toMatchObject({ kind: "note", text: "db is gone: nothing to delete" });
    expect(effectsOf(none, "y").filter(({ kind }) => kind === "perform")).toEqual([]);
    const both = send(asked, { type: "listed", vms: fleet.filter((vm) => vm !== web && vm !== db) });
    expect(both.overlay).toBeNull();
    expect(both.notice).toMatchObject({ kind: "note", text: "all of them are gone: nothing to delete" });
  });

  test("a start asks nothing, and what cannot be started is said", () => {
    const stopped = type(opened(), "/", "old", "enter");
    expect(effectsOf(stopped, "u")).toMatchObject([{ calls: [{ method: "vm.start" }] }]);
    const running = type(opened(), "G", "u");
    expect(running.notice).toMatchObject({ kind: "note", text: "web is running: nothing to start" });
  });

  test("a failure stays with code, cause and fix until it is closed", () => {
    const begun = type(opened(), "/", "old", "enter", "u");
    const failed = send(begun, { type: "failed", id: 1, report }, { type: "ticked", nowMs: NOW_MS + 60_000 });
    expect(failed.operations).toEqual([]);
    for (const part of ["start old: host.no_space", "There is no room left.", "try: banger image prune"]) {
      expect(textOn(failed)).toContain(part);
    }
    expect(textOn(type(failed, "!"))).toContain("Failure: start old");
    expect(type(failed, "escape").notice).toBeNull();
  });

  test("leaving is asked about only while it would cancel something", () => {
    expect(effectsOf(opened(), "q")).toEqual([{ kind: "leave" }]);
    const starting = type(opened(), "/", "old", "enter", "u", "q");
    expect(textOn(starting)).toContain("Leaving cancels: start old. Leave? y/N");
    expect(effectsOf(starting, "y")).toEqual([{ kind: "leave" }]);
    const done = send(type(starting, "n"), { type: "performed", id: 1 });
    expect(effectsOf(done, "ctrl-c")).toEqual([{ kind: "leave" }]);
  });

  test("a shell takes the screen, and what still runs is said when it is back", () => {
    const model = type(opened(), "G");
    expect(effectsOf(model, "s")).toEqual([{ kind: "hand-over", words: ["ssh", "-q", "web"], name: "web" }]);
    const away = type(model, "s");
    expect(wantsOf(away)).toEqual({ log: null, waterfall: null, stats: [], images: false });
    expect(send(away, { type: "returned", name: "web", isShell: true }).notice).toMatchObject({
      text: "web is still running; d stops it",
    });
    const told = send(send(away, { type: "returned", name: "web", isShell: true }), {
      type: "left-behind",
      name: "web",
      summary: "1 login, 2 ports",
    });
    expect(told.notice).toMatchObject({ text: "web is still running; d stops it. Left in it: 1 login, 2 ports" });
    const ended = send(away, { type: "shown", vms: [{ ...fleet[0]!, state: "stopped" }] });
    expect(send(ended, { type: "returned", name: "web", isShell: true }).notice).toBeNull();
  });

  test("the address is copied, of all marked ones", () => {
    expect(effectsOf(type(opened(), "G"), "y")).toEqual([{ kind: "copy", text: "10.77.5.2" }]);
    expect(effectsOf(type(opened(), "/", "running", "enter", "a"), "y")).toEqual([
      { kind: "copy", text: "10.77.5.2\n10.77.5.3" },
    ]);
    expect(effectsOf(type(opened(), "/", "old", "enter"), "y")).toEqual([]);
  });
});

describe("what the daemon says", () => {
  const event = (event: Parameters<typeof JSON.stringify>[0]): Message =>
    ({
      type: "events",
      isHistory: false,
      events: [{ cursor: 50, at: new Date(NOW_MS).toISOString(), event }],
    }) as Message;
  const id = fleet[3]!.id;

  test("a state changes the row at once, and its step shows while it moves", () => {
    const step = { kind: "step", operation: "vm.start", step: "vmm.boot", phase: "begin", ms: null };
    const moving = send(
      opened({ columns: 140, rows: 40 }),
      event({ type: "vm.state", vm: "old", id, state: "starting", cause: null }),
      event({ type: "vm.step", vm: "old", id, step }),
      { type: "ticked", nowMs: NOW_MS + 2000 },
    );
    expect(textOn(moving)).toContain("starting vmm.boot 2s");
    const running = send(moving, event({ type: "vm.state", vm: "old", id, state: "running", cause: null }));
    expect(running.vms?.get(id)?.state).toBe("running");
    expect(running.steps.has(id)).toBe(false);
  });

  test("history is remembered and changes nothing", () => {
    const past = {
      ...(event({ type: "vm.state", vm: "web", id: fleet[0]!.id, state: "stopped", cause: null }) as object),
    };
    const model = send(opened(), { ...past, isHistory: true } as Message);
    expect(model.vms?.get(fleet[0]!.id)?.state).toBe("running");
    expect(model.events.at(-1)?.event).toMatchObject({ state: "stopped" });
  });

  test("a VM that is gone takes its mark, its step and its use along", () => {
    const model = type(opened(), "G", "space");
    const gone = send(model, event({ type: "vm.deleted", vm: "web", id: fleet[0]!.id }));
    expect([gone.marked.size, gone.usage.has(fleet[0]!.id), gone.vms?.has(fleet[0]!.id)]).toEqual([0, false, false]);
  });

  test("a daemon that went away is said with since when, and the table stays; a connection clears it", () => {
    const lost = send(
      opened(),
      { type: "lost", detail: "it ended", nowMs: NOW_MS },
      { type: "lost", detail: "it does not run", nowMs: NOW_MS + 3000 },
      { type: "ticked", nowMs: NOW_MS + 5000 },
    );
    expect(textOn(lost)).toContain("daemon away 5s, D starts it");
    expect(textOn(lost)).toContain("web");
    expect(effectsOf(lost, "D")).toEqual([{ kind: "start-daemon" }]);
    expect(effectsOf(opened(), "D")).toEqual([]);
    const back = send(lost, { type: "connected", version: "0.1.0", instance: "abcde" });
    expect(textOn(back)).toContain("bangerd 0.1.0");
  });

  test("only running VMs on the screen are sampled, and the console only while it is looked at", () => {
    expect(wantsOf(opened()).stats).toEqual([fleet[1]!.id, fleet[0]!.id]);
    expect(wantsOf(opened()).log).toBeNull();
    const detailed = type(opened(), "enter", "left");
    expect(detailed.detailTab).toBe("console");
    expect(wantsOf(detailed).log?.vmId).toBe(fleet[4]!.id);
    expect(wantsOf(type(opened(), "enter", "right")).waterfall?.vmId).toBe(fleet[4]!.id);
    expect(wantsOf(type(opened(), "tab")).stats).toEqual([]);
  });

  test("samples are shares of what the VM was given, and only the last ones", () => {
    const { usage } = opened();
    const known = usage.get(fleet[1]!.id);
    expect(known?.cpu).toEqual([0.0125, 0.05, 0.15, 0.2375, 0.2, 0.075]);
    expect(known?.memory).toEqual([0.25, 0.25, 0.25, 0.25, 0.25, 0.25]);
  });
});

describe("a log on the whole screen", () => {
  const lines = Array.from({ length: 100 }, (_, index) => `line ${index} ${index % 10 === 3 ? "Error" : "fine"}`);
  const model = send(
    type(opened(), "G", "l"),
    { type: "log-opened", vmId: fleet[0]!.id },
    { type: "log-lines", vmId: fleet[0]!.id, lines },
  );
  const fromEnd = (current: Model): number => (current.overlay?.kind === "logs" ? current.overlay.fromEnd : -1);

  test("follows at its end, and stays where one looks while more comes", () => {
    expect(textOn(model)).toContain("line 99");
    const up = type(model, "k", "k");
    const more = send(up, { type: "log-lines", vmId: fleet[0]!.id, lines: ["new"] });
    expect(textOn(more).split("\n").slice(1, -1)).toEqual(textOn(up).split("\n").slice(1, -1));
    expect(textOn(type(more, "G"))).toContain("new");
  });

  test("is searched upwards from where one is, whatever the case, and back", () => {
    const found = type(model, "/", "error", "enter");
    expect(fromEnd(found)).toBe(6);
    expect(fromEnd(type(found, "n"))).toBe(16);
    expect(fromEnd(type(found, "n", "N"))).toBe(6);
    expect(textOn(found)).toContain("10 hits");
    expect(fromEnd(type(model, "/", "nowhere", "enter"))).toBe(0);
  });

  test("is never longer than what is kept, and another VM's lines do not get in", () => {
    const many = Array.from({ length: LOG_LINES_KEPT }, (_, index) => `${index}`);
    const full = send(model, { type: "log-lines", vmId: fleet[0]!.id, lines: many });
    expect(full.log?.lines).toHaveLength(LOG_LINES_KEPT);
    expect(send(model, { type: "log-lines", vmId: "other", lines: ["x"] }).log).toEqual(model.log);
  });

  test("closes by escape, after the search", () => {
    const found = type(model, "/", "error", "enter");
    expect(type(found, "escape").overlay).toMatchObject({ kind: "logs", query: "" });
    expect(type(found, "escape", "escape").overlay).toBeNull();
  });
});

describe("the mouse", () => {
  const at = (name: string, column: number, row: number): Message => ({
    type: "key",
    key: { name, text: "", at: { column, row } },
  });

  test("a click chooses a row, a second one opens it, elsewhere it does nothing", () => {
    const chosen = send(opened(), at("click", 5, 5));
    expect(currentVm(chosen)?.name).toBe("db");
    expect(chosen.isDetailed).toBe(false);
    expect(send(chosen, at("click", 5, 5)).isDetailed).toBe(true);
    expect(send(opened(), at("click", 5, 0), at("click", 5, 23), at("click", 5, 15))).toEqual(opened());
  });

  test("a click on a list that has been scrolled chooses the row that is seen there, and below its end none", () => {
    const size = { columns: 80, rows: 24 };
    const many = Array.from({ length: 40 }, (_, index) => ({ ...(images[0] as Image), name: `image-${index}` }));
    const scrolled = type(send(type(opened(size), "tab"), { type: "images-listed", images: many }), "G");
    expect(scrolled.imageCursor).toBe(39);
    const row = 5;
    const seen = /image-\d+/.exec(textOn(scrolled).split("\n")[row] ?? "")?.[0];
    const { imageCursor } = send(scrolled, at("click", 5, row));
    expect(many[imageCursor]?.name).toBe(seen as string);
    const few = send(scrolled, { type: "images-listed", images: many.slice(0, 3) });
    expect(send({ ...few, imageCursor: 0 }, at("click", 5, 15)).imageCursor).toBe(0);
  });

  test("the wheel moves, and answers no question", () => {
    expect(currentVm(send(opened(), at("wheel-down", 1, 9)))?.name).toBe("old");
    const asked = type(opened(), "G", "X");
    expect(send(asked, at("click", 1, 1)).overlay).toEqual(asked.overlay);
  });
});

test("every size down to the smallest draws exactly the screen", () => {
  for (const columns of [40, 41, 60, 79, 80, 100, 139, 200]) {
    for (const rows of [10, 15, 19, 20, 24, 50]) {
      for (const keys of [[], ["enter"], ["c"], ["?"], ["l"], ["tab"], ["G", "X"]]) {
        const lines = textOn(type(opened({ columns, rows }), ...keys)).split("\n");
        expect(lines).toHaveLength(rows);
        for (const line of lines) expect(Bun.stringWidth(line)).toBe(columns);
      }
    }
  }
  expect(textOn(opened({ columns: 30, rows: 5 }))).toContain("banger needs 40×10");
});

test("a note goes by itself, an empty fleet says what to press", () => {
  const noted = send(opened(), { type: "note", text: "hello" });
  expect(textOn(noted)).toContain("hello");
  expect(send(noted, { type: "ticked", nowMs: NOW_MS + 6000 }).notice).toBeNull();
  expect(textOn(opened({ columns: 80, rows: 24 }, []))).toContain("There are no VMs yet: c makes one.");
  expect(textOn(given([]))).toContain("looking for the daemon");
});

describe("the tab of this host", () => {
  const press = (model: Model, name: string) => update(model, { type: "key", key: key(name) });
  const open = () => press(opened(), "3");

  test("it is looked at when it is first opened, and again when that is asked for, never twice at once", () => {
    const [looking, effects] = open();
    expect([looking.tab, looking.isChecking, effects]).toEqual(["host", true, [{ kind: "check-host" }]]);
    expect(press(looking, "r")[1]).toEqual([]);
    const [seen] = update(looking, { type: "host-checked", rows: checks });
    expect([seen.isChecking, seen.checks?.rows[0]?.id]).toEqual([false, "tun"]);
    const [elsewhere] = press(seen, "1");
    expect(press(elsewhere, "3")[1]).toEqual([]);
    expect(press(seen, "r")[1]).toEqual([{ kind: "check-host" }]);
  });

  test("a check that fails is told and can be asked for again; what to type is copied", () => {
    const report = { code: "daemon.unreachable", message: "gone", fix: null, data: null };
    const [failed] = update(open()[0], { type: "host-check-failed", report });
    expect([failed.isChecking, failed.notice?.kind]).toEqual([false, "error"]);
    const [seen] = update(open()[0], { type: "host-checked", rows: checks });
    expect(press(seen, "y")[1]).toEqual([{ kind: "copy", text: "sudo modprobe tun" }]);
    expect(press(press(press(seen, "down")[0], "down")[0], "y")[1]).toEqual([]);
  });
});
