// A made-up fleet of VMs, and a small real daemon that serves it: the same for frames, tmux runs, measurements and the documentation.

import type { Event } from "../../src/spec/events.ts";
import type { Image } from "../../src/spec/image.ts";
import type { Vm } from "../../src/spec/vm.ts";
import type { KeyPress } from "../../src/tui/keys.ts";
import { textOf } from "../../src/tui/line.ts";
import type { Message } from "../../src/tui/message.ts";
import { emptyModel, type HostCheck, type Model, type Size } from "../../src/tui/model.ts";
import { update } from "../../src/tui/update.ts";
import { renderScreen } from "../../src/tui/view/screen.ts";
import { NOW_MS, vm } from "../cli/fake-daemon.ts";

export { NOW_MS };
export const sizes: readonly Size[] = [
  { columns: 60, rows: 15 },
  { columns: 80, rows: 24 },
  { columns: 140, rows: 40 },
];

const idOf = (number: number): string => number.toString(16).padStart(12, "0");
const at = (secondsAgo: number): string => new Date(NOW_MS - secondsAgo * 1000).toISOString();
const addressed = (octet: number): Vm["addresses"] => [
  { address: `10.77.5.${octet}`, family: "ipv4", side: "guest" },
  { address: `10.77.5.${octet}`, family: "ipv4", side: "host" },
];

export const fleet: readonly Vm[] = [
  vm({ id: idOf(1), name: "web", addresses: addressed(2), labels: { team: "blue", tier: "front" } }),
  vm({
    id: idOf(2),
    name: "db",
    addresses: addressed(3),
    vcpus: 4,
    memoryMiB: 8192,
    diskUsedMiB: 5700,
    startedAt: at(200_000),
    labels: { team: "blue" },
  }),
  vm({
    id: idOf(3),
    name: "build-agent-with-a-rather-long-name",
    state: "starting",
    addresses: addressed(4),
    startedAt: null,
    pid: null,
  }),
  vm({
    id: idOf(4),
    name: "old",
    state: "stopped",
    addresses: [],
    startedAt: null,
    pid: null,
    labels: {},
    lastEnd: { cause: "panic", at: at(7200) },
    image: "debian-12",
  }),
  vm({
    id: idOf(5),
    name: "broken",
    state: "error",
    addresses: [],
    startedAt: null,
    pid: null,
    lastError: {
      code: "vmm.exited_early",
      message:
        "The VMM of broken ended with exit code 1 before the guest ran: could not open disk image: Permission denied",
      fix: "banger logs broken --vmm",
      at: at(60),
    },
  }),
];

export const images: readonly Image[] = [
  {
    id: "img-1",
    name: "debian-13",
    aliases: ["debian"],
    isDefault: true,
    sizeMiB: 4096,
    usedMiB: 612,
    kernel: "3f5a0c",
    kernelRelease: "6.12.48-amd64",
    helperVersion: "1",
    origin: "built",
    usedBy: ["web", "db", "broken"],
    createdAt: at(90_000),
  },
  {
    id: "img-2",
    name: "debian-12",
    aliases: [],
    isDefault: false,
    sizeMiB: 4096,
    usedMiB: 580,
    kernel: "aa01bb",
    kernelRelease: "6.1.0-40-amd64",
    helperVersion: null,
    origin: "registered",
    usedBy: [],
    createdAt: at(900_000),
  },
];

const check = (id: string, status: HostCheck["status"], summary: string, fix: string | null = null): HostCheck => ({
  id,
  status,
  summary,
  why: `what ${id} is for, in a sentence`,
  fix,
  code: null,
  repairs: [],
});

export const checks: readonly HostCheck[] = [
  check("daemon", "ok", "bangerd 0.1.0 runs as process 4242"),
  check(
    "kvm",
    "warning",
    "this user may not open /dev/kvm; QEMU emulates guests instead, which is slow",
    "sudo usermod -aG kvm ada   # then log out and in, and banger daemon restart",
  ),
  check("tun", "error", "This host has no /dev/net/tun, so VMs cannot be connected.", "sudo modprobe tun"),
  check("qemu", "ok", "QEMU 9.1.0 at /usr/bin/qemu-system-x86_64"),
  check("dns-port", "ok", "names are answered at 127.0.0.1:42069, UDP and TCP"),
  check("time", "skipped", "nothing here says whether the clock is kept by the network"),
];

