// What lies over the table: the keys, the form, a failure in full, a log on the whole screen.
import { type Form, type FormFacts, problemOf, remarkOf } from "../form.ts";
import { bindings, type Scope } from "../keys.ts";
import { blankLine, fit, fitLine, type Line, printable, spread, widthOf, wrap } from "../line.ts";
import { hitsOf, markHits } from "../log-search.ts";
import type { Model, Overlay } from "../model.ts";

type Of<Kind extends Overlay["kind"]> = Extract<Overlay, { kind: Kind }>;

const fill = (lines: readonly Line[], model: Model): Line[] => {
  const { columns, rows } = model.size;
  const filled = lines.slice(0, rows).map((line) => fitLine(line, columns));
  while (filled.length < rows) filled.push(blankLine(columns));
  return filled;
};

const titled = (title: string, hint: string, columns: number): Line =>
  spread([{ text: ` ${title} `, tone: "strong" }], [{ text: `${hint} `, tone: "faint" }], columns);

/** Text that can be longer than the screen, below its title. */
const scrolled = (model: Model, given: { title: string; hint: string; body: readonly Line[]; top: number }): Line[] => {
  const height = model.size.rows - 2;
  const top = Math.min(given.top, Math.max(0, given.body.length - height));
  const shown = given.body.slice(top, top + height);
  const isMore = top + height < given.body.length;
  const head = titled(given.title, isMore ? `${given.hint}, more below` : given.hint, model.size.columns);
  return fill([head, [], ...shown], model);
};

const keyNames: Readonly<Record<string, string>> = {
  up: "↑",
  down: "↓",
  left: "←",
  right: "→",
  pageup: "PgUp",
  pagedown: "PgDn",
  escape: "Esc",
  enter: "Enter",
  space: "Space",
  tab: "Tab",
  home: "Home",
  end: "End",
  delete: "Del",
  "ctrl-c": "Ctrl-C",
  "ctrl-u": "Ctrl-U",
  "ctrl-d": "Ctrl-D",
};

export const spellKeys = (keys: readonly string[]): string => keys.map((key) => keyNames[key] ?? key).join(" ");

const scopes: readonly (readonly [Scope, string])[] = [
  ["vms", "VMs"],
  ["host", "This host"],
  ["everywhere", "Everywhere"],
  ["logs", "In a log"],
];

const renderHelp = (model: Model, { top }: Of<"help">): Line[] => {
  const body = scopes.flatMap(([scope, title]): Line[] => [
    [{ text: ` ${title}`, tone: "accent" }],
    ...bindings
      .filter((binding) => binding.scope === scope)
      .map(
        (binding): Line => [{ text: `   ${fit(spellKeys(binding.keys), 13)}`, tone: "strong" }, { text: binding.help }],
      ),
    [],
  ]);
  return scrolled(model, { title: "Keys", hint: "Esc closes", body, top });
};

const renderError = (model: Model, { report, subject, top }: Of<"error">): Line[] => {
  const width = model.size.columns - 2;
  const text = (value: string): Line[] => wrap(printable(value), width, 200).map((line) => [{ text: ` ${line}` }]);
  const body: Line[] = [
    [{ text: ` ${report.code}`, tone: "bad" }],
    [],
    ...report.message.split("\n").flatMap(text),
    ...(report.fix === null ? [] : [[], [{ text: " try:", tone: "faint" } as const], ...text(report.fix)]),
  ];
  return scrolled(model, {
    title: subject === "" ? "Failure" : `Failure: ${printable(subject)}`,
    hint: "Esc closes",
    body,
    top,
  });
};

