// The pane below the table: what one VM is, where its last start went, what happened to it, and its console.
import type { ChangeEvent, Event } from "../../spec/events.ts";
import type { Vm } from "../../spec/vm.ts";
import { formatAgo, formatMiB, formatMs } from "../figures.ts";
import { blankLine, fit, fitLine, type Line, printable, type Span, wrap } from "../line.ts";
import { detailTabs, type Model, type Waterfall } from "../model.ts";
import { addressOf, currentVm } from "../select.ts";
import { stateOf, toneOf } from "./vm-table.ts";

const LABEL = 10;

const fact = (title: string, value: Line | string, width: number): Line =>
  fitLine(
    [
      { text: ` ${fit(title, LABEL)} `, tone: "faint" },
      ...(typeof value === "string" ? [{ text: printable(value) }] : value),
    ],
    width,
  );

const endOf = (vm: Vm, nowMs: number): string =>
  vm.lastEnd === null ? "-" : `${vm.lastEnd.cause}, ${formatAgo(vm.lastEnd.at, nowMs)}`;

const networkOf = (vm: Vm): string => {
  const addresses = vm.addresses.map(({ address, side }) =>
    vm.network === "bridge" ? address : `${address} (${side})`,
  );
  return [...new Set(addresses), vm.fqdn, vm.network].join("  ");
};

/** What is reached from outside the guest comes first. */
const portsOf = (vm: Vm): string =>
  [...vm.ports]
    .sort((one, other) => Number(one.scope === "loopback") - Number(other.scope === "loopback"))
    .map(({ port, process, scope }) => `${port} ${process ?? "-"}${scope === "loopback" ? " (inside)" : ""}`)
    .filter((text, at, all) => all.indexOf(text) === at)
    .join("  ");

const failureLines = (vm: Vm, width: number): Line[] => {
  const { lastError } = vm;
  if (!lastError) return [];
  return [
    fitLine(
      [
        { text: ` ${fit("Failure", LABEL)} `, tone: "bad" },
        { text: lastError.code, tone: "bad" },
      ],
      width,
    ),
    ...wrap(printable(lastError.message), width - LABEL - 3, 4).map((text) => fact("", text, width)),
    ...(lastError.fix ? [fact("  try", lastError.fix, width)] : []),
  ];
};

const overview = (vm: Vm, model: Model, width: number): Line[] => {
  const { nowMs } = model;
  const usage = model.usage.get(vm.id);
  const used = usage ? `, uses ${Math.round(usage.cpuPercent ?? 0)}% of a CPU and ${formatMiB(usage.memoryMiB)}` : "";
  const labels = Object.entries(vm.labels).map(([key, value]) => `${key}=${value}`);
  const vmm = [vm.vmm, vm.accelerator ?? "", vm.pid === null ? "" : `process ${vm.pid}`].filter(Boolean).join(", ");
  return [
    fact(
      "State",
      [
        { text: stateOf(vm, model), tone: toneOf(vm) },
        { text: `  id ${vm.id}`, tone: "faint" },
      ],
      width,
    ),
    ...failureLines(vm, width),
    fact("Size", `${vm.vcpus} vCPU, ${formatMiB(vm.memoryMiB)} memory${used}`, width),
    fact("Disk", `${formatMiB(vm.diskUsedMiB)} used of ${formatMiB(vm.diskMiB)}`, width),
    fact("Network", networkOf(vm), width),
    ...(vm.ports.length > 0 ? [fact("Ports", portsOf(vm), width)] : []),
    fact("Image", `${vm.image}, kernel ${vm.kernelRelease}`, width),
    fact("VMM", `${vmm}${vm.vmmReason ? ` (${vm.vmmReason})` : ""}`, width),
    fact("Labels", labels.length > 0 ? labels.join("  ") : "-", width),
    fact("User", `${vm.user} on ${vm.hostname}`, width),
    fact("Started", `${formatAgo(vm.startedAt, nowMs)}; made ${formatAgo(vm.createdAt, nowMs)}`, width),
    fact("Last end", endOf(vm, nowMs), width),
    ...(vm.pendingRestart ? [fact("Note", "changed settings take effect at its next start", width)] : []),
  ];
};

const isReport = (value: object): value is { code: string; message: string } => "code" in value;

