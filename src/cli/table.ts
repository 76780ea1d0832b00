// Columns as wide as their widest cell shows, two spaces apart; escape sequences and wide characters count as they look.
import type { Paint } from "./paint.ts";

const pad = (text: string, width: number): string => text + " ".repeat(Math.max(0, width - Bun.stringWidth(text)));

/** Rows under a heading; the last column is not padded, so that nothing trails. */
export const renderTable = (options: {
  header: readonly string[];
  rows: readonly (readonly string[])[];
  paint: Paint;
}): string => {
  const { header, rows, paint } = options;
  const all = [header, ...rows];
  const widths = header.map((_, column) => Math.max(...all.map((row) => Bun.stringWidth(row[column] ?? ""))));
  const line = (row: readonly string[]) =>
    row
      .map((cell, column) => (column === row.length - 1 ? cell : pad(cell, widths[column] ?? 0)))
      .join("  ")
      .trimEnd();
  return `${[paint.faint(line(header)), ...rows.map(line)].join("\n")}\n`;
};

/** `Name  value` lines; entries without a value are left out. */
export const renderFacts = (facts: readonly (readonly [string, string | null])[], paint: Paint): string => {
  const shown = facts.filter((fact): fact is readonly [string, string] => fact[1] !== null && fact[1] !== "");
  const width = Math.max(0, ...shown.map(([name]) => Bun.stringWidth(name)));
  return shown.map(([name, value]) => `${paint.faint(pad(name, width))}  ${value}\n`).join("");
};
