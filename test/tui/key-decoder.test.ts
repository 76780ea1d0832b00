// What terminals send, as keys: whole, byte by byte, in the middle of a character, and what is no key at all.
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { openKeyDecoder, pasted } from "../../src/tui/key-decoder.ts";
import type { KeyPress } from "../../src/tui/keys.ts";

const bytesOf = (text: string): Uint8Array => new Uint8Array(Buffer.from(text));
const takeAll = (decoder: ReturnType<typeof openKeyDecoder>): KeyPress[] => {
  const keys: KeyPress[] = [];
  for (let key = decoder.next(); key !== null; key = decoder.next()) keys.push(key);
  return keys;
};
/** The keys of pieces that come at once, one after the other; with `isQuiet`, nothing comes after them for a while. */
const decode = (pieces: readonly Uint8Array[], isQuiet = true): KeyPress[] => {
  const decoder = openKeyDecoder();
  const keys = pieces.flatMap((piece) => {
    decoder.push(piece);
    return takeAll(decoder);
  });
  if (isQuiet && decoder.patienceMs() !== null) decoder.expire();
  return [...keys, ...takeAll(decoder)];
};
const namesOf = (text: string): string[] => decode([bytesOf(text)]).map(({ name }) => name);

const cases: readonly (readonly [what: string, sent: string, names: readonly string[]])[] = [
  ["a letter", "j", ["j"]],
  ["letters in one piece", "jjd", ["j", "j", "d"]],
  ["space", " ", ["space"]],
  ["text and Enter", "ab\r", ["a", "b", "enter"]],
  ["line feed", "\n", ["enter"]],
  ["Tab and Shift-Tab", "\t\x1b[Z", ["tab", "shift-tab"]],
  ["both backspaces", "\x7f\b", ["backspace", "backspace"]],
  ["Ctrl", "\x03\x15\x1a\x1d", ["ctrl-c", "ctrl-u", "ctrl-z", "ctrl-]"]],
  ["characters of several bytes", "ä虚👍", ["ä", "虚", "👍"]],
  ["arrows", "\x1b[A\x1b[B\x1b[C\x1b[D", ["up", "down", "right", "left"]],
  ["arrows in application mode", "\x1bOA\x1bOB\x1bOC\x1bOD", ["up", "down", "right", "left"]],
  ["arrows with Shift, Alt and Ctrl (xterm)", "\x1b[1;2A\x1b[1;3B\x1b[1;5C", ["up", "down", "right"]],
  ["arrows with Shift and Ctrl (rxvt)", "\x1b[a\x1bOd\x1bO5A", ["up", "left", "up"]],
  ["Home and End (xterm)", "\x1b[H\x1b[F\x1bOH\x1bOF", ["home", "end", "home", "end"]],
  ["Home and End (tmux, Linux)", "\x1b[1~\x1b[4~", ["home", "end"]],
  ["Home and End (rxvt)", "\x1b[7~\x1b[8~", ["home", "end"]],
  ["pages and Del", "\x1b[5~\x1b[6~\x1b[3~", ["pageup", "pagedown", "delete"]],
  ["pages and Del with modifiers", "\x1b[5;5~\x1b[6^\x1b[3$", ["pageup", "pagedown", "delete"]],
  ["Enter of the number pad", "\x1bOM", ["enter"]],
  ["Esc alone", "\x1b", ["escape"]],
  ["Esc twice", "\x1b\x1b", ["escape", "escape"]],
  ["Esc and an arrow in one piece", "\x1b\x1b[B", ["escape", "down"]],
  ["Esc and Ctrl in one piece", "\x1b\r\x1b\x1a", ["escape", "enter", "escape", "ctrl-z"]],
  ["Alt", "\x1bx\x1bä\x1b ", ["alt-x", "alt-ä", "alt-space"]],
  ["Alt-[ alone", "\x1b[", ["alt-["]],
  ["Alt-O alone", "\x1bO", ["alt-O"]],
  ["Shift with Delete of rxvt, and a blank behind it", "\x1b[3$ \x1b[5$/", ["delete", "space", "pageup", "/"]],
  ["a click and its end", "\x1b[<0;10;5M\x1b[<0;10;5m", ["click"]],
  ["the wheel", "\x1b[<64;1;1M\x1b[<65;1;1M", ["wheel-up", "wheel-down"]],
  ["other buttons, and moving", "\x1b[<2;1;1M\x1b[<35;1;1M", []],
  ["a click of a terminal with old reports", "\x1b[M *%q", ["click", "q"]],
  ["function keys", "\x1b[11~\x1b[24;2~\x1bOP\x1b[[A\x1b[P", []],
  ["focus, positions and other answers", "\x1b[I\x1b[O\x1b[12;40R\x1b[?62;22c\x1b[?1;2$y", []],
  ["keys of the kitty protocol", "\x1b[97;5u", []],
  ["what stops being a sequence", "\x1b[12\x03q", ["ctrl-c", "q"]],
  ["a paste", "\x1b[200~q\nrm\x1b[201~x", ["paste", "x"]],
];