const waterfallLines = (given: { waterfall: Waterfall; width: number; rows: number; isPlain: boolean }): Line[] => {
  const { waterfall, width, rows, isPlain } = given;
  const { steps, totalMs } = waterfall;
  const nameWidth = Math.min(24, Math.max(12, ...steps.map(({ step }) => step.length)));
  const barWidth = Math.max(8, width - nameWidth - 30);
  let before = 0;
  const bars = steps.map(({ step, ms, share, usualMs }): Line => {
    const start = Math.round(Math.min(before, 1) * (barWidth - 1));
    before += share;
    const length = Math.max(1, Math.min(Math.round(share * barWidth), barWidth - start));
    const usual = usualMs === null ? "" : `usually ${formatMs(usualMs)}`;
    return fitLine(
      [
        { text: ` ${fit(printable(step), nameWidth)} ` },
        { text: " ".repeat(start) },
        { text: (isPlain ? "#" : "█").repeat(length), tone: share > 0.5 ? "moving" : "accent" },
        { text: " ".repeat(barWidth - start - length) },
        { text: ` ${fit(ms === null ? "-" : formatMs(ms), 8, "right")}` },
        { text: `  ${usual}`, tone: "faint" },
      ],
      width,
    );
  });
  // The longest ones are kept when there is not room for all.
  const order = steps.map(({ share }, index) => ({ share, index })).sort((one, other) => other.share - one.share);
  const kept = new Set(order.slice(0, Math.max(1, rows - 2)).map(({ index }) => index));
  const total = ` ${waterfall.operation}: ${formatMs(totalMs)}, ${steps.length} steps`;
  return [
    fitLine([{ text: total, tone: "strong" }], width),
    ...bars.filter((_, index) => kept.has(index)),
    fitLine([{ text: ` ${printable(waterfall.remark)}`, tone: "faint" }], width),
  ];
};

const start = (vm: Vm, model: Model, size: { width: number; rows: number }): Line[] => {
  const { waterfall, isPlain } = model;
  if (!waterfall?.key.startsWith(vm.id)) return [fitLine([{ text: " Loading …", tone: "faint" }], size.width)];
  if (isReport(waterfall.value)) {
    return wrap(printable(waterfall.value.message), size.width - 2, 3).map((text) =>
      fitLine([{ text: ` ${text}` }], size.width),
    );
  }
  return waterfallLines({ waterfall: waterfall.value, isPlain, ...size });
};

const tellEvent = (event: ChangeEvent): string => {
  switch (event.type) {
    case "vm.state":
      return event.cause === null ? event.state : `${event.state}: ${event.cause}`;
    case "vm.changed":
      return `changed: ${event.fields.join(", ")}`;
    case "vm.deleted":
      return "deleted";
    case "vm.step": {
      const { step, phase, ms } = event.step;
      return `${step} ${phase}${ms === null ? "" : ` ${formatMs(ms)}`}`;
    }
    default:
      return event.type;
  }
};

/** What happened to it, the newest last; a step's beginning says nothing once it has ended. */
const events = (vm: Vm, model: Model, size: { width: number; rows: number }): Line[] => {
  const isTold = ({ event }: Event): boolean =>
    "id" in event && event.id === vm.id && !(event.type === "vm.step" && event.step.phase === "begin");
  const told = model.events.filter(isTold).slice(-size.rows);
  if (told.length === 0) return [fitLine([{ text: " Nothing lately.", tone: "faint" }], size.width)];
  return told.map(({ at, event }) => {
    const isState = event.type === "vm.state";
    return fitLine(
      [
        { text: ` ${fit(formatAgo(at, model.nowMs), 14)} `, tone: "faint" },
        { text: printable(tellEvent(event)), tone: isState ? "strong" : "plain" },
      ],
      size.width,
    );
  });
};

const console = (vm: Vm, model: Model, size: { width: number; rows: number }): Line[] => {
  const { log } = model;
  if (log?.vmId !== vm.id) return [fitLine([{ text: " Loading …", tone: "faint" }], size.width)];
  if (log.lines.length === 0) return [fitLine([{ text: " It has written nothing.", tone: "faint" }], size.width)];
  return log.lines.slice(-size.rows).map((text) => fitLine([{ text: ` ${text}` }], size.width));
};

/** A title with the tabs, and `height - 1` rows. */
export const renderDetails = (model: Model, height: number): Line[] => {
  if (height <= 0) return [];
  const width = model.size.columns;
  const vm = currentVm(model);
  const rows = height - 1;
  const rule = model.isPlain ? "-" : "─";
  const tabs = detailTabs.flatMap((name): Span[] => [
    { text: ` ${name} `, tone: name === model.detailTab ? "strong" : "faint", isInverse: name === model.detailTab },
    { text: rule, tone: "faint" },
  ]);
  const title = vm ? ` ${printable(vm.name)} ${addressOf(vm) ?? ""} ` : " no VM ";
  const head = fitLine(
    [
      { text: rule, tone: "faint" },
      { text: title, tone: "strong" },
      { text: rule, tone: "faint" },
      ...tabs,
      { text: rule.repeat(width), tone: "faint" },
    ],
    width,
  ).map((span) => (span.text.endsWith("…") ? { ...span, text: span.text.replace(/…$/, rule) } : span));
  const bodies = {
    overview: () => (vm ? overview(vm, model, width) : []),
    start: () => (vm ? start(vm, model, { width, rows }) : []),
    events: () => (vm ? events(vm, model, { width, rows }) : []),
    console: () => (vm ? console(vm, model, { width, rows }) : []),
  };
  const body = bodies[model.detailTab]().slice(0, rows);
  while (body.length < rows) body.push(blankLine(width));
  return [head, ...body];
};
