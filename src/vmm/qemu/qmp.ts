// Speaks QMP, QEMU's monitor protocol, over its unix socket: one request at a time is matched to its answer by id (docs/interop/qmp-spec).
import { deadline } from "../../engine/deadline.ts";
import { describeUnknown, fail } from "../../spec/errors.ts";

/** The commands that banger uses, with what they take and give. */
type Commands = {
  qmp_capabilities: { gives: unknown };
  "query-status": { gives: { status: string; running: boolean } };
  "query-uuid": { gives: { UUID: string } };
  "query-name": { gives: { name?: string } };
  cont: { gives: unknown };
  system_powerdown: { gives: unknown };
  quit: { gives: unknown };
};
export type QmpCommand = keyof Commands;

export type QmpEvent = { event: string; data: Record<string, unknown> };

export type QmpClient = {
  /** Runs one command. Errors: vmm.api_failed (refused, or the connection broke), operation.timeout, the signal's reason. */
  execute<Command extends QmpCommand>(
    command: Command,
    limits?: { timeoutMs?: number; signal?: AbortSignal },
  ): Promise<Commands[Command]["gives"]>;
  /** Settles, never rejects, when the connection is gone. */
  closed: Promise<void>;
  close(): void;
};

export type QmpConnectOptions = {
  path: string;
  /** Name of the VM, for errors. */
  vm: string;
  signal: AbortSignal;
  onEvent?: (event: QmpEvent) => void;
};

/** Milliseconds on a quiet machine; on a busy one whose KVM is emulated, two seconds have been seen to be too few. */
const COMMAND_TIMEOUT_MS = 10_000;
/** The greeting comes from a thread of its own while the machine is still being made; this command waits for that, and who connects says how long. */
const FIRST_COMMAND_TIMEOUT_MS = 60_000;
/** Longer than any answer to these commands; a peer that sends more without a newline is no QEMU. */
const LINE_BYTES_MAX = 256 * 1024;
/** Lines that are no JSON before the greeting, after which the peer is given up. */
const GARBAGE_LINES_MAX = 16;

type Message = Record<string, unknown>;
type Waiting = { command: string; resolve: (value: unknown) => void; reject: (error: unknown) => void };

const isRecord = (value: unknown): value is Message =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** One line as a QMP message; null for anything else. */
export const parseQmpLine = (line: string): Message | null => {
  try {
    const value: unknown = JSON.parse(line);
    return isRecord(value) ? value : null;
  } catch {
    return null;
  }
};

/** Whole lines out of a stream of chunks, never holding more than `maxBytes`; null once a line is longer. */
export const lineSplitter = (maxBytes: number): ((chunk: Uint8Array) => string[] | null) => {
  let pending: Buffer = Buffer.alloc(0);
  return (chunk) => {
    const all = Buffer.concat([pending, chunk]);
    const end = all.lastIndexOf(10);
    pending = Buffer.from(all.subarray(end + 1));
    if (pending.length > maxBytes) return null;
    return end < 0 ? [] : all.toString("utf8", 0, end).split("\n");
  };
};

const describeError = (error: unknown): string =>
  isRecord(error) && typeof error.desc === "string" ? error.desc : JSON.stringify(error ?? null);

/** Connects once, reads the greeting and negotiates. Errors: as `execute`; a missing socket rejects with the system's error. */
export const connectQmp = async (options: QmpConnectOptions): Promise<QmpClient> => {
  const { path, vm, signal } = options;
  signal.throwIfAborted();
  const broken = (call: string, detail: string) => fail("vmm.api_failed", { vm, call, detail });
  const waiting = new Map<number, Waiting>();
  const split = lineSplitter(LINE_BYTES_MAX);
  const greeting = Promise.withResolvers<void>();
  const end = Promise.withResolvers<void>();
  greeting.promise.catch(() => {});
  let hasEnded = false;
  let isGreeted = false;
  let garbageLines = 0;
  let nextId = 1;

  const finish = (detail: string) => {
    if (hasEnded) return;
    hasEnded = true;
    greeting.reject(broken("the greeting of its monitor", detail));
    for (const { command, reject } of waiting.values()) reject(broken(command, detail));
    waiting.clear();
    end.resolve();
    socket?.terminate();
  };

  const take = (line: string) => {
    const message = parseQmpLine(line);
    if (!message) {
      if (line.trim() !== "") garbageLines += 1;
      if (garbageLines > GARBAGE_LINES_MAX) finish("what answers on its monitor socket does not speak QMP");
    } else if (isRecord(message.QMP)) {
      isGreeted = true;
      greeting.resolve();
    } else if (typeof message.event === "string") {
      options.onEvent?.({ event: message.event, data: isRecord(message.data) ? message.data : {} });
    } else if (typeof message.id === "number") {
      const request = waiting.get(message.id);
      waiting.delete(message.id);
      if ("return" in message) request?.resolve(message.return);
      else request?.reject(broken(request.command, describeError(message.error)));
    }
  };

  let socket: Bun.Socket | undefined;
  socket = await Bun.connect({
    unix: path,
    socket: {
      data(_socket, chunk) {
        const lines = split(chunk);
        if (!lines) return finish("what answers on its monitor socket sends lines without end");
        for (const line of lines) take(line);
      },
      close: () => finish("it hung up"),
      error: (_socket, error) => finish(describeUnknown(error)),
    },
  });
  if (hasEnded) socket.terminate();

  const execute = async (command: QmpCommand, limits: { timeoutMs?: number; signal?: AbortSignal } = {}) => {
    if (hasEnded) throw broken(command, "it hung up");
    const id = nextId++;
    const { timeoutMs = COMMAND_TIMEOUT_MS } = limits;
    const limit = deadline({ operation: `${command} of ${vm}`, timeoutMs, signal: limits.signal });
    const answer = Promise.withResolvers<unknown>();
    const onAbort = () => answer.reject(limit.signal.reason);
    waiting.set(id, { command, resolve: answer.resolve, reject: answer.reject });
    if (limit.signal.aborted) onAbort();
    else limit.signal.addEventListener("abort", onAbort, { once: true });
    // Far smaller than a socket's buffer, which is empty between requests: nothing is left to be drained.
    socket?.write(`${JSON.stringify({ execute: command, id })}\n`);
    try {
      return await answer.promise;
    } finally {
      waiting.delete(id);
      limit.clear();
    }
  };

  const client: QmpClient = {
    execute: execute as QmpClient["execute"],
    closed: end.promise,
    close: () => finish("the connection was closed here"),
  };
  const onAbort = () => greeting.reject(signal.reason);
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    if (!isGreeted) await greeting.promise;
    await client.execute("qmp_capabilities", { signal, timeoutMs: FIRST_COMMAND_TIMEOUT_MS });
    return client;
  } catch (error) {
    client.close();
    throw error;
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
};