const fieldLines = (form: Form, facts: FormFacts, columns: number): Line[] => {
  const valueWidth = Math.max(12, Math.min(28, columns - 40));
  return form.fields.map((each, index) => {
    const isFocused = index === form.focus;
    const problem = problemOf(form, each, facts);
    const remark = remarkOf(each, facts);
    const value = printable(each.value);
    // The end of what is being typed is what must be seen.
    const isLong = widthOf(value) >= valueWidth;
    const shown = isLong ? [...value].slice(-(valueWidth - 1)).join("") : value;
    const isEmpty = value === "" && !isFocused;
    const text = each.choices && isFocused ? `‹ ${shown} ›` : shown;
    return [
      { text: ` ${isFocused ? ">" : " "} ${fit(each.title, 9)} `, tone: isFocused ? "strong" : "plain" },
      isEmpty
        ? { text: fit(each.hint, valueWidth), tone: "faint" as const }
        : { text: fit(text, valueWidth), isInverse: isFocused },
      problem === null
        ? { text: `  ${remark ?? (isFocused && value === "" ? each.hint : "")}`, tone: "faint" as const }
        : { text: `  ${problem}`, tone: "bad" as const },
    ];
  });
};

/** What is wrong with the field that is typed in, else with the first one that is wrong, in full. */
const problemLines = (form: Form, facts: FormFacts, columns: number): Line[] | null => {
  const problems = form.fields.map((each) => problemOf(form, each, facts));
  const index = problems[form.focus] ? form.focus : problems.findIndex((problem) => problem !== null);
  const problem = problems[index];
  if (!problem) return null;
  const text = `${form.fields[index]?.title}: ${printable(problem)}`;
  return wrap(text, columns - 2, 2).map((line): Line => [{ text: ` ${line}`, tone: "bad" }]);
};

const renderForm = (model: Model, { form }: Of<"form">, facts: FormFacts): Line[] => {
  const { columns } = model.size;
  const isCreate = form.kind === "create";
  const isRunning = form.vm !== null && form.fields.length === 1;
  const isRunningLine: Line = [{ text: " Its name and size can be changed while it is stopped.", tone: "faint" }];
  const enter: Line = [
    { text: " Enter", tone: "strong" },
    { text: isCreate ? " creates it" : " changes it" },
    { text: "   Tab, arrows move and choose   Ctrl-U empties a field", tone: "faint" },
  ];
  return fill(
    [
      titled(isCreate ? "Create a VM" : `Change ${printable(form.vm?.name ?? "")}`, "Esc closes", columns),
      [],
      ...fieldLines(form, facts, columns),
      [],
      ...(isRunning ? [isRunningLine] : []),
      ...(problemLines(form, facts, columns) ?? [enter]),
    ],
    model,
  );
};

const renderLogs = (model: Model, overlay: Of<"logs">): Line[] => {
  const { columns, rows } = model.size;
  const height = rows - 2;
  const log = model.log?.vmId === overlay.vmId ? model.log : null;
  const lines = log?.lines ?? [];
  const end = lines.length - overlay.fromEnd;
  const shown = lines.slice(Math.max(0, end - height), Math.max(0, end));
  const place = overlay.fromEnd > 0 ? `${overlay.fromEnd} lines up` : log?.hasEnded ? "ended" : "following";
  const hits = overlay.query === "" ? "" : `, ${hitsOf(lines, overlay.query).length} hits`;
  const body = shown.map((line): Line => {
    const text = markHits(line, overlay.query).map(({ text: piece, isHit }) => ({ text: piece, isInverse: isHit }));
    return text;
  });
  if (shown.length === 0)
    body.push([{ text: log === null ? " Loading …" : " It has written nothing.", tone: "faint" }]);
  while (body.length < height) body.push([]);
  const foot: Line = overlay.isTyping
    ? [{ text: " / ", tone: "strong" }, { text: overlay.query }, { text: " ", isInverse: true }]
    : [{ text: " / search  n N hits  g G ends  Esc closes", tone: "faint" }];
  const head = titled(`Console of ${printable(overlay.name)}`, `${lines.length} lines, ${place}${hits}`, columns);
  return fill([head, ...body, foot], model);
};

/** The whole screen, or null for an overlay that is no more than a line. */
export const renderOverlay = (model: Model, facts: FormFacts): Line[] | null => {
  const { overlay } = model;
  switch (overlay?.kind) {
    case "help":
      return renderHelp(model, overlay);
    case "error":
      return renderError(model, overlay);
    case "form":
      return renderForm(model, overlay, facts);
    case "logs":
      return renderLogs(model, overlay);
    default:
      return null;
  }
};
