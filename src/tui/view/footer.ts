// The rows at the bottom: a message or a failure, and the line of keys, the filter or a question.

import { layoutOf, NOTE_ROWS } from "../layout.ts";
import { fitLine, type Line, printable, type Span, wrap } from "../line.ts";
import type { Model, Verb } from "../model.ts";
import { rowsOf } from "../select.ts";
import { remembering } from "./remember.ts";

const hints: readonly (readonly [key: string, what: string])[] = [
  ["?", "keys"],
  ["/", "filter"],
  ["enter", "details"],
  ["c", "create"],
  ["s", "ssh"],
  ["u", "start"],
  ["d", "stop"],
  ["l", "logs"],
  ["t", "console"],
  ["e", "edit"],
  ["r", "restart"],
  ["X", "delete"],
  ["space", "mark"],
  ["o", "sort"],
  ["y", "copy"],
  ["q", "leave"],
];
const imageHints: typeof hints = [
  ["?", "keys"],
  ["tab", "host"],
  ["q", "leave"],
];
const hostHints: typeof hints = [
  ["?", "keys"],
  ["r", "check again"],
  ["y", "copy what to type"],
  ["tab", "VMs"],
  ["q", "leave"],
];

const hintLine = (given: typeof hints, columns: number): Line => {
  const line: Span[] = [];
  let used = 0;
  for (const [key, what] of given) {
    const width = key.length + what.length + 3;
    if (used + width > columns) break;
    line.push({ text: ` ${key}`, tone: "strong" }, { text: ` ${what} `, tone: "faint" });
    used += width;
  }
  return line;
};

const endings: Readonly<Record<Verb, string>> = {
  start: "",
  stop: "",
  restart: "",
  kill: " at once, without asking the guest",
  delete: " with all data",
};

/** A question in one line: what is done, to whom, and what is lost. */
export const renderQuestion = (model: Model): Line | null => {
  const { overlay } = model;
  if (overlay?.kind === "confirm-leaving") {
    const under = model.operations.filter(({ isCancelledByLeaving }) => isCancelledByLeaving);
    const what = under.map(({ verb, subject }) => `${verb} ${subject}`).join(", ");
    return [{ text: ` Leaving cancels: ${printable(what)}. Leave? y/N `, tone: "bad" }];
  }
  if (overlay?.kind !== "confirm") return null;
  const vms = overlay.ids.flatMap((id) => model.vms?.get(id) ?? []);
  const verb = overlay.verb.charAt(0).toUpperCase() + overlay.verb.slice(1);
  const room = Math.max(12, model.size.columns - 60);
  const names = vms.map(({ name }) => printable(name)).join(", ");
  const subject = vms.length === 1 || names.length <= room ? names : `${vms.length} VMs (${names.slice(0, room)}…)`;
  const up = vms.filter(({ state }) => state === "running" || state === "paused").length;
  const warning =
    overlay.verb === "delete" && up > 0 ? (vms.length === 1 ? ", which runs," : `, of which ${up} run,`) : "";
  return [{ text: ` ${verb} ${subject}${warning}${endings[overlay.verb]}? y/N `, tone: "bad" }];
};

const filterLine = ({ filter, isFiltering, marked, vms }: Model, shown: number): Line | null => {
  if (isFiltering) {
    return [
      { text: " / ", tone: "strong" },
      { text: filter },
      { text: " ", isInverse: true },
      { text: `  ${shown} of ${vms?.size ?? 0}; enter keeps, esc clears`, tone: "faint" },
    ];
  }
  const parts = [
    ...(filter === "" ? [] : [`filter "${filter}": ${shown} of ${vms?.size ?? 0}`]),
    ...(marked.size === 0 ? [] : [`${marked.size} marked`]),
  ];
  return parts.length === 0 ? null : [{ text: ` ${parts.join(", ")} `, tone: "accent" }];
};

const footLine = (model: Model): Line => {
  const { columns } = model.size;
  const question = renderQuestion(model);
  if (question) return question;
  if (model.tab === "images") return hintLine(imageHints, columns);
  if (model.tab === "host") return hintLine(hostHints, columns);
  const line = filterLine(model, rowsOf(model).length);
  if (model.isFiltering && line) return line;
  const used = (line ?? []).reduce((total, { text }) => total + text.length, 0);
  return [...(line ?? []), ...hintLine(hints, columns - used)];
};

const noticeLines = (model: Model): Line[] => {
  const { notice, size } = model;
  const { noticeRows } = layoutOf(model);
  if (notice === null) return [];
  if (notice.kind === "note") {
    return wrap(printable(notice.text), size.columns - 2, NOTE_ROWS).map((text) => [
      { text: ` ${text}`, tone: "accent" },
    ]);
  }
  const { code, message, fix } = notice.report;
  const fixes = fix === null ? [] : wrap(printable(fix), size.columns - 7, 2);
  const body = wrap(printable(message), size.columns - 2, Math.max(1, noticeRows - 1 - fixes.length));
  return [
    [
      { text: ` ${printable(notice.subject) || "failed"}: ${code} `, tone: "bad" },
      { text: " ! shows it whole, esc closes it", tone: "faint" },
    ],
    ...body.map((text): Line => [{ text: ` ${text}` }]),
    ...fixes.map((text, index): Line => [{ text: index === 0 ? "  try: " : "       ", tone: "faint" }, { text }]),
  ];
};

const makeFooter = (model: Model): readonly Line[] => {
  const { noticeRows } = layoutOf(model);
  const lines = [...noticeLines(model).slice(0, noticeRows)];
  while (lines.length < noticeRows) lines.push([]);
  return [...lines, footLine(model)].map((line) => fitLine(line, model.size.columns));
};

export const renderFooter = remembering(
  (model) => [
    model.notice,
    model.size,
    model.overlay,
    model.operations,
    model.tab,
    model.filter,
    model.isFiltering,
    model.marked,
    model.vms,
    rowsOf(model),
  ],
  makeFooter,
);
