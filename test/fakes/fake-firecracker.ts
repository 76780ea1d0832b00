#!/usr/bin/env bun
// A Firecracker that can be spawned: takes its arguments, speaks its API and vsock, plays a guest on its console, and misbehaves on demand.
//
// Misbehaviour is an argument before all others, --fake=NAME,NAME:
//   exit-before-socket  prints an error and ends with 1        never-bind    runs, and no socket appears
//   garbage             answers connections with noise         endless       answers with a header without end
//   hang                accepts connections, never answers     hang-up       closes every connection
//   full                says 503 unasked and closes            no-json       answers with something else
//   refuse-K, mute-K    refuses, never answers, the Kth PUT    die-K         ends with 148 at the Kth PUT
//   ignore-term         ignores SIGTERM                        ignore-button the guest ignores Ctrl-Alt-Del
//   no-announce         the helper does not announce itself    no-helper     the guest has no helper
import { closeSync, existsSync, openSync, readFileSync, writeSync } from "node:fs";
import { parseArgs } from "node:util";
import { PROOF_LINE } from "../../src/vmm/boot-proof.ts";
import { createFakeApi } from "./fake-firecracker-api.ts";
import { createFakeChannel, renderAnnouncement } from "./fake-vmm-channel.ts";

const HELPER_PORT = 42070;
const ANNOUNCE_PORT = 42071;

const say = (text: string) => void writeSync(1, `${text}\r\n`);
const end = (code: number): never => process.exit(code);
const complain = (code: number, text: string): never => {
  writeSync(2, `Error: ${text}\n`);
  return end(code);
};

const text = { type: "string" } as const;
const flag = { type: "boolean" } as const;
const readArguments = () => {
  try {
    return parseArgs({
      options: {
        fake: text,
        "api-sock": text,
        id: { type: "string", default: "anonymous-instance" },
        "log-path": text,
        level: text,
        "config-file": text,
        "no-api": flag,
        "no-seccomp": flag,
        version: flag,
      },
    }).values;
  } catch (error) {
    return complain(153, `ParseArguments(${(error as Error).message})`);
  }
};
const given = readArguments();
const fakes = new Set((given.fake ?? "").split(","));
const stepOf = (name: string): number =>
  Number([...fakes].find((fake) => fake.startsWith(`${name}-`))?.slice(name.length + 1) ?? Number.NaN);

if (given.version) {
  writeSync(1, "Firecracker v1.17.0\n\n");
  end(0);
}
if (!/^[A-Za-z0-9-]{1,64}$/.test(given.id)) {
  writeSync(2, "thread 'main' panicked: Invalid instance ID: InvalidChar\n");
  end(134);
}
if (!["error", "warn", "warning", "info"].includes((given.level ?? "info").toLowerCase())) end(152);
// As the real one opens it: for both, so that a pipe works too.
const logPath = given["log-path"];
const logFd = logPath === undefined ? 1 : openSync(logPath, "a+");
const log = (line: string) => void writeSync(logFd, `2026-11-22T00:00:00.000000000 [${given.id}:main] ${line}\n`);
if (fakes.has("exit-before-socket")) complain(1, 'RunWithApi(FailedToBindSocket("Check that it is not already used"))');
process.on("SIGTERM", () => {
  // The real one has no handler for it.
  if (!fakes.has("ignore-term")) process.kill(process.pid, "SIGKILL");
});

let isGuestUp = false;
const channel = createFakeChannel({ onShutdown: (how) => (how === "reboot" ? reboot() : powerOff()) });
const reboot = () => {
  channel.announceEnd("reboot");
  say("[    9.000000] reboot: Restarting system");
  end(0);
};
const haltVcpus = (line: string) => {
  isGuestUp = false;
  say(line);
};
/** There is no power to switch off: the vCPUs halt, and the process runs on. */
const powerOff = () => {
  channel.announceEnd("poweroff");
  haltVcpus("[    9.000000] reboot: Power off not available: System halted instead");
};
const guestCommands: Record<string, () => void> = {
  poweroff: powerOff,
  reboot,
  halt: () => haltVcpus("[    9.000000] reboot: System halted"),
  panic: () => {
    say("[    9.000000] Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000100");
    end(0);
  },
};

let udsPath: string | null = null;
const announce = () => {
  if (udsPath === null || fakes.has("no-announce") || fakes.has("no-helper")) return;
  Bun.connect({
    unix: `${udsPath}_${ANNOUNCE_PORT}`,
    socket: {
      open(socket) {
        socket.end(renderAnnouncement());
      },
      data() {},
      error() {},
    },
  }).catch(() => {});
};

type Peer = { asked: string; isLed: boolean } & Parameters<typeof channel.connection.open>[0]["data"];

