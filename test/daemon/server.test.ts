// The server by itself, with handlers of the tests' own: what a call is told when its client or the daemon goes, and what a client is told that reads slowly.
import { afterEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { callOnce } from "../../src/client/wire.ts";
import { type RpcServer, serveRpc } from "../../src/daemon/server.ts";
import type { Handlers } from "../../src/spec/rpc/contract.ts";

const quiet = { info: () => {}, warn: () => {}, error: () => {} };
const ends: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

const serve = (handlers: Partial<Handlers>, stopping = new AbortController()): string => {
  const dir = mkdtempSync("/tmp/bgt-server-");
  ends.push(() => rmSync(dir, { recursive: true }));
  const socket = join(dir, "socket");
  const server: RpcServer = serveRpc({
    ...{ socket, version: "0", build: "test", log: quiet, stopping: stopping.signal },
    handlers: handlers as Handlers,
  });
  ends.push(() => server.stop());
  return socket;
};

/** A client that asks and reads nothing of the answer. */
const askAndNotRead = async (path: string, method: string, params: unknown): Promise<Socket> => {
  const body = JSON.stringify({ jsonrpc: "2.0", id: 1, method, params });
  const socket = connect(path);
  ends.push(() => socket.destroy());
  socket.on("error", () => {});
  await new Promise<void>((resolve) => socket.once("connect", resolve));
  socket.pause();
  socket.write(`POST /rpc HTTP/1.1\r\nHost: b\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
  return socket;
};

const note = (text: string) => ({ kind: "log" as const, text });

test("whoever has more to tell than may wait is held back, and none of it is lost", async () => {
  const socket = serve({
    "vm.logs": async (_, call) => {
      for (let at = 0; at < 40_000; at++) {
        if (at % 1000 === 0) await call.untilRoom();
        call.emit(note(String(at)));
      }
      return { lines: 40_000 };
    },
  });
  const heard: string[] = [];
  const onEvent = (event: unknown) => void heard.push((event as { text: string }).text);
  expect(await callOnce({ socket, method: "vm.logs", params: { vm: "any" }, onEvent })).toEqual({ lines: 40_000 });
  expect(heard).toEqual(Array.from({ length: 40_000 }, (_, at) => String(at)));
});

test("a client that takes nothing is cut off when too much waits for it, without ever reading", async () => {
  const isOver = Promise.withResolvers<number>();
  const socket = serve({
    "vm.logs": async (_, call) => {
      let told = 0;
      for (; !call.signal.aborted && told < 1_000_000; told++) {
        call.emit(note("x".repeat(200)));
        if (told % 1000 === 0) await Bun.sleep(0);
      }
      isOver.resolve(told);
      return { lines: told };
    },
  });
  const client = await askAndNotRead(socket, "vm.logs", { vm: "any" });
  expect(await isOver.promise).toBeLessThan(50_000);
  const closed = new Promise<void>((resolve) => client.once("close", resolve));
  client.resume();
  await closed;
});

test("a call that comes when the daemon stops already is told so as one that came before", async () => {
  const stopping = new AbortController();
  const socket = serve(
    {
      "vm.start": async (_, call) => {
        call.signal.throwIfAborted();
        throw new TypeError("it was not told");
      },
    },
    stopping,
  );
  stopping.abort();
  await expect(callOnce({ socket, method: "vm.start", params: { vm: "any" } })).rejects.toMatchObject({
    code: "daemon.stopping",
  });
});
