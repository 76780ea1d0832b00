// The tab of this host: how each of banger's needs stands, the worst first, and below what is known of the one under the cursor.
import { formatAgo } from "../figures.ts";
import { scrollTo } from "../layout.ts";
import { blankLine, fit, fitLine, invert, type Line, printable, type Tone, wrap } from "../line.ts";
import type { HostCheck, Model } from "../model.ts";

const tones: Readonly<Record<HostCheck["status"], Tone>> = {
  ok: "good",
  warning: "moving",
  error: "bad",
  skipped: "faint",
};

const STATUS_WIDTH = "warning".length;

const headLine = ({ checks, isChecking, nowMs, size }: Model, nameWidth: number): Line => {
  const when = isChecking
    ? "checking …"
    : checks === null
      ? ""
      : `as of ${formatAgo(new Date(checks.atMs).toISOString(), nowMs)}`;
  const titles = ` ${fit("STATE", STATUS_WIDTH)}  ${fit("CHECK", nameWidth)}  `;
  return fitLine(
    [
      { text: `${titles}HOW IT STANDS`, tone: "strong" },
      { text: `  ${when}`, tone: "faint" },
    ],
    size.columns,
  );
};

const detailsOf = (row: HostCheck | undefined, { size, isPlain }: Model, height: number): Line[] => {
  if (row === undefined || height <= 0) return [];
  const { columns } = size;
  const room = columns - 2;
  const rule = isPlain ? "-" : "─";
  const title = `${rule} ${printable(row.id)} `;
  const fixes = row.fix === null ? [] : wrap(printable(row.fix), columns - 7, 3);
  const left = Math.max(1, height - 2 - fixes.length);
  return [
    [
      { text: title, tone: "strong" },
      { text: rule.repeat(Math.max(0, columns - title.length)), tone: "faint" },
    ],
    ...wrap(printable(row.summary), room, left).map((text): Line => [{ text: ` ${text}` }]),
    [{ text: ` why: ${printable(row.why)}`, tone: "faint" }],
    ...fixes.map((text, index): Line => [{ text: index === 0 ? "  try: " : "       ", tone: "accent" }, { text }]),
  ];
};

export const renderHostChecks = (model: Model, given: { tableRows: number; detailRows: number }): Line[] => {
  const { tableRows, detailRows } = given;
  const { columns } = model.size;
  const rows = model.checks?.rows ?? [];
  const nameWidth = Math.min(20, Math.max(8, ...rows.map(({ id }) => printable(id).length)));
  const top = scrollTo({ top: 0, index: model.checkCursor, height: tableRows, count: rows.length });
  const lines = rows.slice(top, top + tableRows).map((row, place): Line => {
    const line = fitLine(
      [
        { text: ` ${fit(row.status, STATUS_WIDTH)}  `, tone: tones[row.status] },
        { text: `${fit(printable(row.id), nameWidth)}  ${printable(row.summary)}` },
      ],
      columns,
    );
    return top + place === model.checkCursor ? invert(line) : line;
  });
  if (rows.length === 0 && tableRows > 0) {
    const text = model.isChecking ? "  Looking at this host …" : "  r looks at this host.";
    lines.push(fitLine([{ text, tone: "faint" }], columns));
  }
  while (lines.length < tableRows) lines.push(blankLine(columns));
  const details = detailsOf(rows[model.checkCursor], model, detailRows).slice(0, detailRows);
  while (details.length < detailRows) details.push([]);
  return [headLine(model, nameWidth), ...lines, ...details.map((line) => fitLine(line, columns))];
};
