// Changes one setting in the text of a configuration file and leaves every other byte, comments and layout included, as it was.
import { fail } from "../spec/errors.ts";
import { parseConfig, parseSetting, parseSyntax, settingOf } from "./config.ts";
import { isSame, scanToml, type TomlEntry, type TomlLayout } from "./toml-scan.ts";

/**
 * The text of the file at `path` with `key` (section.name) set to what `value` stands for. The whole is checked afterwards.
 * Errors: config.unknown_key, input.invalid (the value), config.invalid (the file, as it is or as it would be).
 */
export const setInText = (options: { text: string; path: string; key: string; value: string }): string => {
  const { text, path, key, value } = options;
  const rendered = renderTomlValue(parseSetting(key, value, key));
  parseSyntax(text, path);
  const changed = replaceOrInsert(text, { key: key.split("."), rendered });
  parseConfig(changed, path);
  return changed;
};

/**
 * The text of the file at `path` without `key` (section.name), its line gone whole; as it was where it does not have the key. The whole
 * is checked afterwards. Errors: config.unknown_key, config.invalid (the file, as it is or as it would be).
 */
export const removeFromText = (options: { text: string; path: string; key: string }): string => {
  const { text, path, key } = options;
  settingOf(key);
  parseSyntax(text, path);
  const layout = scanToml(text);
  const entry = layout.entries.find((one) => isSame(one.path, key.split(".")));
  if (!entry) return text;
  const [from, to] = entry.isInline ? inBraces(layout, entry) : wholeLines(text, entry);
  const changed = text.slice(0, from) + text.slice(to);
  parseConfig(changed, path);
  return changed;
};

type Span = readonly [from: number, to: number];

const wholeLines = (text: string, { keyStart, valueEnd }: TomlEntry): Span => [
  text.slice(0, keyStart).search(/[ \t]*$/),
  endOfLine(text, valueEnd),
];

/** With the comma behind it, or before it where it is the last. */
const inBraces = ({ entries }: TomlLayout, entry: TomlEntry): Span => {
  const beside = entries.filter(({ isInline, table }) => isInline && isSame(table, entry.table));
  const at = beside.indexOf(entry);
  const [before, after] = [beside[at - 1], beside[at + 1]];
  if (after) return [entry.keyStart, after.keyStart];
  return [before?.valueEnd ?? entry.keyStart, entry.valueEnd];
};

/** A value as TOML: basic strings, integers, booleans and lists of them. */
export const renderTomlValue = (value: unknown): string => {
  if (Array.isArray(value)) return `[${value.map(renderTomlValue).join(", ")}]`;
  if (typeof value === "number" || typeof value === "boolean") return String(value);
  if (typeof value !== "string") throw fail("internal.bug", { detail: `no setting can be ${String(value)}` });
  // JSON's escapes are all TOML's too; DEL alone has to be escaped in TOML and is not in JSON.
  return JSON.stringify(value).replaceAll("\u007f", "\\u007f");
};

type Change = { key: readonly string[]; rendered: string };

const replaceOrInsert = (text: string, { key, rendered }: Change): string => {
  const layout = scanToml(text);
  const splice = (from: number, to: number, by: string) => text.slice(0, from) + by + text.slice(to);
  const present = layout.entries.find((entry) => isSame(entry.path, key));
  if (present) return splice(present.valueStart, present.valueEnd, rendered);

  const lineEnd = text.includes("\r\n") ? "\r\n" : "\n";
  const [section = "", name = ""] = key;
  const siblings = layout.entries.filter((entry) => entry.path.length === 2 && entry.path[0] === section);

  const inline = layout.entries.find((entry) => isSame(entry.path, [section]));
  if (inline && text[inline.valueStart] === "{") {
    const last = siblings.at(-1);
    const assignment = `${name} = ${rendered}`;
    return last
      ? splice(last.valueEnd, last.valueEnd, `, ${assignment}`)
      : splice(inline.valueStart, inline.valueEnd, `{ ${assignment} }`);
  }

  const header = layout.headers.find((one) => isSame(one.path, [section]));
  if (header) {
    const after = endOfLine(text, siblings.filter(({ table }) => table.length === 1).at(-1)?.valueEnd ?? header.end);
    return insertLine(text, { after, line: `${name} = ${rendered}`, lineEnd });
  }
  // Dotted keys have made the table already, and a header of its own would define it twice.
  const dotted = siblings.at(-1);
  if (dotted) {
    return insertLine(text, {
      after: endOfLine(text, dotted.valueEnd),
      line: `${section}.${name} = ${rendered}`,
      lineEnd,
    });
  }
  return appendSection(text, { section, line: `${name} = ${rendered}`, lineEnd, layout });
};

const endOfLine = (text: string, offset: number): number => {
  const found = text.indexOf("\n", offset);
  return found === -1 ? text.length : found + 1;
};

const insertLine = (
  text: string,
  { after, line, lineEnd }: { after: number; line: string; lineEnd: string },
): string => {
  const before = text.slice(0, after);
  return `${before}${before.endsWith("\n") ? "" : lineEnd}${line}${lineEnd}${text.slice(after)}`;
};

type Appended = { section: string; line: string; lineEnd: string; layout: TomlLayout };

const appendSection = (text: string, { section, line, lineEnd, layout }: Appended): string => {
  const isVersioned = layout.entries.some((entry: TomlEntry) => isSame(entry.path, ["version"]));
  const isBare = layout.entries.length === 0 && layout.headers.length === 0;
  // A file that says nothing yet begins with its version, so that a later banger knows how to read it.
  const start =
    isBare && !isVersioned ? `${withLineEnd(text, lineEnd)}version = 1${lineEnd}` : withLineEnd(text, lineEnd);
  return `${start}${lineEnd}[${section}]${lineEnd}${line}${lineEnd}`;
};

const withLineEnd = (text: string, lineEnd: string): string =>
  text === "" || text.endsWith("\n") ? text : `${text}${lineEnd}`;
