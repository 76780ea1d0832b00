// Breaks what help says into lines that fit a terminal of 80 columns.
const WIDTH = 80;
/** Words that are longer than this do not push what explains them further to the right: it begins on the next line. */
const LEFT_WIDTH = 28;
const GAP = 2;

/** `text` in lines of at most `width`, cut at spaces only; a word that is longer stays whole. */
export const wrap = (text: string, width = WIDTH): string[] => Bun.wrapAnsi(text, width).split("\n");

/** Two columns: words to type, and what they mean, broken below itself. */
export const wrapRows = (rows: readonly (readonly [string, string])[]): string => {
  const lefts = rows.map(([left]) => left.length);
  const indent = 2 + Math.max(...lefts.filter((length) => length <= LEFT_WIDTH), 0) + GAP;
  const row = ([left, right]: readonly [string, string]): string => {
    const [first = "", ...others] = wrap(right, WIDTH - indent);
    const isLeftLong = left.length + 2 + GAP > indent;
    const head = isLeftLong ? `  ${left}\n${" ".repeat(indent)}${first}` : `${`  ${left}`.padEnd(indent)}${first}`;
    return [head.trimEnd(), ...others.map((line) => " ".repeat(indent) + line)].join("\n");
  };
  return rows.map((one) => `${row(one)}\n`).join("");
};