/** The host's end of the vsock: CONNECT in one write leads to the helper, or the connection is closed. */
const bindVsock = (path: string) => {
  if (existsSync(path)) {
    throw "Vsock config error: Cannot create backend for vsock device: Error binding to the host-side Unix socket: Address in use (os error 98)";
  }
  Bun.listen<Peer>({
    unix: path,
    socket: {
      open(socket) {
        socket.data = { asked: "", isLed: false, pending: Buffer.alloc(0), isSynchronised: false };
      },
      data(socket, chunk) {
        if (socket.data.isLed) return channel.connection.data(socket, chunk);
        const line = chunk.toString("latin1");
        const port = Number(/^CONNECT (\d+)\n/.exec(line)?.[1]);
        if (port !== HELPER_PORT || !isGuestUp || fakes.has("no-helper")) return void socket.end();
        channel.connection.open(socket);
        socket.data.isLed = true;
        socket.write("OK 1073741824\n");
        const rest = chunk.subarray(line.indexOf("\n") + 1);
        if (rest.length > 0) channel.connection.data(socket, rest);
      },
      close: (socket) => channel.connection.close(socket),
    },
  });
  udsPath = path;
};

const startGuest = () => {
  if (api.commandLine().includes("rdinit=/init")) {
    say(PROOF_LINE);
    end(0);
  }
  isGuestUp = true;
  say("banger-test: up");
  channel.ready();
  announce();
};

const api = createFakeApi({
  id: given.id,
  events: {
    bindVsock,
    start: () => void setTimeout(startGuest, 1),
    ctrlAltDel: () => {
      if (isGuestUp && !fakes.has("ignore-button")) setTimeout(reboot, 1);
    },
  },
});

let puts = 0;
const respond = (request: { method: string; path: string; body: string }): string | null => {
  if (request.method !== "GET") puts += 1;
  if (fakes.has("no-json")) return "HTTP/1.1 200 \r\nContent-Length: 7\r\n\r\n<html/>";
  if (request.method !== "GET" && puts === stepOf("mute")) return null;
  if (request.method !== "GET" && puts === stepOf("die"))
    complain(148, "Shutting down VM after intercepting signal 31");
  const isRefused = request.method !== "GET" && puts === stepOf("refuse");
  const { status, body } = isRefused
    ? { status: 400, body: { fault_message: `the fake was told to refuse call ${puts}` } }
    : api.handle(request);
  if (status >= 400) log(`Received Error. Status code: ${status}. Message: ${JSON.stringify(body)}`);
  const head = `HTTP/1.1 ${status} \r\nServer: Firecracker API\r\nConnection: keep-alive\r\n`;
  if (body === null) return `${head}\r\n`;
  const json = JSON.stringify(body);
  return `${head}Content-Type: application/json\r\nContent-Length: ${Buffer.byteLength(json)}\r\n\r\n${json}`;
};

/** The first request in the bytes, and what follows it. */
const takeRequest = (bytes: string) => {
  const headEnd = bytes.indexOf("\r\n\r\n");
  if (headEnd < 0) return null;
  const [method = "", path = ""] = bytes.slice(0, headEnd).split("\r\n")[0]?.split(" ") ?? [];
  const length = Number(/content-length: *(\d+)/i.exec(bytes.slice(0, headEnd))?.[1] ?? 0);
  const bodyEnd = headEnd + 4 + length;
  if (bytes.length < bodyEnd) return null;
  return { method, path, body: bytes.slice(headEnd + 4, bodyEnd), rest: bytes.slice(bodyEnd) };
};

const serve = (path: string) => {
  if (existsSync(path)) complain(1, `RunWithApi(FailedToBindSocket("${path}"))`);
  Bun.listen<{ pending: string }>({
    unix: path,
    socket: {
      open(socket) {
        socket.data = { pending: "" };
        if (fakes.has("hang-up")) socket.end();
        else if (fakes.has("full"))
          socket.end('HTTP/1.1 503\r\nContent-Length: 40\r\n\r\n{ "error": "Too many open connections" }');
        else if (fakes.has("garbage")) socket.write("SSH-2.0-OpenSSH_9.2\r\n");
        else if (fakes.has("endless")) setInterval(() => socket.write(`HTTP/1.1 200 \r\nX: ${"x".repeat(65_536)}`), 1);
      },
      data(socket, chunk) {
        if (fakes.has("hang") || fakes.has("endless")) return;
        socket.data.pending += chunk.toString("latin1");
        for (let request = takeRequest(socket.data.pending); request; request = takeRequest(socket.data.pending)) {
          socket.data.pending = request.rest;
          const answer = respond(request);
          if (answer !== null) socket.write(answer);
        }
      },
    },
  });
};

if (given["api-sock"] !== undefined && !given["no-api"] && !fakes.has("never-bind")) serve(given["api-sock"]);
if (given["config-file"] !== undefined) {
  const fault = api.load(readFileSync(given["config-file"], "utf8"));
  if (fault !== null) complain(given["no-api"] ? 152 : 1, `BuildFromJson(${fault})`);
}

let typed = "";
if (!given["no-api"]) {
  process.stdin.on("data", (chunk: Buffer) => {
    if (!isGuestUp) return;
    const lines = (typed + chunk.toString("latin1")).split(/\r?\n/);
    typed = lines.pop() ?? "";
    for (const line of lines) guestCommands[line]?.();
  });
}
setInterval(() => {}, 1 << 30);
process.on("exit", () => {
  if (logPath !== undefined) closeSync(logFd);
});
