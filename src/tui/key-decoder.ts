// Reads the keys out of what a terminal sends: sequences of several kinds of terminals, mouse reports, pastes, text in UTF-8.
import type { KeyPress } from "./keys.ts";

export type KeyDecoder = {
  /** Takes what came from the terminal, in pieces of any size. */
  push: (bytes: Uint8Array) => void;
  /** The next key of it; null when there is none, or only the beginning of one. */
  next: () => KeyPress | null;
  /** For how long a beginning may stay one; null when nothing is begun, or when it can only be a beginning. */
  patienceMs: () => number | null;
  /** Takes what is begun for what it is: nothing came after it within the patience. */
  expire: () => void;
  /** Everything that is not a key yet, as it came: somebody else gets it. */
  drain: () => Uint8Array;
};

/** A sequence comes in one piece except over a slow line; the key Esc is a byte alone. */
const ESCAPE_MS = 30;
/** A paste whose end got lost must not swallow the keys for ever. */
const PASTE_MS = 1000;
/** What is pasted goes into a field of one line. */
const PASTE_LONGEST = 4096;
/** No sequence of a terminal is as long; what is longer is none. */
const SEQUENCE_LONGEST = 64;

const ESC = "\x1b";
const PASTE_BEGIN = `${ESC}[200~`;
const PASTE_END = `${ESC}[201~`;

/** Last letters of CSI and SS3 sequences (xterm, "PC-Style Function Keys"); the small ones are rxvt's with Shift or Ctrl. */
const letters: Readonly<Record<string, string>> = {
  A: "up",
  B: "down",
  C: "right",
  D: "left",
  a: "up",
  b: "down",
  c: "right",
  d: "left",
  H: "home",
  F: "end",
  M: "enter",
  Z: "shift-tab",
};
/** Numbers of `CSI number ~` (VT220): 1 and 4 are tmux and the Linux console, 7 and 8 rxvt. */
const numbers: Readonly<Record<string, string>> = {
  1: "home",
  7: "home",
  4: "end",
  8: "end",
  3: "delete",
  5: "pageup",
  6: "pagedown",
};
const namesOfCharacters: Readonly<Record<string, string>> = {
  " ": "space",
  "\r": "enter",
  "\n": "enter",
  "\t": "tab",
  "\b": "backspace",
  "\x7f": "backspace",
};

/** One character as a key: a control character is Ctrl with the letter 64 further on, unless it has a name. */
const characterKey = (character: string): KeyPress => {
  const name = namesOfCharacters[character];
  const code = character.codePointAt(0) ?? 0;
  if (code < 32) return { name: name ?? `ctrl-${String.fromCharCode(code + 64).toLowerCase()}`, text: "" };
  return { name: name ?? character, text: /^\p{Cc}/u.test(character) ? "" : character };
};

const named = (name: string | undefined): KeyPress | null => (name === undefined ? null : { name, text: "" });

/** Buttons as xterm counts them ("Mouse Tracking"): 0 is the left one, 64 and 65 are the wheel; letting go tells us nothing. */
const mouseNames: Readonly<Record<number, string>> = { 0: "click", 64: "wheel-up", 65: "wheel-down" };
const mouseKey = (button: number, column: number, row: number): KeyPress | null => {
  const name = mouseNames[button];
  return name === undefined ? null : { name, text: "", at: { column: column - 1, row: row - 1 } };
};

/** What a whole CSI sequence means; null for what is no key of ours. */
const controlKey = (parameters: string, last: string): KeyPress | null => {
  if (parameters.startsWith("<")) {
    const [button, column, row] = parameters.slice(1).split(";").map(Number);
    return last === "M" ? mouseKey(button ?? -1, column ?? 1, row ?? 1) : null;
  }
  const [first = ""] = parameters.split(";");
  if (last === "~" || last === "^" || last === "$" || last === "@") return named(numbers[first]);
  return /^[\d;]*$/.test(parameters) && last !== "M" ? named(letters[last]) : null;
};

/** `length` characters make a sequence; 0: it is only begun. */
type Sequence = { readonly length: number; readonly key: KeyPress | null };
const begun: Sequence = { length: 0, key: null };

/** Of a terminal that knows no other reports: three characters, each 32 more than it means (xterm, mode 1000). */
const oldMouse = (text: string): Sequence => {
  if (text.length < 6) return begun;
  const [button = 0, column = 0, row = 0] = [3, 4, 5].map((at) => text.charCodeAt(at) - 32);
  return { length: 6, key: mouseKey(button, column, row) };
};

