// A line of the screen: spans of text with a tone, cut and padded to columns as a terminal counts them.
import { sanitize } from "../spec/sanitize.ts";

/** What a span means; colours are chosen from it when it is painted, so that none can be the only sign of anything. */
export type Tone = "plain" | "faint" | "strong" | "good" | "moving" | "bad" | "accent";
export type Span = { readonly text: string; readonly tone?: Tone; readonly isInverse?: boolean };
export type Line = readonly Span[];

const isAscii = (text: string): boolean => /^[\x20-\x7e]*$/.test(text);

/** Columns that a terminal uses for `text`. */
export const widthOf = (text: string): number => (isAscii(text) ? text.length : Bun.stringWidth(text));

const graphemes = new Intl.Segmenter(undefined, { granularity: "grapheme" });

/** The beginning of `text` that has at most `columns`, never half a character. */
const cut = (text: string, columns: number): string => {
  if (isAscii(text)) return text.slice(0, columns);
  let kept = "";
  let used = 0;
  for (const { segment } of graphemes.segment(text)) {
    const width = Bun.stringWidth(segment);
    if (used + width > columns) break;
    kept += segment;
    used += width;
  }
  return kept;
};

/** At most `columns` wide; what does not fit ends in an ellipsis. */
export const truncate = (text: string, columns: number, ellipsis = "…"): string => {
  if (widthOf(text) <= columns) return text;
  return columns <= widthOf(ellipsis) ? cut(text, columns) : cut(text, columns - widthOf(ellipsis)) + ellipsis;
};

/** Exactly `columns` wide. */
export const fit = (text: string, columns: number, align: "left" | "right" = "left"): string => {
  if (columns <= 0) return "";
  const shown = truncate(text, columns);
  const space = " ".repeat(columns - widthOf(shown));
  return align === "left" ? shown + space : space + shown;
};

/** Marks, embeddings, overrides and isolates of direction (Unicode UAX #9 §2): they would reorder the row that they are in. */
const directions = /[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;

/** Text from elsewhere on one line: nothing in it steers a terminal, turns its direction or moves the columns after it. */
export const printable = (text: string): string => sanitize(text).replace(directions, "").replace(/\s+/g, " ").trim();

/** The line in exactly `columns`. */
export const fitLine = (line: Line, columns: number): Line => {
  const fitted: Span[] = [];
  let left = columns;
  for (const span of line) {
    if (left <= 0) break;
    const text = truncate(span.text, left);
    if (text === "") continue;
    fitted.push(text === span.text ? span : { ...span, text });
    left -= widthOf(text);
  }
  if (left > 0) fitted.push({ text: " ".repeat(left), isInverse: line.at(-1)?.isInverse ?? false });
  return fitted;
};

let blank: { columns: number; line: Line } | null = null;
/** An empty row; always the same one while the screen is as wide as it was. */
export const blankLine = (columns: number): Line => {
  if (blank?.columns !== columns) blank = { columns, line: fitLine([], columns) };
  return blank.line;
};

export const textOf = (line: Line): string => line.map(({ text }) => text).join("");

export const invert = (line: Line): Line => line.map((span) => ({ ...span, isInverse: true }));

/** One left, one right, in `columns`; the left one gives way. */
export const spread = (left: Line, right: Line, columns: number): Line => {
  const rightWidth = widthOf(textOf(right));
  const room = columns - rightWidth;
  return room < 8 ? fitLine(left, columns) : [...fitLine(left, room), ...right];
};

/** Words of `text` in lines of at most `columns`, at most `rows` of them; the last one ends in an ellipsis when more would come. */
export const wrap = (text: string, columns: number, rows: number): string[] => {
  const lines = Bun.wrapAnsi(text, Math.max(columns, 4), { hard: true }).split("\n");
  if (lines.length <= rows) return lines;
  const last = lines.slice(rows - 1).join(" ");
  return [...lines.slice(0, rows - 1), truncate(last, columns)];
};

export type Palette = Readonly<Record<Tone, string>>;

const bare = { plain: "", faint: "", strong: "", good: "", moving: "", bad: "", accent: "" };
/** Attributes without colours (https://no-color.org speaks of colours alone). */
export const monochrome: Palette = { ...bare, faint: "2", strong: "1", bad: "1", accent: "1" };
/** The first eight colours alone, on the terminal's own background: every theme keeps these readable. */
export const coloured: Palette = {
  ...bare,
  faint: "2",
  strong: "1",
  good: "32",
  moving: "33",
  bad: "1;31",
  accent: "36",
};

/** Without the space at its end that nobody sees: what is drawn is work, and half a screen is often empty. */
const withoutEnd = (line: Line): Line => {
  const end = line.findLastIndex(({ text, isInverse }) => isInverse || text.trimEnd() !== "");
  const last = line[end];
  if (last === undefined) return [];
  return last.isInverse ? line.slice(0, end + 1) : [...line.slice(0, end), { ...last, text: last.text.trimEnd() }];
};

/** What ends an attribute (ECMA-48 §8.3.117): weights share an end, colours too. */
const endOf = (code: string): string => (code === "1" || code === "2" ? "22" : code === "7" ? "27" : "39");

type Brush = { begin: string; end: string };
const brushes = new Map<string, Brush>();
const brushOf = (codes: string): Brush => {
  const known = brushes.get(codes);
  if (known) return known;
  const ends = new Set(codes.split(";").map(endOf));
  const brush = { begin: `\x1b[${codes}m`, end: `\x1b[${[...ends].join(";")}m` };
  brushes.set(codes, brush);
  return brush;
};

const codesOf = ({ text, tone = "plain", isInverse = false }: Span, palette: Palette): string => {
  // Faint and coloured text on an inverted row is hard to read: there the inversion alone speaks.
  if (isInverse) return "7";
  // A blank looks the same in every colour.
  return text.trimEnd() === "" ? "" : palette[tone];
};

/** The line with SGR sequences; the terminal's own foreground and background stay what they are. */
export const paintLine = (line: Line, palette: Palette): string => {
  let painted = "";
  let current = "";
  for (const span of withoutEnd(line)) {
    const codes = codesOf(span, palette);
    if (codes !== current) {
      if (current !== "") painted += brushOf(current).end;
      if (codes !== "") painted += brushOf(codes).begin;
      current = codes;
    }
    painted += span.text;
  }
  return current === "" ? painted : painted + brushOf(current).end;
};
