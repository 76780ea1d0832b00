// Every screen of the terminal UI, by the keys that lead to it: for the frames that are compared, and for the documentation.
import type { Message } from "../../src/tui/message.ts";
import type { Model, Size } from "../../src/tui/model.ts";
import { update } from "../../src/tui/update.ts";
import { checks, fleet, opened, type, waterfall } from "./fleet.ts";

const send = (model: Model, ...messages: readonly Message[]): Model =>
  messages.reduce((current, message) => update(current, message)[0], model);

const web = fleet[0]?.id ?? "";

const bootLines = [
  "[    0.000000] Linux version 6.12.48-amd64 (debian-kernel@lists.debian.org)",
  "[    0.000000] Command line: console=ttyS0 root=/dev/vda init=/usr/lib/banger/init",
  "[    0.412331] EXT4-fs (vda): mounted filesystem r/w with ordered data mode",
  "[    0.630012] systemd[1]: Reached target network.target - Network.",
  "[    0.871205] systemd[1]: Started ssh.service - OpenBSD Secure Shell server.",
  "",
  "Debian GNU/Linux 13 web ttyS0",
  "",
  "web login:",
];

const withLog = (model: Model): Model =>
  send(model, { type: "log-opened", vmId: web }, { type: "log-lines", vmId: web, lines: bootLines });

const failure: Message = {
  type: "failed",
  id: 1,
  report: {
    code: "host.memory_short",
    message: "old would have 64G of memory, and this host has 15.6G, of which 9.7G are free.",
    fix: "banger vm set old --memory 8G",
    data: null,
  },
};

export type Scene = { name: string; title: string; draw: (size: Size) => Model };

export const scenes: readonly Scene[] = [
  { name: "table", title: "The VMs", draw: (size) => opened(size) },
  { name: "overview", title: "Details: what a VM is", draw: (size) => type(opened(size), "G", "enter") },
  { name: "failed", title: "Details of a VM that failed", draw: (size) => type(opened(size), "enter") },
  {
    name: "start",
    title: "Details: where its last start went",
    draw: (size) =>
      send(type(opened(size), "G", "enter", "right"), { type: "waterfall", key: `${web} x`, value: waterfall }),
  },
  {
    name: "events",
    title: "Details: what happened to it",
    draw: (size) => type(opened(size), "G", "enter", "right", "right"),
  },
  {
    name: "console",
    title: "Details: its console, following",
    draw: (size) => withLog(type(opened(size), "G", "enter", "left")),
  },
  { name: "images", title: "The images", draw: (size) => type(opened(size), "tab") },
  {
    name: "host",
    title: "This host",
    draw: (size) => send(type(opened(size), "3"), { type: "host-checked", rows: checks }),
  },
  { name: "filter", title: "Filtering as one types", draw: (size) => type(opened(size), "/", "blue run") },
  {
    name: "question",
    title: "Two marked VMs about to be deleted",
    draw: (size) => type(opened(size), "/", "running", "enter", "a", "X"),
  },
  {
    name: "form",
    title: "The form, and what is wrong with it so far",
    draw: (size) => type(opened(size), "c", "Web", "down", "down", "4", "down", "64G", "down", "20"),
  },
  {
    name: "edit",
    title: "Changing a stopped VM",
    draw: (size) => type(opened(size), "/", "old", "enter", "e", "down"),
  },
  { name: "error", title: "A failure", draw: (size) => send(type(opened(size), "/", "old", "enter", "u"), failure) },
  { name: "help", title: "The keys", draw: (size) => type(opened(size), "?") },
  {
    name: "logs",
    title: "A log on the whole screen, searched",
    draw: (size) => type(withLog(type(opened(size), "G", "l")), "/", "systemd", "enter"),
  },
  {
    name: "lost",
    title: "The daemon is away",
    draw: (size) => send(opened(size), { type: "lost", detail: "it ended", nowMs: opened(size).nowMs - 4000 }),
  },
];
