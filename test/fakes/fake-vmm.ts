#!/usr/bin/env bun
// A VMM that can be spawned: takes QEMU's arguments, speaks QMP and the guest channel, plays a guest on its console, and misbehaves on demand.
//
// Misbehaviour is a word of the kernel's command line, fake=NAME:
//   exit-before-socket  prints an error and ends with 1       never-bind   runs, and no socket appears
//   garbage             answers connections with noise        endless-line answers with a line without end
//   hang                accepts connections, never greets     hang-up      closes every connection
//   error-COMMAND       refuses that QMP command              mute-COMMAND never answers it
//   ignore-term         ignores SIGTERM                       ignore-button ignores the power button
import { writeSync } from "node:fs";
import { createFakeChannel } from "./fake-vmm-channel.ts";

const argv = process.argv.slice(2);
const after = (option: string): string => argv[argv.indexOf(option) + 1] ?? "";
const socketPath = (id: string): string => {
  const text = argv.find((argument) => argument.startsWith(`socket,id=${id},`)) ?? "";
  return (/,path=((?:[^,]|,,)*)/.exec(text)?.[1] ?? "").replaceAll(",,", ",");
};
const fakes = new Set([...after("-append").matchAll(/(?:^| )fake=(\S+)/g)].map((match) => match[1] ?? ""));
const name = /guest=([^,]*)/.exec(after("-name"))?.[1] ?? "";

const say = (text: string) => void writeSync(1, `${text}\r\n`);
const end = (code: number): never => process.exit(code);

if (fakes.has("exit-before-socket")) {
  writeSync(2, "qemu-system-x86_64: -netdev tap: could not configure /dev/net/tun: Device or resource busy\n");
  end(1);
}
process.on("SIGTERM", () => {
  if (!fakes.has("ignore-term")) end(0);
});

let state = argv.includes("-S") ? "prelaunch" : "running";
const channel = createFakeChannel({
  onShutdown: (how) => (how === "reboot" ? reboot() : powerOff()),
});
const powerOff = () => {
  channel.announceEnd("poweroff");
  say("[    9.000000] reboot: Power down");
  end(0);
};
const reboot = () => {
  channel.announceEnd("reboot");
  say("[    9.000000] reboot: Restarting system");
  end(0);
};
const startGuest = () => {
  say("banger-test: up");
  channel.ready();
};

const guestCommands: Record<string, () => void> = {
  poweroff: powerOff,
  reboot,
  halt: () => say("[    9.000000] reboot: System halted"),
  panic: () => {
    say("[    9.000000] Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000100");
    end(0);
  },
};

type Reply = { return: unknown } | { error: { class: string; desc: string } };
const commands: Record<string, () => Reply> = {
  qmp_capabilities: () => ({ return: {} }),
  "query-status": () => ({ return: { status: state, running: state === "running" } }),
  "query-uuid": () => ({ return: { UUID: after("-uuid") } }),
  "query-name": () => ({ return: { name } }),
  cont: () => {
    if (state === "prelaunch") startGuest();
    state = "running";
    return { return: {} };
  },
  system_powerdown: () => {
    if (!fakes.has("ignore-button")) setTimeout(powerOff, 1);
    return { return: {} };
  },
  quit: () => {
    setTimeout(() => end(0), 1);
    return { return: {} };
  },
};

const answer = (line: string): string => {
  const { execute, id } = JSON.parse(line) as { execute: string; id: number };
  if (fakes.has(`mute-${execute}`)) return "";
  if (fakes.has(`error-${execute}`)) return reply(id, refusal("the fake was told to refuse"));
  return reply(id, commands[execute]?.() ?? refusal(`The command ${execute} has not been found`));
};
const refusal = (desc: string): Reply => ({ error: { class: "GenericError", desc } });
const reply = (id: number, what: Reply) => `${JSON.stringify({ ...what, id })}\r\n`;

const GREETING = { QMP: { version: { qemu: { micro: 0, minor: 2, major: 7 }, package: "fake" }, capabilities: [] } };

if (!fakes.has("never-bind")) {
  Bun.listen<{ pending: string }>({
    unix: socketPath("qmp"),
    socket: {
      open(socket) {
        socket.data = { pending: "" };
        if (fakes.has("hang-up")) socket.end();
        else if (fakes.has("garbage")) socket.write("\0\x01 not json\nSSH-2.0-OpenSSH\n".repeat(20));
        else if (fakes.has("endless-line")) setInterval(() => socket.write("x".repeat(65_536)), 1);
        else if (!fakes.has("hang")) socket.write(`${JSON.stringify(GREETING)}\r\n`);
      },
      data(socket, chunk) {
        if (fakes.has("hang")) return;
        const lines = (socket.data.pending + chunk.toString()).split("\n");
        socket.data.pending = lines.pop() ?? "";
        for (const line of lines) if (line.trim()) socket.write(answer(line));
      },
    },
  });
  channel.listen(socketPath("channel"));
}

if (state === "running") startGuest();

let typed = "";
process.stdin.on("data", (chunk: Buffer) => {
  if (state !== "running") return;
  const lines = (typed + chunk.toString("latin1")).split(/\r?\n/);
  typed = lines.pop() ?? "";
  for (const line of lines) guestCommands[line]?.();
});
setInterval(() => {}, 1 << 30);
