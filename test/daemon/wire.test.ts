// What the socket of the daemon lives through: messages that are none, too large or too deep, and clients that never read.
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { callOnce } from "../../src/client/wire.ts";
import type { Output } from "../../src/spec/rpc/contract.ts";
import { openStore } from "../../src/store/store.ts";
import { type Instance, openTestInstance, until } from "../vm/fixture.ts";
import { addSmallImage } from "./small-image.ts";

let banger: Instance;
let pid = 0;
const sockets: Socket[] = [];

beforeAll(async () => {
  banger = await openTestInstance({ hasImage: false });
  addSmallImage(banger);
  await banger.ok(["ls"]);
  pid = await banger.daemonPid();
}, 60_000);
afterAll(() => banger?.close(), 60_000);

afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy();
  const status = (await callOnce({
    socket: banger.socket(),
    method: "system.status",
    params: {},
  })) as Output<"system.status">;
  expect(status.pid).toBe(pid);
  expect(status.memoryMiB).toBeLessThan(200);
});

const post = async (body: string | Uint8Array): Promise<{ status: number; text: string }> => {
  const answer = await fetch("http://banger/rpc", { method: "POST", body, unix: banger.socket() } as RequestInit);
  return { status: answer.status, text: await answer.text() };
};

const codeOf = async (body: string | Uint8Array): Promise<string> =>
  (JSON.parse((await post(body)).text) as { error?: { data?: { code?: string } } }).error?.data?.code ?? "none";

const request = (method: string, params: unknown = {}) => JSON.stringify({ jsonrpc: "2.0", id: 1, method, params });

/** A connection that says what it is told and keeps what it hears. */
const dial = async (said: string | Uint8Array): Promise<Socket> => {
  const socket = connect(banger.socket());
  sockets.push(socket);
  socket.on("error", () => {});
  await new Promise<void>((resolve) => socket.once("connect", resolve));
  socket.write(said);
  return socket;
};

test("what is no JSON is answered as such", async () => {
  for (const body of ["", "{", "nonsense", '{"jsonrpc":"2.0",}', "\u0000", new Uint8Array([0xff, 0xfe, 0x80, 0xc0])])
    expect(await codeOf(body)).toBe("rpc.parse_error");
});

test("invalid UTF-8 inside a string never becomes a name", async () => {
  const head = new TextEncoder().encode(
    '{"jsonrpc":"2.0","id":1,"method":"vm.create","params":{"start":false,"name":"a',
  );
  const tail = new TextEncoder().encode('"}}');
  expect(["input.invalid", "rpc.parse_error"]).toContain(await codeOf(new Uint8Array([...head, 0xc3, 0x28, ...tail])));
});

test("JSON that is no request is answered as such", async () => {
  const bodies = [
    "[]",
    "1",
    "null",
    '"x"',
    "{}",
    '{"jsonrpc":"1.0","id":1,"method":"vm.list"}',
    '{"jsonrpc":"2.0","id":1}',
  ];
  const odd = ['{"jsonrpc":"2.0","id":1,"method":7}', '{"jsonrpc":"2.0","id":1,"method":"vm.list","params":[1]}'];
  for (const body of [...bodies, ...odd])
    expect({ body, code: await codeOf(body) }).toEqual({ body, code: "rpc.invalid_request" });
});

test("methods that do not exist, and those of every object, are not found", async () => {
  for (const method of ["vm.fly", "", "constructor", "__proto__", "toString", "VM.LIST"])
    expect({ method, code: await codeOf(request(method)) }).toEqual({ method, code: "rpc.method_not_found" });
});

test("input of another shape is refused by the schema, field by field", async () => {
  const { text } = await post(request("vm.create", { name: 7, vcpu: "two", memory: null, label: [1] }));
  const { error } = JSON.parse(text) as { error: { data: { code: string; data: { issues: { path: string }[] } } } };
  expect(error.data.code).toBe("input.invalid");
  expect(error.data.data.issues.map(({ path }) => path).sort()).toEqual(["label", "memory", "name", "vcpu"]);
});

