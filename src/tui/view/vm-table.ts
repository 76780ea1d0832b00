// The table of VMs: which columns there is room for, and the rows on the screen, however many VMs there are.
import type { Vm } from "../../spec/vm.ts";
import { formatMiB, formatSeconds } from "../figures.ts";
import { blankLine, fit, fitLine, invert, type Line, printable, type Span, type Tone } from "../line.ts";
import type { Model, SortKey } from "../model.ts";
import { addressOf, cursorIndex, isMoving, rowsOf, uptimeSecondsOf } from "../select.ts";
import { sparkline } from "./glyphs.ts";
import { remembering } from "./remember.ts";

type Column = {
  title: string;
  width: number;
  /** Columns come as long as there is room, the lowest number first. */
  rank: number;
  align?: "right";
  sort?: SortKey;
  /** The screen is at least this wide. */
  from?: number;
  text: (vm: Vm, model: Model) => string;
  tone?: (vm: Vm) => Tone;
};

const stateTones: Readonly<Partial<Record<Vm["state"], Tone>>> = {
  running: "good",
  stopped: "faint",
  suspended: "faint",
  paused: "accent",
  error: "bad",
};
export const toneOf = (vm: Vm): Tone => stateTones[vm.state] ?? "moving";

/** The state, and while it moves the step it is at and since when; when it ended by itself, why. */
export const stateOf = (vm: Vm, { steps, nowMs }: Model): string => {
  const step = steps.get(vm.id);
  if (step && isMoving(vm)) {
    const seconds = Math.max(0, Math.floor((nowMs - step.sinceMs) / 1000));
    return `${vm.state} ${step.isUndo ? "undo " : ""}${step.step} ${seconds}s`;
  }
  const cause = vm.lastEnd?.cause;
  const isRemarkable = cause !== undefined && !["stopped", "poweroff", "reboot", "halt"].includes(cause);
  return vm.state === "stopped" && isRemarkable ? `stopped (${cause})` : vm.state;
};

const uptimeText = (vm: Vm, { nowMs }: Model): string => {
  const seconds = uptimeSecondsOf(vm, nowMs);
  return seconds === null ? "-" : formatSeconds(seconds);
};

const columns: readonly Column[] = [
  { title: "STATE", width: 10, rank: 0, sort: "state", text: stateOf, tone: toneOf },
  { title: "IMAGE", width: 12, rank: 7, sort: "image", text: (vm) => printable(vm.image) },
  { title: "VMM", width: 5, rank: 9, text: (vm) => vm.vmm },
  { title: "ADDRESS", width: 15, rank: 1, sort: "address", text: (vm) => addressOf(vm) ?? "-" },
  { title: "CPU", width: 3, rank: 4, sort: "vcpus", align: "right", text: (vm) => String(vm.vcpus) },
  { title: "MEM", width: 5, rank: 3, sort: "memory", align: "right", text: (vm) => formatMiB(vm.memoryMiB) },
  {
    title: "DISK",
    width: 11,
    rank: 5,
    sort: "disk",
    align: "right",
    text: (vm) => `${formatMiB(vm.diskUsedMiB)}/${formatMiB(vm.diskMiB)}`,
  },
  { title: "UPTIME", width: 7, rank: 2, sort: "uptime", align: "right", text: uptimeText },
  {
    title: "CPU USE",
    width: 13,
    rank: 6,
    sort: "cpu",
    text: (vm, { usage, isPlain }) => {
      const known = usage.get(vm.id);
      if (!known) return "-";
      return `${sparkline(known.cpu, 8, isPlain)}${`${Math.round(known.cpuPercent ?? 0)}%`.padStart(5)}`;
    },
  },
  {
    title: "MEM USE",
    width: 14,
    rank: 8,
    text: (vm, { usage, isPlain }) => {
      const known = usage.get(vm.id);
      return known ? `${sparkline(known.memory, 8, isPlain)}${formatMiB(known.memoryMiB).padStart(6)}` : "-";
    },
  },
  {
    title: "LABELS",
    width: 24,
    rank: 10,
    from: 150,
    text: (vm) =>
      printable(
        Object.entries(vm.labels)
          .map(([key, value]) => `${key}=${value}`)
          .join(" "),
      ),
  },
];

const NAME_MIN = 14;
/** The name has at least this much before the state gets room for its step. */
const NAME_GOOD = 20;
const NAME_MAX = 36;
/** The state is told in full first, then there is room for a step and how long it takes. */
const STATE_GOOD = 16;
const STATE_WIDE = 26;
const MARK = 2;

type Plan = { columns: readonly Column[]; nameWidth: number };

const plans = new Map<number, Plan>();

