// From one frame to the next: little is written, all of it is shown, and nothing that was remembered of a screen is old.
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import type { Vm } from "../../src/spec/vm.ts";
import { dependsOnTime } from "../../src/tui/clock.ts";
import { divertConsole } from "../../src/tui/console-notes.ts";
import { type Frame, isSameFrame, renderChanges } from "../../src/tui/frame.ts";
import { textOf } from "../../src/tui/line.ts";
import { choosePaint } from "../../src/tui/look.ts";
import type { Message } from "../../src/tui/message.ts";
import type { Model } from "../../src/tui/model.ts";
import { update } from "../../src/tui/update.ts";
import { renderScreen } from "../../src/tui/view/screen.ts";
import { checks, fleet, host, images, key, NOW_MS, opened, statsOf, type } from "./fleet.ts";

/** As much of a terminal as is written to: places, erasing a row or everything, text. */
const apply = (screen: readonly string[], written: string): string[] => {
  const rows = [...screen];
  let at = 0;
  for (const [, erased, place, text] of written.matchAll(/\x1b\[(?:\?2026[hl]|(2J|2K)|(\d+);1H)|([^\x1b]+)/g)) {
    if (erased === "2J") rows.fill("");
    else if (erased === "2K") rows[at] = "";
    else if (place !== undefined) at = Number(place) - 1;
    else if (text !== undefined) rows[at] += text;
  }
  return rows;
};

describe("changes of the screen", () => {
  const frames = fc.array(fc.constantFrom("", "a", "bb", "虚拟", "long ".repeat(10)), { minLength: 5, maxLength: 5 });

  test("make the one frame out of the other, whatever they are", () => {
    fc.assert(
      fc.property(frames, frames, (one, other) => {
        expect(apply(one, renderChanges(one, other))).toEqual(other);
        expect(apply(["x", "x", "x", "x", "x"], renderChanges(null, other))).toEqual(other);
      }),
    );
  });

  test("are the rows that differ and no other, shown together", () => {
    expect(renderChanges(["a", "b", "c"], ["a", "x", "c"])).toBe("\x1b[?2026h\x1b[2;1H\x1b[2Kx\x1b[?2026l");
    expect(renderChanges(["a", "b"], ["a", "b"])).toBe("");
  });

  test("begin with an empty screen when nobody knows what is there, or when it has another size", () => {
    expect(renderChanges(null, ["a", ""])).toBe("\x1b[?2026h\x1b[2J\x1b[1;1H\x1b[2Ka\x1b[?2026l");
    expect(renderChanges(["a"], ["a", ""])).toContain("\x1b[2J");
    expect(renderChanges(null, ["", ""])).toContain("\x1b[2J");
  });

  test("frames are the same when every row is", () => {
    expect(isSameFrame(["a", "b"], ["a", "b"])).toBe(true);
    for (const other of [["a"], ["a", "c"], ["a", "b", ""]] as Frame[])
      expect(isSameFrame(["a", "b"], other)).toBe(false);
  });
});

describe("what is remembered of a screen", () => {
  const size = { columns: 140, rows: 30 };
  const messages: readonly Message[] = [
    ...["j", "k", "space", "a", "o", "O", "/", "e", "1", "2", "3", "M", "!", "?", "c", "X", "y", "n", "l"].map(key),
    ...["up", "down", "left", "right", "enter", "escape", "tab", "end"].map(key),
  ].map((pressed): Message => ({ type: "key", key: pressed }));
  const others: readonly Message[] = [
    { type: "ticked", nowMs: NOW_MS + 61_000 },
    { type: "ticked", nowMs: NOW_MS + 3_600_000 },
    { type: "host-read", host: { ...host, cpuShare: 0.9 } },
    { type: "host-read", host },
    { type: "listed", vms: fleet.slice(1) },
    { type: "listed", vms: fleet },
    { type: "shown", vms: [{ ...(fleet[0] as Vm), state: "stopping", pendingRestart: true }] },
    { type: "images-listed", images: images.slice(1) },
    { type: "host-checked", rows: checks },
    { type: "lost", detail: "it ended", nowMs: NOW_MS },
    { type: "connected", version: "0.2.0", instance: "abcde" },
    { type: "note", text: "a note" },
    { type: "stats", stats: [[fleet[0]?.id ?? "", statsOf(fleet[0] as Vm, 77)]] },
    { type: "resized", size: { columns: 80, rows: 24 } },
    { type: "resized", size },
    {
      type: "events",
      isHistory: false,
      events: [
        {
          cursor: 9,
          at: new Date(NOW_MS).toISOString(),
          event: {
            type: "vm.step",
            vm: fleet[1]?.name ?? "",
            id: fleet[1]?.id ?? "",
            step: { step: "vmm.boot", phase: "begin", ms: null },
          },
        } as never,
      ],
    },
  ];
  const textsOf = (model: Model): string[] => renderScreen(model).map(textOf);
  /** Made of nothing that was there before: every view has just made another screen, and every value is a new one. */
  const freshTextsOf = (model: Model): string[] => {
    renderScreen(opened({ columns: 41, rows: 11 }, []));
    return textsOf(structuredClone(model));
  };

  test("is never shown for another model, whatever happened and in whatever order", () => {
    fc.assert(
      fc.property(fc.array(fc.constantFrom(...messages, ...others), { maxLength: 40 }), (happening) => {
        let model = opened(size);
        const seen: [Model, string[]][] = [];
        for (const message of happening) {
          [model] = update(model, message);
          seen.push([model, textsOf(model)]);
        }
        for (const [each, texts] of seen) expect(texts).toEqual(freshTextsOf(each));
      }),
      { numRuns: 150 },
    );
  });

  test("is most of it: after a tick, the painted rows of VMs are the very same values", () => {
    const paint = choosePaint({ LANG: "C.UTF-8", TERM: "xterm-256color" });
    const before = opened(size);
    const after = update(before, { type: "ticked", nowMs: before.nowMs + 10 })[0];
    const [one, other] = [renderScreen(before), renderScreen(after)];
    expect(other.filter((line, index) => line !== one[index])).toEqual([]);
    expect(isSameFrame(one.map(paint), other.map(paint))).toBe(true);
  });
});

describe("the clock of the screen", () => {
  const stopped = fleet.map((vm): Vm => ({ ...vm, state: "stopped", startedAt: null }));
  const quiet = opened({ columns: 140, rows: 40 }, stopped);

  test("stands while nothing shown depends on the time", () => {
    expect(dependsOnTime(quiet)).toBe(false);
    expect(dependsOnTime(type(opened(), "?"))).toBe(false);
    expect(dependsOnTime({ ...opened(), isAway: true })).toBe(false);
    // The one that runs is below the screen.
    const many = Array.from({ length: 40 }, (_, index) => ({
      ...(stopped[0] as Vm),
      id: `${index}`,
      name: `a${index}`,
    }));
    expect(dependsOnTime(opened({ columns: 80, rows: 24 }, [...many, { ...(fleet[0] as Vm), name: "z" }]))).toBe(false);
  });

  test("goes for an uptime, a step, a note that will go, times of images and checks, and the daemon's absence", () => {
    const going: readonly Model[] = [
      opened(),
      type(quiet, "enter"),
      type(quiet, "2"),
      update(type(quiet, "3"), { type: "host-checked", rows: checks })[0],
      update(quiet, { type: "note", text: "a note" })[0],
      update(quiet, { type: "lost", detail: "it ended", nowMs: NOW_MS })[0],
      { ...quiet, steps: new Map([[stopped[0]?.id ?? "", { step: "disk.clone", isUndo: false, sinceMs: NOW_MS }]]) },
    ];
    expect(going.map(dependsOnTime)).toEqual(going.map(() => true));
  });

  test("when it stands, time alone changes no row", () => {
    for (const model of [quiet, type(quiet, "j", "space"), type(quiet, "/", "old"), type(opened(), "?")]) {
      const later = update(model, { type: "ticked", nowMs: model.nowMs + 86_400_000 })[0];
      expect(dependsOnTime(model)).toBe(false);
      expect(renderScreen(later).map(textOf)).toEqual(renderScreen(model).map(textOf));
    }
  });
});

test("what a library prints is a note while the screen is ours, and printed again afterwards", () => {
  const notes: string[] = [];
  const { warn } = console;
  const printAgain = divertConsole((text) => notes.push(text));
  console.warn("deprecated:", { since: 1 });
  printAgain();
  expect(console.warn).toBe(warn);
  expect(notes).toHaveLength(1);
  expect(notes[0]).toStartWith("deprecated: {");
});
