// How people see VMs: tables, facts, and one line for each thing that was done.
import type { Output } from "../../spec/rpc/contract.ts";
import { sanitize } from "../../spec/sanitize.ts";
import type { Address, ClockReading, Vm, VmState } from "../../spec/vm.ts";
import { formatAgo, formatMiB, formatMs, formatSeconds, formatSince, formatSkew } from "../format.ts";
import type { Paint } from "../paint.ts";
import { renderFacts, renderTable } from "../table.ts";
import { renderForwards, renderPorts, spellForward } from "./ports.ts";
import type { ViewContext, ViewsOf, VmMethod } from "./views.ts";

const paintState = (state: VmState, paint: Paint): string => {
  if (state === "running") return paint.good(state);
  if (state === "error") return paint.bad(state);
  return state === "stopped" || state === "suspended" ? paint.faint(state) : paint.busy(state);
};

/** What people here reach the VM by; null while nobody can. */
export const addressOf = (addresses: readonly Address[]): string | null =>
  (addresses.find(({ side }) => side === "host") ?? addresses[0])?.address ?? null;

const pairs = (labels: Readonly<Record<string, string>>): string =>
  Object.entries(labels)
    .map(([key, value]) => `${key}=${value}`)
    .join(" ");

const listRow = (vm: Vm, { paint, nowMs }: ViewContext): string[] => [
  vm.name,
  paintState(vm.state, paint) + (vm.pendingRestart ? paint.busy("*") : ""),
  addressOf(vm.addresses) ?? "-",
  String(vm.vcpus),
  formatMiB(vm.memoryMiB),
  `${formatMiB(vm.diskUsedMiB)}/${formatMiB(vm.diskMiB)}`,
  vm.image,
  vm.state === "running" ? formatSince(vm.startedAt, nowMs) : "-",
];

const renderList = (vms: Output<"vm.list">, context: ViewContext) => {
  if (context.isQuiet) return vms.map(({ name }) => `${name}\n`).join("");
  if (vms.length === 0) {
    const isFiltered = context.input.label !== undefined;
    return {
      out: "",
      err: isFiltered ? "No VM has that label.\n" : "There are no VMs yet: banger create makes one.\n",
    };
  }
  const table = renderTable({
    header: ["NAME", "STATE", "ADDRESS", "VCPUS", "MEMORY", "DISK", "IMAGE", "UPTIME"],
    rows: vms.map((vm) => listRow(vm, context)),
    paint: context.paint,
  });
  return vms.some(({ pendingRestart }) => pendingRestart)
    ? { out: table, err: "* changed settings take effect at its next start\n" }
    : table;
};

/** From here on programs notice. */
const CLOCK_OFF_MS = 1000;

const renderClock = ({ name, clock }: { name: string; clock: ClockReading | null }, nowMs: number): string | null =>
  clock &&
  `${formatSkew(clock.skewMs)}, measured ${formatAgo(clock.measuredAt, nowMs)}` +
    (clock.correctedAt ? `, set ${formatAgo(clock.correctedAt, nowMs)}` : "") +
    (Math.abs(clock.skewMs) >= CLOCK_OFF_MS ? `; banger vm clock ${name} sets it` : "");

/** Its name where this host's own resolver knows it; otherwise what would make it so, since a name that leads nowhere helps nobody. */
const nameOnHost = (vm: Vm): string | null => {
  const names = vm.dnsWildcard ? `${vm.fqdn}, and every name below it` : vm.fqdn;
  if (vm.isFoundByName) return names;
  return vm.state === "running" ? `${names} (by banger alone; banger dns setup tells this host's resolver)` : null;
};

/** What people here type to reach it: its name once that works everywhere, else its address. */
const reachedAt = (vm: Vm): string | null => (vm.isFoundByName ? vm.fqdn : addressOf(vm.addresses));

const SSH_PORT = 22;

/** Where the VM's own address leads nowhere, what is open here instead; most of what listens is a web server. */
const spellReach = (vm: Vm, { port, reach }: Vm["ports"][number]): string => {
  if (vm.network !== "namespace") return "";
  if (reach === null) return " (not open here)";
  return port === SSH_PORT ? ` (${reach})` : ` (http://${vm.isFoundByName ? `${vm.fqdn}:${port}` : reach})`;
};

/** Ports that are reached from outside the guest, with what listens there. */
const spellPorts = (vm: Vm): string => {
  const told = new Map(vm.ports.filter(({ scope }) => scope !== "loopback").map((one) => [one.port, one]));
  return [...told.values()]
    .map((one) => `${one.port} ${sanitize(one.process ?? "-")}${spellReach(vm, one)}`)
    .join(", ");
};