/** CSI (ECMA-48 §5.4): parameters, intermediates, one last character. Anything else ends it where it stops being one. */
const controlSequence = (text: string): Sequence => {
  // The Linux console's function keys have a second bracket.
  if (text[2] === "[") return text.length < 4 ? begun : { length: 4, key: null };
  if (text[2] === "M") return oldMouse(text);
  const found = /^\x1b\[([0-?]*)([ -/]*)/.exec(text);
  const length = found?.[0].length ?? 2;
  const parameters = found?.[1] ?? "";
  // Rxvt ends its keys with Shift in a character that is an intermediate elsewhere: what is typed behind it may look like another.
  if (found?.[2]?.startsWith("$") && /^\d+$/.test(parameters))
    return { length: `${ESC}[${parameters}$`.length, key: controlKey(parameters, "$") };
  const last = text[length];
  if (last === undefined) return length > SEQUENCE_LONGEST ? { length, key: null } : begun;
  if (!/[@-~]/.test(last)) return { length, key: null };
  return { length: length + 1, key: found?.[2] === "" ? controlKey(parameters, last) : null };
};

/** SS3: one letter, before which old terminals put a number for Shift and the like. */
const shiftSequence = (text: string): Sequence => {
  const found = /^\x1bO(\d?)([\s\S])?/.exec(text);
  const last = found?.[2];
  return last === undefined ? begun : { length: found?.[0].length ?? 2, key: named(letters[last]) };
};

const escapeSequence = (text: string): Sequence => {
  const second = text[1];
  if (second === undefined) return begun;
  if (second === "[") return controlSequence(text);
  if (second === "O") return shiftSequence(text);
  // Esc pressed quickly before another key: no key of ours is Alt with a control character.
  if (second < " ") return { length: 1, key: named("escape") };
  const [character = ""] = text.slice(1);
  return { length: 1 + character.length, key: named(`alt-${characterKey(character).name}`) };
};

export const pasted = (text: string): KeyPress => ({ name: "paste", text: text.replace(/\p{Cc}+/gu, " ").trim() });

/** How much of the end of `text` may be the beginning of `mark`. */
const overlapOf = (text: string, mark: string): number => {
  for (let length = Math.min(text.length, mark.length - 1); length > 0; length--) {
    if (text.endsWith(mark.slice(0, length))) return length;
  }
  return 0;
};

/** How many bytes at the end are the beginning of a character (RFC 3629 §3: its first byte says how many there are). */
const unfinishedBytes = (bytes: Uint8Array): number => {
  for (let back = 1; back <= Math.min(3, bytes.length); back++) {
    const byte = bytes[bytes.length - back] ?? 0;
    if (byte < 0x80) return 0;
    if (byte >= 0xc0) return back < (byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : 2) ? back : 0;
  }
  return 0;
};

export const openKeyDecoder = (): KeyDecoder => {
  const utf8 = new TextDecoder();
  let rest = "";
  let unfinished: Uint8Array = new Uint8Array();
  /** What was pasted so far, while it is being pasted. */
  let paste: string | null = null;

  const addToPaste = (text: string): void => {
    paste = ((paste ?? "") + text).slice(0, PASTE_LONGEST);
  };
  const endPaste = (): KeyPress => {
    const key = pasted(paste ?? "");
    paste = null;
    return key;
  };
  const takePaste = (): KeyPress | null => {
    const end = rest.indexOf(PASTE_END);
    if (end >= 0) {
      addToPaste(rest.slice(0, end));
      rest = rest.slice(end + PASTE_END.length);
      return endPaste();
    }
    const kept = overlapOf(rest, PASTE_END);
    addToPaste(rest.slice(0, rest.length - kept));
    rest = rest.slice(rest.length - kept);
    return null;
  };

  const next = (): KeyPress | null => {
    while (paste !== null || rest !== "") {
      if (paste !== null) return takePaste();
      if (rest.startsWith(PASTE_BEGIN)) {
        rest = rest.slice(PASTE_BEGIN.length);
        paste = "";
        continue;
      }
      if (!rest.startsWith(ESC)) {
        const [character = ""] = rest;
        rest = rest.slice(character.length);
        return characterKey(character);
      }
      const { length, key } = escapeSequence(rest);
      if (length === 0) return null;
      rest = rest.slice(length);
      if (key !== null) return key;
    }
    return null;
  };

  /** Keys that `expire` has found. */
  const late: KeyPress[] = [];
  return {
    push: (added) => {
      const bytes = unfinished.length === 0 ? added : Buffer.concat([unfinished, added]);
      const end = bytes.length - unfinishedBytes(bytes);
      unfinished = bytes.slice(end);
      rest += utf8.decode(bytes.subarray(0, end));
    },
    next: () => late.shift() ?? next(),
    patienceMs: () => {
      if (paste !== null) return PASTE_MS;
      return rest === ESC || rest === `${ESC}[` || rest === `${ESC}O` ? ESCAPE_MS : null;
    },
    expire: () => {
      if (paste !== null) late.push(endPaste());
      else if (rest === ESC) late.push({ name: "escape", text: "" });
      else late.push({ name: `alt-${rest.slice(1)}`, text: "" });
      rest = "";
    },
    drain: () => {
      const drained = Buffer.concat([Buffer.from(rest), unfinished]);
      rest = "";
      paste = null;
      unfinished = new Uint8Array();
      return drained;
    },
  };
};