describe("keys of terminals", () => {
  for (const [what, sent, names] of cases) {
    test(what, () => expect(namesOf(sent)).toEqual([...names]));
  }

  test("a click is where it was, counted from 0, by new reports and by old ones", () => {
    expect(decode([bytesOf("\x1b[<0;10;5M")])[0]?.at).toEqual({ column: 9, row: 4 });
    expect(decode([bytesOf("\x1b[M *%")])[0]?.at).toEqual({ column: 9, row: 4 });
  });

  test("only what can be typed enters text", () => {
    expect(decode([bytesOf("a ä\x03\x1b[A\x1bx\t")]).map(({ text }) => text)).toEqual(["a", " ", "ä", "", "", "", ""]);
  });

  test("in whatever pieces it comes, it is the same keys", () => {
    const sent = cases.filter(([what]) => !what.includes("alone") && !what.startsWith("Esc")).map(([, text]) => text);
    fc.assert(
      fc.property(fc.constantFrom(...sent), fc.constantFrom(...sent), fc.array(fc.nat(40)), (one, other, cuts) => {
        const bytes = bytesOf(one + other);
        const places = [...new Set([0, ...cuts.map((cut) => Math.min(cut, bytes.length)), bytes.length])].sort(
          (a, b) => a - b,
        );
        const pieces = places.slice(1).map((end, index) => bytes.slice(places[index], end));
        expect(decode(pieces)).toEqual(decode([bytes]));
      }),
      { numRuns: 500 },
    );
  });

  test("a sequence that never ends is given up", () => {
    const decoder = openKeyDecoder();
    decoder.push(bytesOf(`\x1b[${"1;".repeat(200)}`));
    expect(decoder.next()).toBeNull();
    decoder.push(bytesOf("q"));
    expect(decoder.next()?.name).toBe("q");
  });

  test("any bytes at all leave a decoder that still hears the keys after them", () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 5 }), (pieces) => {
        const decoder = openKeyDecoder();
        for (const piece of pieces) {
          decoder.push(piece);
          takeAll(decoder);
        }
        for (let tries = 0; tries < 3 && decoder.patienceMs() !== null; tries++) {
          decoder.expire();
          takeAll(decoder);
        }
        // The first ones may still belong to a sequence or to a character.
        decoder.push(bytesOf("qqqqqqqq"));
        expect(takeAll(decoder).at(-1)?.name).toBe("q");
      }),
      { numRuns: 500 },
    );
  });
});

describe("waiting", () => {
  const begun = (text: string): number | null => {
    const decoder = openKeyDecoder();
    decoder.push(bytesOf(text));
    takeAll(decoder);
    return decoder.patienceMs();
  };

  test("is short for what may be the key Esc, and endless for what can only be the middle of a sequence", () => {
    expect(begun("\x1b")).toBeLessThanOrEqual(100);
    expect(begun("\x1b[")).toBeLessThanOrEqual(100);
    expect(begun("\x1b[<0;1")).toBeNull();
    expect(begun("j")).toBeNull();
    expect(begun("\x1b[200~half")).toBe(1000);
  });

  test("an arrow in two pieces is an arrow, and no Esc", () => {
    expect(decode([bytesOf("\x1b"), bytesOf("[A")], false).map(({ name }) => name)).toEqual(["up"]);
  });
});

describe("pastes", () => {
  test("are text on one line and no keys", () => {
    expect(pasted(" q\nrm\x1b[A ")).toEqual({ name: "paste", text: "q rm [A" });
    expect(decode([bytesOf("\x1b[200~y\x1b[A\ny\x1b[201~")])).toEqual([{ name: "paste", text: "y [A y" }]);
  });

  test("over many pieces are one, of which no more is kept than a field can hold", () => {
    const decoder = openKeyDecoder();
    decoder.push(bytesOf("\x1b[200~"));
    for (let piece = 0; piece < 200; piece++) {
      decoder.push(bytesOf("0123456789".repeat(1000)));
      expect(decoder.next()).toBeNull();
    }
    decoder.push(bytesOf("\x1b[20"));
    expect(decoder.next()).toBeNull();
    decoder.push(bytesOf("1~j"));
    const [paste, key] = takeAll(decoder);
    expect([paste?.name, paste?.text.length, key?.name]).toEqual(["paste", 4096, "j"]);
  });

  test("whose end got lost end after a while, and keys are keys again", () => {
    const decoder = openKeyDecoder();
    decoder.push(bytesOf("\x1b[200~lost"));
    expect(decoder.next()).toBeNull();
    decoder.expire();
    decoder.push(bytesOf("q"));
    expect(takeAll(decoder).map(({ name, text }) => [name, text])).toEqual([
      ["paste", "lost"],
      ["q", "q"],
    ]);
  });
});

test("what is not a key yet goes to whoever gets the keys next, to the last byte", () => {
  const decoder = openKeyDecoder();
  const typed = Buffer.concat([bytesOf("sls\r\x1b[A"), bytesOf("虚").slice(0, 2)]);
  decoder.push(typed);
  expect(decoder.next()?.name).toBe("s");
  expect(Buffer.from(decoder.drain())).toEqual(typed.subarray(1));
  expect(decoder.next()).toBeNull();
  decoder.push(bytesOf("j"));
  expect(decoder.next()?.name).toBe("j");
});