const renderShow = (vm: Vm, { paint, nowMs }: ViewContext): string =>
  renderFacts(
    [
      ["Name", paint.strong(vm.name)],
      ["Id", vm.id],
      ["State", paintState(vm.state, paint)],
      ["Address", vm.addresses.map(({ address, side }) => `${address} (${side})`).join(", ")],
      ["Hostname", vm.hostname],
      ["DNS name", nameOnHost(vm)],
      ["Ports", spellPorts(vm)],
      [
        "Forwards",
        vm.forwards
          .map(
            (one) =>
              `${spellForward(one)} to ${one.guestPort}${one.state === "blocked" ? paint.bad(" (blocked)") : ""}`,
          )
          .join(", "),
      ],
      ["User", vm.user],
      ["vCPUs", String(vm.vcpus)],
      ["Memory", formatMiB(vm.memoryMiB)],
      ["Disk", `${formatMiB(vm.diskMiB)}, ${formatMiB(vm.diskUsedMiB)} of it in use on this host`],
      ["Image", vm.image],
      ["Kernel", `${vm.kernelRelease} (${vm.kernel})`],
      ["Run by", `${vm.vmm}${vm.accelerator ? ` (${vm.accelerator})` : ""}: ${vm.vmmReason}`],
      ["Runs", vm.privilege],
      ["Network", vm.network],
      ["Labels", pairs(vm.labels)],
      ["Created", `${formatAgo(vm.createdAt, nowMs)}  ${paint.faint(vm.createdAt)}`],
      ["Started", vm.startedAt && `${formatAgo(vm.startedAt, nowMs)}  ${paint.faint(vm.startedAt)}`],
      ["Clock", renderClock(vm, nowMs)],
      ["Process", vm.pid === null ? null : String(vm.pid)],
      ["Last end", vm.lastEnd && `${vm.lastEnd.cause.replace("_", " ")}, ${formatAgo(vm.lastEnd.at, nowMs)}`],
      ["Last error", vm.lastError && paint.bad(sanitize(vm.lastError.message))],
      ["Try", vm.lastError?.fix ?? null],
      ["Pending", vm.pendingRestart ? "changed settings take effect at the next start" : null],
    ],
    paint,
  );

const sizeOf = ({ vcpus, memoryMiB, diskMiB }: Vm): string =>
  `${vcpus} vCPU${vcpus === 1 ? "" : "s"}, ${formatMiB(memoryMiB)} memory, ${formatMiB(diskMiB)} disk`;

/** Four lines on stderr for people: what runs, how to get in, reach a port, and remove it; the name alone for a pipe. */
const renderCreated = (vm: Vm, context: ViewContext) => {
  const address = reachedAt(vm) ?? vm.fqdn;
  const size = sizeOf(vm);
  const lines =
    vm.state === "running"
      ? [
          `${vm.name} is running: ${vm.image}, ${size}.`,
          `  Get in:        banger ssh ${vm.name}`,
          `  Reach a port:  ${address}:PORT, for example curl http://${address}:8080`,
          `  Remove it:     banger rm --force ${vm.name}`,
        ]
      : [
          `${vm.name} is made and ${vm.state}: ${vm.image}, ${size}.`,
          `  Start it:      banger start ${vm.name}`,
          `  Get in:        banger ssh ${vm.name}`,
          `  Remove it:     banger rm ${vm.name}`,
        ];
  return { out: context.isOutTty ? "" : `${vm.name}\n`, err: `${lines.join("\n")}\n` };
};

const change =
  (verbs: { done: string; already: string }) =>
  (vm: Vm & { changed: boolean }): string =>
    `${vm.name} ${vm.changed ? verbs.done : verbs.already}\n`;

const started = (vm: Vm & { changed: boolean }): string => {
  const address = reachedAt(vm);
  return `${vm.name} ${vm.changed ? "is running" : "was running already"}${address ? `, at ${address}` : ""}\n`;
};

