// Serves the contract as JSON-RPC 2.0 over HTTP on the unix socket: one POST a call, NDJSON for methods with events.
import { chmodSync, unlinkSync } from "node:fs";
import type { z } from "zod";
import { describeUnknown, type ErrorReport, fail, isBangerError, reportOf } from "../spec/errors.ts";
import { type Call, contract, type Handlers, type MethodName } from "../spec/rpc/contract.ts";
import type { Log } from "./context.ts";
import { type Teller, tellInLines } from "./event-lines.ts";

/** The largest request: a create with many keys and a long list of labels is far below it. */
const MAX_BODY_BYTES = 4 * 1024 * 1024;
/** Deeper nesting than any method's input has; JSON.parse itself takes far more. */
const MAX_DEPTH = 32;

export type ServerOptions = {
  socket: string;
  handlers: Handlers;
  version: string;
  build: string;
  log: Log;
  /** Aborted when the daemon stops: cancellable calls end. */
  stopping: AbortSignal;
};

export type RpcServer = {
  /** Names of the calls under way that the daemon should not be replaced in the middle of. */
  busy(): readonly string[];
  stop(): Promise<void>;
};

type Request = { id: string | number | null; method: MethodName; params: unknown };

/** The first thing that is wrong with each field; of a key that cannot be, what is wrong with it. */
const issuesOf = ({ issues }: z.ZodError): { path: string; message: string }[] => {
  const first = new Map<string, string>();
  for (const issue of issues) {
    const path = issue.path.join(".");
    const { message } = issue.code === "invalid_key" ? (issue.issues[0] ?? issue) : issue;
    if (!first.has(path)) first.set(path, message);
  }
  return [...first].map(([path, message]) => ({ path, message }));
};

export const serveRpc = (options: ServerOptions): RpcServer => {
  const { socket, handlers, version, build, log, stopping } = options;
  const underWay = new Map<number, string>();
  let nextCall = 1;
  try {
    unlinkSync(socket);
  } catch {
    // Nobody was there; whoever held it is gone, since we hold the daemon's lock.
  }
  const headers = { "x-banger-version": version, "x-banger-build": build, "x-banger-pid": String(process.pid) };

  const respond = async (request: globalThis.Request): Promise<Response> => {
    const { pathname } = new URL(request.url);
    if (pathname !== "/rpc") return new Response("There is only POST /rpc here.\n", { status: 404, headers });
    if (request.method !== "POST")
      return new Response("Only POST.\n", { status: 405, headers: { ...headers, allow: "POST" } });
    let parsed: Request;
    try {
      parsed = readRequest(await request.text());
    } catch (error) {
      return Response.json(errorLine(null, error), { headers });
    }
    const call = nextCall++;
    const definition = contract[parsed.method];
    const abort = new AbortController();
    const cancels = "onDisconnect" in definition && definition.onDisconnect === "cancel";
    const onGone = () => {
      if (cancels) abort.abort(fail("operation.cancelled", { operation: parsed.method }));
    };
    const onStop = () => {
      if (cancels) abort.abort(fail("daemon.stopping", {}));
    };
    // Either may have come before this call was read.
    if (request.signal.aborted) onGone();
    if (stopping.aborted) onStop();
    request.signal.addEventListener("abort", onGone, { once: true });
    stopping.addEventListener("abort", onStop, { once: true });
    const isCounted = !idle.has(parsed.method);
    if (isCounted) underWay.set(call, parsed.method);
    const finish = () => {
      underWay.delete(call);
      stopping.removeEventListener("abort", onStop);
    };
    const run = async (teller: Teller): Promise<unknown> => {
      try {
        const given = { ...teller, signal: abort.signal, requestedBy: `${parsed.method}#${call}` };
        return resultLine(parsed.id, await dispatch(handlers, parsed, given));
      } catch (error) {
        const report = reportOf(error);
        if (report.code === "internal.bug") {
          log.error("a call failed in a way it should not", {
            method: parsed.method,
            detail: error instanceof Error ? error.stack : String(error),
          });
        }
        return errorLine(parsed.id, error);
      } finally {
        finish();
      }
    };
    if ("events" in definition && definition.events) {
      return new Response(tellInLines(run, onGone), {
        headers: { ...headers, "content-type": "application/x-ndjson" },
      });
    }
    return Response.json(await run({ emit: () => {}, untilRoom: async () => {} }), { headers });
  };

  const server = Bun.serve({
    unix: socket,
    // Streams may be silent for hours; the default of 10 s cuts them, and server.timeout() has no effect on unix sockets.
    idleTimeout: 0,
    maxRequestBodySize: MAX_BODY_BYTES,
    fetch: respond,
    error: (error: Error) => Response.json(errorLine(null, error), { headers }),
  } as unknown as Parameters<typeof Bun.serve>[0]);
  chmodSync(socket, 0o600);

  return {
    busy: () => [...underWay.values()],
    stop: async () => {
      await server.stop(true);
    },
  };
};

