// The client against a real socket: whatever a daemon does, the user gets an answer or a coded error, never silence.
import { afterEach, describe, expect, test } from "bun:test";
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import { CLIENT_PROTOCOL, connect } from "../../src/client/connect.ts";
import { compareVersions, isNewer } from "../../src/client/decide-replacement.ts";
import { startDaemon } from "../../src/client/start-daemon.ts";
import { fail, reportOf } from "../../src/spec/errors.ts";
import { PROTOCOL } from "../../src/spec/rpc/contract.ts";
import { type FakeDaemon, hello, makePlace, startFakeDaemon, vm } from "./fake-daemon.ts";

const open: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of open.splice(0)) await close();
});

const daemonWith = (handlers: Parameters<typeof startFakeDaemon>[0]): FakeDaemon => {
  const daemon = startFakeDaemon(handlers);
  open.push(daemon.close);
  return daemon;
};

const self = { version: "0.0.0", build: "checkout", executable: "/nowhere/banger" };
const clientOf = (socket: string, over: Partial<Parameters<typeof connect>[0]> = {}) =>
  connect({
    self,
    socket: () => socket,
    prepare: () => {
      throw new TypeError("no daemon is started here");
    },
    note: () => {},
    ...over,
  });

/** A server that answers the greeting and then does to the connection what the test says. */
const rudeDaemon = async (
  behave: (socket: Socket, request: string) => void,
  { hangUps = 0 }: { hangUps?: number } = {},
): Promise<string> => {
  let left = hangUps;
  const place = makePlace();
  const sockets = new Set<Socket>();
  const server: Server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    socket.on("data", (bytes) => {
      const request = String(bytes);
      if (!request.includes("system.hello")) return behave(socket, request);
      if (left-- > 0) return socket.destroy();
      const body = JSON.stringify({ jsonrpc: "2.0", id: 1, result: hello });
      socket.write(
        `HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
      );
    });
  });
  await new Promise<void>((resolve) => server.listen(place.socket, resolve));
  open.push(() => {
    for (const socket of sockets) socket.destroy();
    return new Promise<void>((resolve) =>
      server.close(() => {
        rmSync(place.dir, { recursive: true, force: true });
        resolve();
      }),
    );
  });
  return place.socket;
};

describe("a greeting that is hung up on, as by a daemon that was just killed,", () => {
  test("is said again", async () => {
    const socket = await rudeDaemon(() => {}, { hangUps: 3 });
    expect(await clientOf(socket).hello()).toMatchObject({ pid: hello.pid });
  });

  test("is not said for ever", async () => {
    const socket = await rudeDaemon(() => {}, { hangUps: 1000 });
    expect(await codeOf(clientOf(socket).hello())).toStartWith("daemon.unreachable: ");
  });
});

const codeOf = (call: Promise<unknown>): Promise<string> =>
  call.then(
    () => "no error",
    (error) => `${error.code}: ${error.message}`,
  );

const NDJSON = "HTTP/1.1 200 OK\r\ncontent-type: application/x-ndjson\r\ntransfer-encoding: chunked\r\n\r\n";
const chunk = (text: string) => `${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n`;

describe("a call", () => {
  test("greets first, then calls, and answers with the result", async () => {
    const daemon = daemonWith({ "vm.list": () => [vm()] });
    expect(await clientOf(daemon.socket).call("vm.list", {})).toEqual([vm()]);
    expect(daemon.calls.map(({ method }) => method)).toEqual(["vm.list"]);
  });

  test("speaks the protocols of the contract", () => expect<unknown>(CLIENT_PROTOCOL).toEqual(PROTOCOL));

  test("keeps code, message, fix, data and exit code of the daemon's error", async () => {
    const daemon = daemonWith({
      "vm.show": () => {
        throw fail("vm.not_found", { vm: "wbe", known: ["web"] });
      },
    });
    const error = await clientOf(daemon.socket)
      .call("vm.show", { vm: "wbe" })
      .catch((caught) => caught);
    expect(error).toMatchObject({
      name: "RemoteError",
      code: "vm.not_found",
      message: 'There is no VM "wbe". Did you mean "web"?',
      fix: "banger list",
      data: { vm: "wbe", known: ["web"] },
      exitCode: 3,
    });
  });

  test("hands events on in their order, before the answer", async () => {
    const seen: string[] = [];
    const daemon = daemonWith({
      "vm.logs": (_, { emit }) => {
        for (let line = 0; line < 1000; line++) emit({ kind: "log", text: `line ${line} — ü` });
        return { lines: 1000 };
      },
    });
    const answer = await clientOf(daemon.socket).call(
      "vm.logs",
      { vm: "web" },
      { onEvent: ({ text }) => void seen.push(text) },
    );
    expect(answer).toEqual({ lines: 1000 });
    expect(seen).toEqual(Array.from({ length: 1000 }, (_, line) => `line ${line} — ü`));
  });

  test("hands on an event that is cut anywhere, also inside a character", async () => {
    const event = `${JSON.stringify({ jsonrpc: "2.0", method: "$/event", params: { kind: "log", text: "größer" } })}\n`;
    const last = `${JSON.stringify({ jsonrpc: "2.0", id: 1, result: { lines: 1 } })}`;
    const bytes = Buffer.from(event + last);
    const cut = bytes.indexOf(0xc3) + 1;
    const socket = await rudeDaemon((connection) => {
      connection.write(NDJSON);
      for (const part of [bytes.subarray(0, 7), bytes.subarray(7, cut), bytes.subarray(cut)]) {
        connection.write(Buffer.concat([Buffer.from(`${part.length.toString(16)}\r\n`), part, Buffer.from("\r\n")]));
      }
      connection.write("0\r\n\r\n");
    });
    const seen: string[] = [];
    await clientOf(socket).call("vm.logs", { vm: "web" }, { onEvent: ({ text }) => void seen.push(text) });
    expect(seen).toEqual(["größer"]);
  });

  test("lives through an answer of 20 MB", async () => {
    const text = "x".repeat(20 * 1024 * 1024);
    const daemon = daemonWith({ "config.get": () => ({ key: "a", value: text, source: "file" }) });
    const answer = await clientOf(daemon.socket).call("config.get", { key: "a" });
    expect(String(answer.value).length).toBe(text.length);
  });

  test("that is aborted hangs up, and the daemon sees it", async () => {
    const gone = Promise.withResolvers<void>();
    const begun = Promise.withResolvers<void>();
    const daemon = daemonWith({
      "vm.create": (_, { signal }) => {
        signal.addEventListener("abort", () => gone.resolve());
        begun.resolve();
        return new Promise<never>(() => {});
      },
    });
    const stop = new AbortController();
    const call = clientOf(daemon.socket).call("vm.create", {}, { signal: stop.signal });
    await begun.promise;
    stop.abort(fail("operation.cancelled", { operation: "vm.create" }));
    expect(await codeOf(call)).toStartWith("operation.cancelled");
    await gone.promise;
  });

  test("that takes longer than its deadline ends with operation.timeout", async () => {
    const daemon = daemonWith({ "vm.list": () => new Promise<never>(() => {}) });
    const call = clientOf(daemon.socket).call("vm.list", {}, { timeoutMs: 50 });
    expect(await codeOf(call)).toStartWith("operation.timeout");
  });
});

describe("a daemon that misbehaves is daemon.unreachable, with what it did", () => {
  const table: [string, (socket: Socket) => void, RegExp][] = [
    ["hangs up without a word", (socket) => socket.destroy(), /hung up|closed|ECONNRESET/i],
    [
      "answers with garbage",
      (socket) => socket.write("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n<html>!?\n"),
      /no JSON \("<html>/,
    ],
    [
      "answers with JSON that is no message",
      (socket) => socket.write("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n42"),
      /no JSON-RPC message/,
    ],
    [
      "answers with neither result nor error",
      (socket) => socket.write("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"),
      /neither result nor error/,
    ],
    [
      "ends a stream before its answer",
      (socket) => socket.end(`${NDJSON}${chunk('{"method":"$/event","params":{}}\n')}0\r\n\r\n`),
      /before its answer/,
    ],
    [
      "dies in the middle of a stream",
      (socket) => {
        socket.write(`${NDJSON}${chunk('{"method":"$/event","params":{}}\n')}`);
        socket.resetAndDestroy();
      },
      /hung up/,
    ],
    [
      "sends half a line and hangs up",
      (socket) => socket.end(`${NDJSON}${chunk('{"jsonrpc":"2.0","id":1,"resu')}0\r\n\r\n`),
      /no JSON/,
    ],
  ];
  for (const [claim, behave, message] of table) {
    test(claim, async () => {
      const socket = await rudeDaemon(behave);
      const told = await codeOf(clientOf(socket).call("vm.logs", { vm: "web" }));
      expect(told).toStartWith("daemon.unreachable: ");
      expect(told).toMatch(message);
    });
  }
});

describe("which daemon is replaced", () => {
  const at = (version: string, build = "checkout", executable = "/usr/bin/banger") => ({ version, build, executable });
  const [older, newer] = ["2026-11-22T10:00:00Z-aaaa", "2026-11-22T10:00:01Z-aaaa"];
  const table: [string, boolean, ReturnType<typeof at>, ReturnType<typeof at>][] = [
    ["an older version", true, at("0.2.0"), at("0.1.9")],
    ["a newer version is not", false, at("0.1.9"), at("0.2.0")],
    ["an older build of the same file", true, at("0.1.0", newer), at("0.1.0", older)],
    ["a newer build of the same file is not", false, at("0.1.0", older), at("0.1.0", newer)],
    ["an older build of another file is not", false, at("0.1.0", newer), at("0.1.0", older, "/opt/banger")],
    ["the same build is not", false, at("0.1.0", newer), at("0.1.0", newer)],
    ["a checkout is not, and replaces nothing", false, at("0.1.0", "checkout"), at("0.1.0", older)],
    ["an older version is, whatever the builds", true, at("1.0.0", older), at("0.9.0", newer, "/opt/banger")],
    ["a pre-release gives way to its release", true, at("1.0.0"), at("1.0.0-rc.1")],
  ];
  for (const [claim, expected, client, daemon] of table) {
    test(claim, () => expect(isNewer(client, daemon)).toBe(expected));
  }

  test("numbers compare as numbers", () => expect(compareVersions("0.10.0", "0.9.0")).toBeGreaterThan(0));

  test("a busy one is left alone, and the user is told", async () => {
    const daemon = daemonWith({ "system.hello": () => ({ ...hello, isBusy: true }), "vm.list": () => [] });
    const notes: string[] = [];
    const client = clientOf(daemon.socket, {
      self: { ...self, version: "9.0.0" },
      note: (text) => void notes.push(text),
    });
    expect(await client.call("vm.list", {})).toEqual([]);
    expect(daemon.calls.map(({ method }) => method)).toEqual(["vm.list"]);
    expect(notes.join()).toMatch(/older than this banger, and busy/);
  });

  test("one that speaks no protocol of ours is refused with daemon.protocol", async () => {
    const daemon = daemonWith({ "system.hello": () => ({ ...hello, protocol: { min: 7, max: 9 } }) });
    expect(await codeOf(clientOf(daemon.socket).call("vm.list", {}))).toStartWith("daemon.protocol");
    expect(daemon.calls).toEqual([]);
  });
});

test("a daemon that lost the race to start is ended, lest it take the winner's place later", async () => {
  const { dir } = makePlace();
  open.push(() => rmSync(dir, { recursive: true, force: true }));
  const pidFile = join(dir, "pid");
  // Still loading when the winner answers: it has not met the lock yet.
  const slow = ["/bin/sh", "-c", 'echo $$ > "$1.new" && mv "$1.new" "$1" && exec sleep 300', "sh", pidFile];
  const winner = { pid: process.pid };
  const answer = await startDaemon({ argv: slow, env: process.env, logPath: join(dir, "log") }, async () =>
    existsSync(pidFile) ? winner : null,
  );
  expect(answer).toBe(winner);
  const loser = Number(readFileSync(pidFile, "utf8"));
  while (existsSync(`/proc/${loser}`)) await Bun.sleep(5);
}, 30_000);

test("a daemon that hangs is told with the process to end, since it does not hear of a restart", async () => {
  const { promise: ended, resolve: end } = Promise.withResolvers<typeof hello>();
  const daemon = daemonWith({ "system.hello": () => ended });
  // Whoever holds the lock has written itself there; here that is this test.
  writeFileSync(daemon.socket.replace(/\.sock$/, ".lock"), `${process.pid}\n`);
  const failure = await clientOf(daemon.socket)
    .call("vm.list", {})
    .catch((error: unknown) => error);
  expect(reportOf(failure)).toMatchObject({
    code: "daemon.unreachable",
    fix: expect.stringContaining(`kill -KILL ${process.pid} `),
  });
  end(hello);
}, 30_000);

test("a daemon may be silent for longer than the runtime would wait by itself", async () => {
  const child = Bun.spawn([process.execPath, join(import.meta.dir, "silent-daemon.ts")], {
    env: { ...process.env, BUN_CONFIG_HTTP_IDLE_TIMEOUT: "1" },
    stdout: "pipe",
  });
  expect(JSON.parse(await child.stdout.text())).toEqual(["TimeoutError", "fulfilled", "fulfilled"]);
}, 60_000);