const renderActivity = (answer: Output<"vm.activity">, { paint }: ViewContext): string => {
  const clean = (text: string) => sanitize(text).replace(/\s+/g, " ").slice(0, 100);
  const unsaid = answer.state === "running" ? "the guest did not say" : `${answer.name} is ${answer.state}`;
  const told = (lines: readonly string[] | undefined): string =>
    lines === undefined ? unsaid : lines.length === 0 ? "nobody and nothing" : lines.join("\n");
  const sessions = answer.sessions?.map(
    ({ user, terminal, remote, sinceSeconds }) =>
      `${clean(user)}${terminal ? ` on ${clean(terminal)}` : ""}${remote ? ` from ${clean(remote)}` : ""}` +
      `${sinceSeconds === null ? "" : ` for ${formatSeconds(sinceSeconds)}`}`,
  );
  const jobs = answer.jobs?.map(
    ({ pid, user, command, ageSeconds }) => `${pid} ${clean(user)} ${formatSeconds(ageSeconds)}  ${clean(command)}`,
  );
  const ports = answer.listeners?.map(
    ({ address, port, name }) => `${address}:${port}${name ? ` (${clean(name)})` : ""}`,
  );
  const held = `${formatMiB(answer.memoryMiB)} of memory, ${formatMiB(answer.diskUsedMiB)} of disk`;
  const section = (title: string, lines: readonly string[] | undefined) =>
    `${paint.strong(title)}\n${told(lines)
      .split("\n")
      .map((line) => `  ${line}\n`)
      .join("")}`;
  return `${section("Logged in", sessions)}${section("Running", jobs)}${section("Listening", ports)}${section("Holds on this host", [held])}`;
};

const bar = (share: number): string => "█".repeat(Math.max(share > 0 ? 1 : 0, Math.round(share * 30)));

const renderWhySlow = (answer: Output<"vm.why-slow">, { paint, nowMs }: ViewContext): string => {
  const rows = answer.steps.map(({ step, ms, share, usualMs }) => [
    step,
    ms === null ? "-" : formatMs(ms),
    usualMs === null ? "-" : formatMs(usualMs),
    bar(share),
  ]);
  const head = `${answer.operation} of ${paint.strong(answer.name)}, ${formatAgo(answer.startedAt, nowMs)}: ${formatMs(answer.totalMs)}\n`;
  return `${head}${renderTable({ header: ["STEP", "TIME", "USUALLY", "SHARE"], rows, paint })}${answer.remark}\n`;
};

export const renderStats = (all: readonly Output<"vm.stats">[], { paint }: ViewContext): string =>
  renderTable({
    header: ["NAME", "STATE", "CPU", "MEMORY", "DISK", "UPTIME"],
    rows: all.map((one) => [
      one.name,
      paintState(one.state as VmState, paint),
      one.cpuPercent === null ? "-" : `${one.cpuPercent.toFixed(1)}%`,
      `${formatMiB(one.memoryMiB)}/${formatMiB(one.memoryLimitMiB)}`,
      `${formatMiB(one.diskUsedMiB)}/${formatMiB(one.diskMiB)}`,
      one.uptimeSeconds === null ? "-" : formatSeconds(one.uptimeSeconds),
    ]),
    paint,
  });

export const vmViews: ViewsOf<VmMethod> = {
  "vm.create": renderCreated,
  "vm.start": started,
  "vm.stop": change({ done: "is stopped", already: "was stopped already" }),
  "vm.restart": (vm) => `${vm.name} was restarted${reachedAt(vm) ? `, at ${reachedAt(vm)}` : ""}\n`,
  "vm.kill": change({ done: "was killed", already: "was not running" }),
  "vm.delete": ({ name }) => `${name} is deleted\n`,
  "vm.list": renderList,
  "vm.show": renderShow,
  "vm.set": (vm) => (vm.changed ? `${vm.name} has ${sizeOf(vm)}\n` : `${vm.name} has that already\n`),
  "vm.rename": (vm) => `it is called ${vm.name} now\n`,
  "vm.label": (vm) => `${vm.name} ${pairs(vm.labels) === "" ? "has no labels" : `has ${pairs(vm.labels)}`}\n`,
  "vm.logs": () => "",
  "vm.stats": (one, context) => renderStats([one], context),
  "vm.ports": (list, { paint }) => renderPorts(list, paint),
  "vm.forward": (answer, { paint }) => renderForwards(answer, paint),
  "vm.why-slow": renderWhySlow,
  "vm.activity": renderActivity,
  "vm.clock": ({ name, wasMs, skewMs }) =>
    `the clock of ${name} was ${formatSkew(wasMs)} and is ${formatSkew(skewMs)}\n`,
  "vm.ping": (answer) =>
    `${answer.name} answered in ${answer.roundTripMs.toFixed(1)} ms; up ${formatSeconds(answer.uptimeSeconds)}, ` +
    `clock ${formatSkew(answer.clockSkewMs)}, helper ${sanitize(answer.helperVersion)}\n`,
};
