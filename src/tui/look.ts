// Decides from the environment how the screen is painted: with which colours, and with which characters.
import { coloured, type Line, monochrome, paintLine, widthOf } from "./line.ts";

type Environment = Readonly<Record<string, string | undefined>>;

/** https://no-color.org, and terminals that are known to have none. */
export const isColourless = (env: Environment): boolean =>
  Boolean(env.NO_COLOR) || /^(vt\d|dumb|.*-m(ono)?$)/.test(env.TERM ?? "");

/** The character set of the locale (POSIX, 8.2) is not UTF-8, or the terminal is the kernel's own with its few glyphs. */
export const hasOnlyAscii = (env: Environment): boolean => {
  const locale = env.LC_ALL || env.LC_CTYPE || env.LANG || "";
  return env.TERM === "linux" || !/utf-?8/i.test(locale);
};

const replacements: Readonly<Record<string, string>> = {
  "…": "~",
  "‹": "<",
  "›": ">",
  "×": "x",
  "↑": "^",
  "↓": "v",
  "←": "<",
  "→": ">",
};

const graphemes = new Intl.Segmenter(undefined, { granularity: "grapheme" });

/** The same columns in ASCII. */
export const toAscii = (text: string): string => {
  if (/^[\x20-\x7e]*$/.test(text)) return text;
  let ascii = "";
  for (const { segment } of graphemes.segment(text)) {
    const isPlain = /^[\x20-\x7e]$/.test(segment);
    ascii += isPlain ? segment : (replacements[segment] ?? "?".repeat(widthOf(segment)));
  }
  return ascii;
};

/** How a line becomes what is written. A line is painted once: one that is shown again is the same one. */
export const choosePaint = (env: Environment): ((line: Line) => string) => {
  const palette = isColourless(env) ? monochrome : coloured;
  const shownOf = hasOnlyAscii(env)
    ? (line: Line): Line => line.map((span) => ({ ...span, text: toAscii(span.text) }))
    : (line: Line): Line => line;
  const painted = new WeakMap<Line, string>();
  return (line) => {
    const known = painted.get(line);
    if (known !== undefined) return known;
    const made = paintLine(shownOf(line), palette);
    painted.set(line, made);
    return made;
  };
};
