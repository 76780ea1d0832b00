// One JSON-RPC 2.0 call over HTTP on the daemon's unix socket; a method with events answers in lines, the response last.
import { describeUnknown, fail } from "../spec/errors.ts";
import { RemoteError } from "./remote-error.ts";

export type WireCall = {
  socket: string;
  method: string;
  params: unknown;
  signal?: AbortSignal | undefined;
  onEvent?: ((event: unknown) => void) | undefined;
};

/** Nobody listens: the daemon does not run, as opposed to one that answers badly. */
export class NobodyListens extends Error {
  override readonly name = "NobodyListens";
}

type Message = {
  method?: string;
  params?: unknown;
  result?: unknown;
  error?: { code?: number; message?: string; data?: { code?: string; message?: string; fix?: string; data?: unknown } };
};

/** What Bun calls a socket that is missing or that nobody accepts on. */
const deadCodes = new Set(["ENOENT", "ECONNREFUSED", "ConnectionRefused", "FailedToOpenSocket"]);

/** Without what the runtime advises programmers of. */
const unreachable = (socket: string, detail: string, cause?: unknown) =>
  fail(
    "daemon.unreachable",
    { socket, detail: detail.replace(/\.? For more information, pass `[^)]*\(\)/, "") },
    cause,
  );

const parseMessage = (socket: string, text: string): Message => {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw unreachable(socket, `it answered with something that is no JSON (${JSON.stringify(text.slice(0, 60))})`);
  }
  if (typeof value !== "object" || value === null) throw unreachable(socket, "it answered with no JSON-RPC message");
  return value;
};

const resultOf = (socket: string, message: Message): unknown => {
  const { error } = message;
  if (error) {
    const report = error.data;
    throw new RemoteError({
      code: report?.code ?? "internal.bug",
      message: report?.message ?? error.message ?? "the daemon gave no reason",
      fix: report?.fix ?? null,
      data: report?.data ?? null,
    });
  }
  if (!("result" in message)) throw unreachable(socket, "its answer has neither result nor error");
  return message.result;
};

/** Lines of a body, decoded once per chunk, whatever the chunks are cut at. */
const readLines = async function* (body: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let held: string[] = [];
  for await (const chunk of body) {
    const parts = decoder.decode(chunk, { stream: true }).split("\n");
    const last = parts.pop() ?? "";
    for (const part of parts) {
      held.push(part);
      const line = held.join("");
      held = [];
      if (line !== "") yield line;
    }
    if (last !== "") held.push(last);
  }
  const rest = held.join("") + decoder.decode();
  if (rest !== "") yield rest;
};

const readStream = async (call: WireCall, body: ReadableStream<Uint8Array>): Promise<unknown> => {
  for await (const line of readLines(body)) {
    const message = parseMessage(call.socket, line);
    if (message.method !== "$/event") return resultOf(call.socket, message);
    call.onEvent?.(message.params);
  }
  throw unreachable(call.socket, "it hung up before its answer");
};

const post = async (call: WireCall): Promise<Response> => {
  const { socket, method, params, signal } = call;
  try {
    return await fetch("http://bangerd/rpc", {
      unix: socket,
      // The runtime ends whatever is silent for five minutes, and a console, a build or an event may be silent for hours.
      timeout: false,
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ jsonrpc: "2.0", id: 1, method, params }),
      ...(signal ? { signal } : {}),
    });
  } catch (error) {
    if (signal?.aborted) throw signal.reason;
    if (deadCodes.has((error as { code?: string }).code ?? "")) throw new NobodyListens(describeUnknown(error));
    throw unreachable(socket, describeUnknown(error), error);
  }
};

/** Does one call. Errors: NobodyListens, RemoteError, daemon.unreachable, and the signal's reason when it is aborted. */
export const callOnce = async (call: WireCall): Promise<unknown> => {
  const response = await post(call);
  try {
    if (response.headers.get("content-type")?.startsWith("application/x-ndjson") && response.body) {
      return await readStream(call, response.body);
    }
    return resultOf(call.socket, parseMessage(call.socket, await response.text()));
  } catch (error) {
    if (call.signal?.aborted) throw call.signal.reason;
    if (error instanceof Error && (error.name === "BangerError" || error.name === "RemoteError")) throw error;
    throw unreachable(call.socket, `it hung up in the middle of its answer (${describeUnknown(error)})`, error);
  }
};