test("nesting deeper than any input is refused, however deep", async () => {
  for (const depth of [40, 5_000, 500_000]) {
    const params = `${'{"a":'.repeat(depth)}1${"}".repeat(depth)}`;
    const code = await codeOf(`{"jsonrpc":"2.0","id":1,"method":"vm.list","params":${params}}`);
    expect({ depth, code: ["rpc.invalid_request", "rpc.parse_error"].includes(code) }).toEqual({ depth, code: true });
  }
});

test("a request larger than any should be is cut off", async () => {
  const refused = await post(request("vm.create", { name: "x".repeat(5 * 1024 * 1024) })).catch(() => ({
    status: 413,
  }));
  expect(refused.status).toBe(413);
  expect(await codeOf(request("vm.create", { name: "x".repeat(1024 * 1024) }))).toBe("input.invalid");
});

test("only POST /rpc is served", async () => {
  const get = await fetch("http://banger/rpc", { unix: banger.socket() } as RequestInit);
  expect(get.status).toBe(405);
  const elsewhere = await fetch("http://banger/../etc/passwd", {
    method: "POST",
    unix: banger.socket(),
  } as RequestInit);
  expect(elsewhere.status).toBe(404);
});

test("what is no HTTP, or half a request, harms nobody", async () => {
  for (const said of [
    "hello\r\n\r\n",
    "\0".repeat(70_000),
    "POST /rpc HTTP/1.1\r\nContent-Length: 99999\r\n\r\n{",
    "POST",
  ]) {
    const socket = await dial(said);
    expect(await codeOf(request("vm.fly"))).toBe("rpc.method_not_found");
    socket.destroy();
  }
});

test("three hundred connections that say nothing keep nobody waiting", async () => {
  await Promise.all(Array.from({ length: 300 }, () => dial("")));
  expect(await banger.json<unknown[]>(["ls"])).toEqual([]);
});

test("clients that subscribe and never read are dropped or bounded, and hold up nobody", async () => {
  const body = request("events.subscribe", { since: 0 });
  const head = `POST /rpc HTTP/1.1\r\nHost: b\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n`;
  for (let count = 0; count < 20; count++) (await dial(head + body)).pause();
  const socket = banger.socket();
  await banger.ok(["create", "noisy", "--no-start", "--disk", "1G"]);
  // Each label is an event for every subscriber.
  for (let count = 0; count < 300; count++)
    await callOnce({
      socket,
      method: "vm.label",
      params: { vm: "noisy", set: { count: String(count), filler: "x".repeat(200) } },
    });
  const list = await banger.json<{ labels: Record<string, string> }[]>(["ls"]);
  expect(list[0]?.labels.count).toBe("299");
  await banger.ok(["rm", "noisy"]);
}, 60_000);

/** How many events a call tells before its answer. */
const countEvents = async (method: string, params: unknown): Promise<number> => {
  let count = 0;
  await callOnce({ socket: banger.socket(), method, params, onEvent: () => void count++ });
  return count;
};

test("a log of more lines than may wait for one client is told whole", async () => {
  const { id } = await banger.create("long", "--no-start", "--disk", "1G");
  const lines = Array.from({ length: 25_000 }, (_, at) => `line ${at}\n`);
  writeFileSync(join(banger.dir, "state/banger/vms", id, "console.log"), lines.join(""));
  expect(await countEvents("vm.logs", { vm: "long" })).toBe(lines.length);
  await banger.ok(["rm", "long"]);
}, 60_000);

test("so are all the events that are kept, however many", async () => {
  const store = openStore({ path: join(banger.dir, "state/banger/banger.db") });
  const text = "one of many";
  store.transaction(() => {
    for (let count = 0; count < 10_400; count++) store.events.append({ type: "daemon.note", text });
  });
  store.close();
  expect(await countEvents("events.subscribe", { since: 0, follow: false })).toBeGreaterThan(10_000);
}, 60_000);

test("a client that goes away in the middle of a creation leaves nothing", async () => {
  const body = request("vm.create", { name: "dropped", start: false });
  const head = `POST /rpc HTTP/1.1\r\nHost: b\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n`;
  for (let count = 0; count < 5; count++) {
    (await dial(head + body)).destroy();
    await until("it is undone, or was done before", async () => {
      const { code } = await banger.run(["rm", "dropped"]);
      return code === 3 || code === 0;
    });
  }
  expect(await banger.leftovers()).toEqual([]);
  expect((await banger.audit()).findings).toEqual([]);
}, 60_000);