/** Streams and questions that nothing is lost by ending. */
const idle = new Set<MethodName>([
  "events.subscribe",
  "vm.logs",
  "vm.ports",
  "vm.forward",
  "system.hello",
  "system.status",
  "system.stop",
  "vm.list",
  "vm.show",
  "rpc.discover",
  "dns.status",
  "dns.records",
  "dns.query",
]);

const dispatch = async (handlers: Handlers, request: Request, call: Call<MethodName>): Promise<unknown> => {
  const definition = contract[request.method];
  const input = definition.input.safeParse(request.params ?? {});
  if (!input.success) {
    throw fail("input.invalid", {
      method: request.method,
      issues: issuesOf(input.error).slice(0, 20),
    });
  }
  const handler = handlers[request.method] as (input: unknown, call: Call<MethodName>) => Promise<unknown>;
  return handler(input.data, call);
};

const readRequest = (body: string): Request => {
  let value: unknown;
  try {
    value = JSON.parse(body);
  } catch (error) {
    throw fail("rpc.parse_error", { detail: describeUnknown(error) });
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw fail("rpc.invalid_request", { detail: "it is not an object (batches are not served)" });
  }
  if (isDeeperThan(value, MAX_DEPTH))
    throw fail("rpc.invalid_request", { detail: `it is nested deeper than ${MAX_DEPTH}` });
  const { jsonrpc, id, method, params } = value as Record<string, unknown>;
  if (jsonrpc !== "2.0") throw fail("rpc.invalid_request", { detail: 'jsonrpc is not "2.0"' });
  if (typeof method !== "string") throw fail("rpc.invalid_request", { detail: "method is not a string" });
  if (!Object.hasOwn(contract, method)) throw fail("rpc.method_not_found", { method });
  if (params !== undefined && (typeof params !== "object" || params === null || Array.isArray(params))) {
    throw fail("rpc.invalid_request", { detail: "params is not an object" });
  }
  const safeId = typeof id === "string" || typeof id === "number" ? id : null;
  return { id: safeId, method: method as MethodName, params };
};

const isDeeperThan = (value: unknown, depth: number): boolean => {
  if (typeof value !== "object" || value === null) return false;
  if (depth === 0) return true;
  return Object.values(value).some((child) => isDeeperThan(child, depth - 1));
};

const resultLine = (id: Request["id"], result: unknown) => ({ jsonrpc: "2.0", id, result });

/** JSON-RPC 2.0 §5.1 numbers for what it defines, -32000 for the rest; what identifies an error is `data.code`. */
const errorLine = (id: Request["id"], error: unknown) => {
  const report: ErrorReport = reportOf(error);
  const numbers: Record<string, number> = {
    "rpc.parse_error": -32700,
    "rpc.invalid_request": -32600,
    "rpc.method_not_found": -32601,
    "input.invalid": -32602,
    "internal.bug": -32603,
  };
  const message = isBangerError(error) ? error.message : report.message;
  return { jsonrpc: "2.0", id, error: { code: numbers[report.code] ?? -32000, message, data: report } };
};