const stepOf = (step: string, phase: "begin" | "done", ms: number | null): Event["event"] => ({
  type: "vm.step",
  vm: "build-agent-with-a-rather-long-name",
  id: idOf(3),
  step: { kind: "step", operation: "vm.start", step, phase, ms },
});

export const events: readonly Event[] = [
  { cursor: 1, at: at(3600), event: { type: "vm.state", vm: "web", id: idOf(1), state: "starting", cause: null } },
  { cursor: 2, at: at(3597), event: { ...stepOf("vmm.boot", "done", 410), id: idOf(1), vm: "web" } as Event["event"] },
  { cursor: 3, at: at(3596), event: { type: "vm.state", vm: "web", id: idOf(1), state: "running", cause: null } },
  { cursor: 4, at: at(6), event: { type: "vm.state", vm: "b", id: idOf(3), state: "starting", cause: null } },
  { cursor: 5, at: at(5), event: stepOf("vmm.launch", "begin", null) },
  { cursor: 6, at: at(4), event: stepOf("vmm.launch", "done", 300) },
  { cursor: 7, at: at(3), event: stepOf("guest.ready", "begin", null) },
];

export const statsOf = (one: Vm, cpuPercent: number) => ({
  name: one.name,
  state: one.state,
  cpuPercent,
  cpuSeconds: 12,
  memoryMiB: one.memoryMiB / 4,
  memoryLimitMiB: one.memoryMiB,
  diskUsedMiB: one.diskUsedMiB,
  diskMiB: one.diskMiB,
  uptimeSeconds: 3600,
});

export const waterfall = {
  name: "web",
  operation: "vm.start",
  startedAt: at(3600),
  totalMs: 5210,
  steps: [
    { step: "disk.clone", ms: 12, share: 0.002, usualMs: 10 },
    { step: "tap.create", ms: 38, share: 0.007, usualMs: 40 },
    { step: "vmm.launch", ms: 160, share: 0.031, usualMs: 150 },
    { step: "vmm.boot", ms: 900, share: 0.173, usualMs: 700 },
    { step: "guest.ready", ms: 4100, share: 0.787, usualMs: null },
  ],
  remark: "79 % went into guest.ready, the guest's own boot",
};

export const host = {
  cpus: 8,
  cpuShare: 0.23,
  memoryMiB: 16_000,
  memoryUsedMiB: 6100,
  disk: { totalMiB: 400_000, usedMiB: 148_000 },
};

export const given = (messages: readonly Message[], size: Size = { columns: 80, rows: 24 }): Model =>
  messages.reduce<Model>((model, message) => update(model, message)[0], emptyModel({ size, nowMs: NOW_MS }));

/** As it looks a while after it was opened. */
export const opened = (size?: Size, vms: readonly Vm[] = fleet): Model =>
  given(
    [
      { type: "host-read", host },
      { type: "connected", version: "0.1.0", instance: "abcde" },
      { type: "listed", vms },
      { type: "events", events, isHistory: false },
      { type: "listed", vms },
      { type: "images-listed", images },
      ...[5, 20, 60, 95, 80, 30].map(
        (percent): Message => ({
          type: "stats",
          stats: vms.filter(({ state }) => state === "running").map((one) => [one.id, statsOf(one, percent)] as const),
        }),
      ),
    ],
    size,
  );

const named: Readonly<Record<string, string>> = { " ": "space", "\r": "enter" };

/** Names of keys as words, or text that is typed: `type(model, "/web", "enter")`. */
export const key = (name: string): KeyPress => ({
  name: named[name] ?? name,
  text: [...name].length === 1 ? name : "",
});

const isName = (word: string): boolean =>
  /^(up|down|left|right|enter|escape|tab|shift-tab|space|backspace|pageup|pagedown|home|end|delete|ctrl-.)$/.test(word);

export const type = (model: Model, ...words: readonly string[]): Model =>
  words
    .flatMap((word) => (isName(word) ? [key(word)] : [...word].map(key)))
    .reduce((current, press) => update(current, { type: "key", key: press })[0], model);

/** The screen as text. */
export const textOn = (model: Model): string => renderScreen(model).map(textOf).join("\n");
