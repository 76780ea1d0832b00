// A small real daemon on a unix socket, whose answers a test writes: for what a client must live through.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { reportOf } from "../../src/spec/errors.ts";
import type { EventOf, Input, MethodName, Output } from "../../src/spec/rpc/contract.ts";
import type { Vm } from "../../src/spec/vm.ts";

type Call<Name extends MethodName> = {
  emit: (event: EventOf<Name>) => void;
  /** Aborts when the client hangs up. */
  signal: AbortSignal;
};

export type FakeHandlers = {
  [Name in MethodName]?: (
    input: Input<Name>,
    call: Call<Name>,
  ) => Output<Name> | Promise<Output<Name>> | Response | Promise<Response>;
};

export const hello: Output<"system.hello"> = {
  version: "0.0.0",
  build: "checkout",
  executable: "/nowhere/bangerd",
  protocol: { min: 1, max: 1 },
  pid: 4_000_000,
  instance: "abcde",
  isBusy: false,
};

export type FakeDaemon = {
  dir: string;
  socket: string;
  /** Environment in which the command line finds this daemon and nothing of the user's. */
  env: Record<string, string>;
  /** Methods that were called, in order, without greetings. */
  calls: { method: string; params: unknown }[];
  handlers: FakeHandlers;
  /** Hangs up on everyone and listens no more, until it is resumed. */
  pause: () => Promise<void>;
  resume: () => void;
  close: () => Promise<void>;
};

type Request = { id: number; method: string; params: never };

const streaming = new Set(["vm.create", "vm.start", "vm.stop", "vm.restart", "vm.kill", "vm.delete", "vm.logs"]);
for (const method of ["vm.ports", "vm.forward", "image.build", "image.register", "events.subscribe"])
  streaming.add(method);

const errorOf = (id: number, error: unknown) => {
  const report = reportOf(error);
  return { jsonrpc: "2.0", id, error: { code: -32000, message: report.message, data: report } };
};

/** A place of its own for an instance: directories, and the file that names it. */
export const makePlace = (): { dir: string; socket: string; env: Record<string, string> } => {
  const dir = mkdtempSync(join(tmpdir(), "bgr-cli-"));
  const run = join(dir, "run");
  mkdirSync(run, { mode: 0o700 });
  mkdirSync(join(dir, "state/banger"), { recursive: true, mode: 0o700 });
  const file = join(dir, "state/banger/instance.json");
  writeFileSync(file, JSON.stringify({ version: 1, id: "abcde", runtimeDir: run }));
  const env = {
    PATH: process.env.PATH ?? "",
    HOME: dir,
    XDG_STATE_HOME: join(dir, "state"),
    XDG_DATA_HOME: join(dir, "data"),
    XDG_CONFIG_HOME: join(dir, "config"),
    XDG_RUNTIME_DIR: run,
    TERM: "xterm-256color",
  };
  return { dir, socket: join(run, "bangerd.sock"), env };
};

export const startFakeDaemon = (handlers: FakeHandlers = {}): FakeDaemon => {
  const place = makePlace();
  const calls: FakeDaemon["calls"] = [];
  const daemon: FakeDaemon = {
    ...place,
    calls,
    handlers,
    pause: async () => {},
    resume: () => {},
    close: async () => {},
  };

  const run = (request: Request, call: Call<never>) => {
    if (request.method !== "system.hello") calls.push({ method: request.method, params: request.params });
    const handler = (daemon.handlers as Record<string, (input: never, call: Call<never>) => unknown>)[request.method];
    if (!handler && request.method === "system.hello") return hello;
    if (!handler) throw Object.assign(new TypeError(`no handler of ${request.method}`));
    return handler(request.params, call);
  };

  const stream = (request: Request, signal: AbortSignal): Response => {
    const encoder = new TextEncoder();
    const body = new ReadableStream<Uint8Array>({
      async start(controller) {
        const line = (value: unknown) => {
          if (!signal.aborted) controller.enqueue(encoder.encode(`${JSON.stringify(value)}\n`));
        };
        const emit = (params: unknown) => line({ jsonrpc: "2.0", method: "$/event", params });
        try {
          line({ jsonrpc: "2.0", id: request.id, result: await run(request, { emit: emit as never, signal }) });
        } catch (error) {
          line(errorOf(request.id, error));
        }
        if (!signal.aborted) controller.close();
      },
    });
    return new Response(body, { headers: { "content-type": "application/x-ndjson" } });
  };

  const serve = () =>
    Bun.serve({
      unix: place.socket,
      idleTimeout: 0,
      fetch: async (incoming: globalThis.Request) => {
        const request = (await incoming.json()) as Request;
        if (streaming.has(request.method)) return stream(request, incoming.signal);
        try {
          const result = await run(request, { emit: () => {}, signal: incoming.signal });
          return result instanceof Response ? result : Response.json({ jsonrpc: "2.0", id: request.id, result });
        } catch (error) {
          return Response.json(errorOf(request.id, error));
        }
      },
    } as unknown as Parameters<typeof Bun.serve>[0]);
  let server = serve();

  daemon.pause = async () => {
    await server.stop(true);
  };
  daemon.resume = () => {
    server = serve();
  };
  daemon.close = async () => {
    await server.stop(true);
    rmSync(place.dir, { recursive: true, force: true });
  };
  return daemon;
};

export const vm = (over: Partial<Vm> = {}): Vm => ({
  id: "0123456789ab",
  name: "web",
  state: "running",
  vmm: "qemu",
  vmmReason: "no KVM here",
  privilege: "as ada (uid 1000), without further rights",
  accelerator: "tcg",
  image: "debian-13",
  kernel: "3f5a0c",
  kernelRelease: "6.12.48",
  user: "ada",
  vcpus: 2,
  memoryMiB: 2048,
  diskMiB: 40_960,
  diskUsedMiB: 310,
  network: "bridge",
  addresses: [
    { address: "10.77.5.2", family: "ipv4", side: "guest" },
    { address: "10.77.5.2", family: "ipv4", side: "host" },
  ],
  hostname: "web",
  fqdn: "web.vm",
  isFoundByName: false,
  dnsWildcard: false,
  labels: { team: "blue" },
  createdAt: "2026-11-22T10:00:00.000Z",
  startedAt: "2026-11-22T11:00:00.000Z",
  pid: 4242,
  lastEnd: null,
  lastError: null,
  ports: [],
  forwards: [],
  pendingRestart: false,
  clock: null,
  ...over,
});

/** The moment at which views are rendered in tests. */
export const NOW_MS = Date.parse("2026-11-22T12:00:00.000Z");
