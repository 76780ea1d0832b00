// Finds where keys and values stand in the text of a TOML file that a parser has accepted; parsers tell no positions.

/** One `key = value`; offsets are in UTF-16 units, ends exclusive. */
export type TomlEntry = {
  /** Whole path, table included. */
  path: readonly string[];
  /** Path of the table whose header or braces it stands below. */
  table: readonly string[];
  isInline: boolean;
  keyStart: number;
  valueStart: number;
  valueEnd: number;
};

export type TomlHeader = { path: readonly string[]; start: number; end: number };

export type TomlLayout = { entries: readonly TomlEntry[]; headers: readonly TomlHeader[] };

/** Line and column, both from 1; columns count characters as editors do. */
export type TomlPosition = { line: number; column: number };

type Cursor = { text: string; at: number; entries: TomlEntry[]; headers: TomlHeader[] };

/** Every entry and header of valid TOML, in the order of the text. */
export const scanToml = (text: string): TomlLayout => {
  const cursor: Cursor = { text, at: text.startsWith("\uFEFF") ? 1 : 0, entries: [], headers: [] };
  let table: readonly string[] = [];
  for (;;) {
    skipBlank(cursor);
    if (cursor.at >= text.length) return { entries: cursor.entries, headers: cursor.headers };
    if (text[cursor.at] === "[") table = readHeader(cursor);
    else readEntry(cursor, { table, isInline: false });
  }
};

/** Where `path` stands, or the longest part of it that stands anywhere; line 1, column 1 for nothing. */
export const locateToml = (text: string, path: readonly string[]): TomlPosition => {
  const { entries, headers } = scanToml(text);
  for (let length = path.length; length > 0; length -= 1) {
    const wanted = path.slice(0, length);
    const entry = entries.find((one) => isSame(one.path, wanted));
    if (entry) return positionOf(text, entry.keyStart);
    const header = headers.find((one) => isSame(one.path, wanted));
    if (header) return positionOf(text, header.start);
    const below = entries.find((one) => isSame(one.path.slice(0, length), wanted));
    if (below) return positionOf(text, below.keyStart);
  }
  return { line: 1, column: 1 };
};

export const positionOf = (text: string, offset: number): TomlPosition => {
  const before = text.slice(0, offset);
  const lineStart = before.lastIndexOf("\n") + 1;
  return { line: before.split("\n").length, column: [...before.slice(lineStart).replace("\uFEFF", "")].length + 1 };
};

export const isSame = (one: readonly string[], other: readonly string[]): boolean =>
  one.length === other.length && one.every((part, index) => part === other[index]);

/** White space, line ends and comments. */
const skipBlank = (cursor: Cursor): void => {
  const blank = /(?:[ \t\r\n]|#[^\n]*)*/y;
  blank.lastIndex = cursor.at;
  cursor.at += blank.exec(cursor.text)?.[0].length ?? 0;
};

const skipSpace = (cursor: Cursor): void => {
  while (cursor.text[cursor.at] === " " || cursor.text[cursor.at] === "\t") cursor.at += 1;
};

const readHeader = (cursor: Cursor): readonly string[] => {
  const start = cursor.at;
  while (cursor.text[cursor.at] === "[") cursor.at += 1;
  const path = readKey(cursor);
  while (cursor.text[cursor.at] === "]") cursor.at += 1;
  cursor.headers.push({ path, start, end: cursor.at });
  return path;
};

/** A dotted key, with the space around it. */
const readKey = (cursor: Cursor): readonly string[] => {
  const parts: string[] = [];
  for (;;) {
    skipSpace(cursor);
    parts.push(readKeyPart(cursor));
    skipSpace(cursor);
    if (cursor.text[cursor.at] !== ".") return parts;
    cursor.at += 1;
  }
};

const readKeyPart = (cursor: Cursor): string => {
  const start = cursor.at;
  const quote = cursor.text[start];
  if (quote === '"' || quote === "'") {
    skipString(cursor);
    const inside = cursor.text.slice(start + 1, cursor.at - 1);
    return quote === "'" ? inside : unescaped(inside);
  }
  const bare = /[A-Za-z0-9_-]+/y;
  bare.lastIndex = start;
  // A character that can be in no key is stepped over: a text that is no TOML must not hold the scan up.
  const part = bare.exec(cursor.text)?.[0] ?? "";
  cursor.at += Math.max(1, part.length);
  return part;
};

const escapes: Record<string, string> = { b: "\b", t: "\t", n: "\n", f: "\f", r: "\r", e: "\u001b" };

const unescaped = (text: string): string =>
  text.replaceAll(/\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(.))/g, (_, x, u, long, plain) => {
    const digits: string | undefined = x ?? u ?? long;
    return digits === undefined ? (escapes[plain] ?? plain) : String.fromCodePoint(Number.parseInt(digits, 16));
  });

const readEntry = (cursor: Cursor, place: { table: readonly string[]; isInline: boolean }): void => {
  const keyStart = cursor.at;
  const path = [...place.table, ...readKey(cursor)];
  if (cursor.text[cursor.at] === "=") cursor.at += 1;
  skipSpace(cursor);
  const entry = { path, ...place, keyStart, valueStart: cursor.at, valueEnd: cursor.at };
  cursor.entries.push(entry);
  skipValue(cursor, path);
  entry.valueEnd = cursor.at;
};

const skipValue = (cursor: Cursor, path: readonly string[]): void => {
  const first = cursor.text[cursor.at];
  if (first === '"' || first === "'") skipString(cursor);
  else if (first === "[") skipList(cursor, path);
  else if (first === "{") skipInlineTable(cursor, path);
  else skipPlain(cursor);
};

/** Numbers, booleans and dates; a date may be parted from its time by one space. */
const skipPlain = (cursor: Cursor): void => {
  const plain = /[^\s,\]}#]+(?: \d\d:[^\s,\]}#]+)?/y;
  plain.lastIndex = cursor.at;
  cursor.at += plain.exec(cursor.text)?.[0].length ?? 0;
};

const skipString = (cursor: Cursor): void => {
  const quote = cursor.text[cursor.at] ?? "";
  const fence = quote.repeat(3);
  const isLong = cursor.text.startsWith(fence, cursor.at);
  cursor.at += isLong ? 3 : 1;
  for (; cursor.at < cursor.text.length; cursor.at += 1) {
    if (quote === '"' && cursor.text[cursor.at] === "\\") cursor.at += 1;
    else if (cursor.text.startsWith(isLong ? fence : quote, cursor.at)) break;
  }
  cursor.at += isLong ? 3 : 1;
  // Up to two quotes may stand just before the closing three.
  while (isLong && cursor.text[cursor.at] === quote) cursor.at += 1;
};

const skipList = (cursor: Cursor, path: readonly string[]): void => {
  cursor.at += 1;
  for (let index = 0; ; ) {
    skipBlank(cursor);
    const before = cursor.at;
    const next = cursor.text[cursor.at];
    if (next === "]" || next === undefined) break;
    if (next === ",") {
      cursor.at += 1;
      index += 1;
    } else skipValue(cursor, [...path, String(index)]);
    if (cursor.at === before) cursor.at += 1;
  }
  cursor.at += 1;
};

const skipInlineTable = (cursor: Cursor, path: readonly string[]): void => {
  cursor.at += 1;
  for (;;) {
    skipBlank(cursor);
    const next = cursor.text[cursor.at];
    if (next === "}" || next === undefined) break;
    if (next === ",") cursor.at += 1;
    else readEntry(cursor, { table: path, isInline: true });
  }
  cursor.at += 1;
};
