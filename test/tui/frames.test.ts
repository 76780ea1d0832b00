// What each screen looks like at three sizes, painted as a terminal gets it, and that what is remembered of a screen is never old.
import { describe, expect, test } from "bun:test";
import { coloured, monochrome, paintLine } from "../../src/tui/line.ts";
import { choosePaint } from "../../src/tui/look.ts";
import { renderScreen } from "../../src/tui/view/screen.ts";
import { fleet, opened, sizes, textOn, type } from "./fleet.ts";
import { scenes } from "./scenes.ts";

const withoutTrailingSpace = (text: string): string => text.replace(/ +$/gm, "");

for (const size of sizes) {
  describe(`at ${size.columns}×${size.rows}`, () => {
    for (const { name, draw } of scenes) {
      test(name, () => {
        const lines = renderScreen(draw(size)).map((line) => paintLine(line, monochrome));
        const shown = Bun.stripANSI(lines.join("\n"));
        expect(lines).toHaveLength(size.rows);
        expect(withoutTrailingSpace(shown)).toBe(withoutTrailingSpace(textOn(draw(size))));
        expect(withoutTrailingSpace(shown)).toMatchSnapshot();
      });
    }
  });
}

describe("colours", () => {
  const sequences = (env: Record<string, string>): Set<string> => {
    const paint = choosePaint({ LANG: "C.UTF-8", TERM: "xterm-256color", ...env });
    const shown = scenes
      .map(({ draw }) =>
        renderScreen(draw({ columns: 80, rows: 24 }))
          .map(paint)
          .join("\n"),
      )
      .join("\n");
    return new Set([...shown.matchAll(/\x1b\[([\d;]*)m/g)].flatMap((found) => (found[1] ?? "").split(";")));
  };

  test("are the first eight on the terminal's own background, so that light and dark themes both serve", () => {
    expect([...sequences({})].sort()).toEqual(["1", "2", "22", "27", "31", "32", "33", "36", "39", "7"]);
  });

  test("are absent under NO_COLOR and where the terminal has none; bold, faint and inverse stay", () => {
    for (const env of [{ NO_COLOR: "1" }, { TERM: "vt100" }, { TERM: "xterm-mono" }]) {
      expect([...sequences(env as never)].sort()).toEqual(["1", "2", "22", "27", "7"]);
    }
  });

  test("end with the row that they are in, so that no row depends on another", () => {
    const paint = choosePaint({ LANG: "C.UTF-8", TERM: "xterm-256color" });
    const ends: Readonly<Record<string, string>> = { 1: "22", 2: "22", 7: "27" };
    for (const { draw } of scenes) {
      for (const row of renderScreen(draw({ columns: 140, rows: 40 })).map(paint)) {
        const open = new Set<string>();
        for (const [, codes = ""] of row.matchAll(/\x1b\[([\d;]*)m/g)) {
          for (const code of codes.split(";")) {
            if (["22", "27", "39"].includes(code)) open.delete(code);
            else open.add(ends[code] ?? "39");
          }
        }
        expect([...open]).toEqual([]);
      }
    }
  });

  test("are never the only sign: without them every state and every problem is still in words", () => {
    const text = scenes.map(({ draw }) => textOn(draw({ columns: 80, rows: 24 }))).join("\n");
    for (const word of ["running", "error", "stopped (panic)", "host.memory_short", "has no unit"])
      expect(text).toContain(word);
    expect(new Set(Object.keys(coloured))).toEqual(new Set(Object.keys(monochrome)));
  });
});

describe("characters", () => {
  test("are ASCII where the locale or the terminal has no others", () => {
    for (const env of [
      { LANG: "C", TERM: "xterm" },
      { LANG: "C.UTF-8", TERM: "linux" },
    ]) {
      const paint = choosePaint(env);
      const shown = scenes.flatMap(({ draw }) => {
        const model = { ...draw({ columns: 80, rows: 24 }), isPlain: true };
        return renderScreen(model).map((line) => Bun.stripANSI(paint(line)));
      });
      expect(shown.filter((line) => !/^[\x20-\x7e]{0,80}$/.test(line))).toEqual([]);
      // What has no likeness in ASCII becomes a question mark: nothing that is drawn here may.
      expect(shown.filter((line) => line.includes("??"))).toEqual([]);
    }
  });

  const hostile: readonly [what: string, name: string][] = [
    ["control sequences", "\x1b[2J\x1b]0;title\x07evil\x1b[31m"],
    ["a newline and a tab", "two\nlines\tand a tab"],
    ["a reversed direction", "abc\u202edcba\u2066x"],
    ["wide characters", "虚拟机一二三四五六七八九十"],
    ["combining characters", "e\u0301".repeat(30)],
    ["emoji of several code points", "👩‍👩‍👧‍👦".repeat(12)],
    ["C1 controls", "a\x9b31mb\x9d0;x\x9cc"],
  ];
  for (const [what, name] of hostile) {
    test(`a name with ${what} stays in its column`, () => {
      const labels = { [name]: name };
      const vms = fleet.map((vm, index) => (index === 0 ? { ...vm, name, image: name, labels } : vm));
      for (const size of [...sizes, { columns: 160, rows: 20 }]) {
        for (const keys of [[], ["enter"], ["G", "enter"], ["G", "l"], ["G", "X"]]) {
          const lines = textOn(type(opened(size, vms), ...keys)).split("\n");
          expect(lines).toHaveLength(size.rows);
          for (const line of lines) {
            expect(Bun.stringWidth(line)).toBe(size.columns);
            expect(line).not.toMatch(/[\p{Cc}\u202a-\u202e\u2066-\u2069]/u);
          }
        }
      }
    });
  }
});