/** The columns for a screen this wide: by rank while they fit, then the state and the name take what is left. */
const planColumns = (width: number): Plan => {
  const known = plans.get(width);
  if (known) return known;
  let room = width - MARK - NAME_MIN;
  const chosen = new Set<Column>();
  for (const column of [...columns].sort((one, other) => one.rank - other.rank)) {
    if (column.width + 1 > room || width < (column.from ?? 0)) break;
    chosen.add(column);
    room -= column.width + 1;
  }
  const state = columns.find(({ title }) => title === "STATE")?.width ?? 0;
  const first = Math.min(room, STATE_GOOD - state);
  const longer = Math.min(room - first, NAME_GOOD - NAME_MIN);
  const wider = Math.min(room - longer, STATE_WIDE - state);
  const plan = {
    columns: columns
      .filter((column) => chosen.has(column))
      .map((column) => (column.title === "STATE" ? { ...column, width: column.width + wider } : column)),
    nameWidth: Math.min(NAME_MIN + room - wider, NAME_MAX),
  };
  plans.set(width, plan);
  return plan;
};

const makeTitles = (model: Model): Line => {
  const { columns: shown, nameWidth } = planColumns(model.size.columns);
  const arrow = model.sort.isDescending ? (model.isPlain ? "v" : "▼") : model.isPlain ? "^" : "▲";
  const title = (text: string, sort: SortKey | undefined): string =>
    sort === model.sort.key ? `${text}${arrow}` : text;
  return fitLine(
    [
      { text: " ".repeat(MARK) },
      { text: fit(title("NAME", "name"), nameWidth), tone: "strong" },
      ...shown.map(
        (column): Span => ({
          text: ` ${fit(title(column.title, column.sort), column.width, column.align)}`,
          tone: "strong",
        }),
      ),
    ],
    model.size.columns,
  );
};

const renderTitles = remembering(({ sort, isPlain, size }) => [sort, isPlain, size.columns], makeTitles);

const makeRow = (vm: Vm, model: Model, { columns: shown, nameWidth }: Plan): Line => {
  const mark = model.marked.has(vm.id) ? (model.isPlain ? "* " : "● ") : vm.pendingRestart ? "! " : "  ";
  const line: Line = [
    { text: mark, tone: "accent" },
    { text: fit(printable(vm.name), nameWidth), tone: "strong" },
    ...shown.map(
      (column): Span => ({
        text: ` ${fit(column.text(vm, model), column.width, column.align)}`,
        tone: column.tone?.(vm) ?? "plain",
      }),
    ),
  ];
  return fitLine(line, model.size.columns);
};

/** Everything but the VM itself that its row is made of. */
const partsOf = (vm: Vm, model: Model, isUnderCursor: boolean): readonly unknown[] => [
  model.size.columns,
  model.isPlain,
  model.marked.has(vm.id),
  model.usage.get(vm.id),
  model.steps.has(vm.id) ? stateOf(vm, model) : null,
  vm.startedAt === null ? null : uptimeText(vm, model),
  isUnderCursor,
];

/** The row that each VM had last: of what is shown over and over, most is as it was. */
const rowsMade = new WeakMap<Vm, { parts: readonly unknown[]; line: Line }>();

const renderRow = (vm: Vm, model: Model, given: { plan: Plan; isUnderCursor: boolean }): Line => {
  const parts = partsOf(vm, model, given.isUnderCursor);
  const known = rowsMade.get(vm);
  if (known?.parts.every((part, index) => part === parts[index])) return known.line;
  const made = makeRow(vm, model, given.plan);
  const line = given.isUnderCursor ? invert(made) : made;
  rowsMade.set(vm, { parts, line });
  return line;
};

const emptyText = (model: Model): string => {
  if (model.vms === null) return model.link.state === "lost" ? "No answer from the daemon." : "Loading …";
  return model.vms.size === 0
    ? "There are no VMs yet: c makes one."
    : `No VM matches "${model.filter}"; Esc clears it.`;
};

/** The titles and `height` rows; only those on the screen are made. */
export const renderVmTable = (model: Model, height: number): Line[] => {
  const width = model.size.columns;
  const plan = planColumns(width);
  const rows = rowsOf(model);
  const cursor = cursorIndex(model);
  const lines = rows
    .slice(model.top, model.top + height)
    .map((vm, place) => renderRow(vm, model, { plan, isUnderCursor: model.top + place === cursor }));
  if (rows.length === 0 && height > 0) lines.push(fitLine([{ text: `  ${emptyText(model)}`, tone: "faint" }], width));
  while (lines.length < height) lines.push(blankLine(width));
  return [renderTitles(model), ...lines];
};
