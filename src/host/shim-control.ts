// Speaks with one running shim over its control socket: who it is, signals, the stream of events, the console.
import { createConnection, type Socket } from "node:net";
import { fail } from "../spec/errors.ts";
import type { ProcessProof } from "../spec/vm.ts";
import { ShimCause } from "./shim-status.ts";

/** Who a shim says it is; with `bootId` and `startTicks` it is the proof that adoption needs. */
export type ShimIdentity = ProcessProof & {
  /** VM id. */
  id: string;
  shimPid: number;
  shimStartTicks: number;
  /** Times the VMM was started, guest reboots included. */
  starts: number;
};

export type ShimSignal = "TERM" | "KILL" | "INT" | "QUIT" | "HUP" | "USR1" | "USR2" | "STOP" | "CONT";

/** How a VMM ended: `code` or `signal` (a number), or neither when it was never executed. */
export type ShimEnd = { cause: ShimCause; code: number | null; signal: number | null };

export type ShimEvent =
  /** The VMM runs: the first event of every watch, and again after each guest reboot. */
  | { type: "started"; pid: number; startTicks: number; starts: number }
  /** The VMM ended; "started" follows when its guest rebooted. */
  | ({ type: "ended" } & ShimEnd)
  /** Nothing follows: the shim has written its status and ends. */
  | ({ type: "exit" } & ShimEnd);

/** A serial console, both ways. Output ends when the VM ends, or when the reader was too slow and was dropped. */
export type ShimConsole = {
  output: AsyncIterable<Uint8Array>;
  /** Resolves when the bytes are on their way; a guest that reads nothing holds it up. */
  write(bytes: Uint8Array): Promise<void>;
  close(): void;
};

type Limits = { timeoutMs?: number; signal?: AbortSignal | undefined };

/** Every call makes a connection of its own, so none waits for another. Errors: vmm.shim_lost, vmm.shim_timeout, the signal's reason. */
export type ShimControl = {
  hello(limits?: Limits): Promise<ShimIdentity>;
  /** Signals the VMM through its parent. TERM, KILL, INT, QUIT and HUP also keep a guest's reboot from starting it again. */
  signal(name: ShimSignal, limits?: Limits): Promise<void>;
  /** From now on a guest's reboot ends the VMM. */
  preventRestart(limits?: Limits): Promise<void>;
  /** Events until "exit"; throws vmm.shim_lost when the shim dies without it. */
  watch(limits?: Limits): AsyncGenerator<ShimEvent, void>;
  /** How the VM ended for good. */
  untilExit(limits?: Limits): Promise<ShimEnd>;
  /** The console from now on, after the last `tailBytes` (at most 64 KiB) of it. */
  attach(options?: Limits & { tailBytes?: number }): Promise<ShimConsole>;
  /** Ends every connection that this control still has. */
  close(): void;
};

const REQUEST_TIMEOUT_MS = 2000;
const NEWLINE = 10;
/** Longer than any line of the protocol. */
const LINE_MAX_BYTES = 1024;

/** `key=value` words of a line. */
const wordsOf = (line: string): Map<string, string> =>
  new Map(line.split(" ").map((word) => [word.slice(0, word.indexOf("=")), word.slice(word.indexOf("=") + 1)]));

const numberOf = (words: Map<string, string>, key: string): number | null => {
  const text = words.get(key);
  return text !== undefined && /^\d{1,16}$/.test(text) ? Number(text) : null;
};

/** The answer to "hello", null when it is not one. */
export const parseHello = (line: string): ShimIdentity | null => {
  if (!line.startsWith("banger-shim 1 ")) return null;
  const words = wordsOf(line);
  const [id, bootId] = [words.get("id"), words.get("boot")];
  const [shimPid, shimStartTicks] = [numberOf(words, "shim_pid"), numberOf(words, "shim_start")];
  const [pid, startTicks, starts] = [numberOf(words, "pid"), numberOf(words, "start"), numberOf(words, "starts")];
  if (!id || !bootId || !shimPid || shimStartTicks === null || !pid || startTicks === null || !starts) return null;
  return { id, bootId, shimPid, shimStartTicks, pid, startTicks, starts };
};

/** One line of a watch, null when it is of a kind that this version does not know. */
export const parseShimEvent = (line: string): ShimEvent | null => {
  const type = line.split(" ", 1)[0];
  const words = wordsOf(line);
  if (type === "started") {
    const [pid, startTicks, starts] = [numberOf(words, "pid"), numberOf(words, "start"), numberOf(words, "n")];
    return pid && startTicks !== null && starts ? { type, pid, startTicks, starts } : null;
  }
  if (type !== "ended" && type !== "exit") return null;
  const cause = ShimCause.safeParse(words.get("cause"));
  const end = { code: numberOf(words, "code"), signal: numberOf(words, "signal") };
  return { type, cause: cause.success ? cause.data : "unknown", ...end };
};

/** A connection that is read by lines first and as raw bytes from then on. */
type Wire = {
  socket: Socket;
  /** The next line; null when the shim hung up. */
  line(): Promise<string | null>;
  /** All that comes, what was read beyond the last line first. */
  rest(): AsyncGenerator<Uint8Array, void>;
};

const makeWire = (socket: Socket): Wire => {
  const chunks: AsyncIterator<Buffer> = socket[Symbol.asyncIterator]();
  let held = Buffer.alloc(0);
  const line = async (): Promise<string | null> => {
    for (;;) {
      const end = held.indexOf(NEWLINE);
      if (end >= 0) {
        const text = held.subarray(0, end).toString("latin1");
        held = held.subarray(end + 1);
        return text;
      }
      if (held.length > LINE_MAX_BYTES) return null;
      const next = await chunks.next();
      if (next.done) return null;
      held = Buffer.concat([held, next.value]);
    }
  };
  const rest = async function* () {
    if (held.length > 0) yield held;
    for (;;) {
      const next = await chunks.next();
      if (next.done) return;
      yield next.value;
    }
  };
  return { socket, line, rest };
};

/** Connects by connect-time errors only: what happens later belongs to the reader. */
const openSocket = (path: string): Promise<Socket> =>
  new Promise((resolve, reject) => {
    const socket = createConnection({ path });
    socket.once("error", reject);
    socket.once("connect", () => {
      socket.off("error", reject);
      // Without a listener an error after the last read would end the daemon.
      socket.on("error", () => {});
      resolve(socket);
    });
  });

/** The control of the shim that listens at `path`; nothing is connected before the first call. `vm` names it in errors. */
export const connectShim = (options: { path: string; vm: string }): ShimControl => {
  const { path, vm } = options;
  const open = new Set<Socket>();

  /** Sends one request and reads the first line of its answer within the limits; the connection stays open. */
  const ask = async (request: string, limits: Limits): Promise<{ wire: Wire; answer: string }> => {
    const timeoutMs = limits.timeoutMs ?? REQUEST_TIMEOUT_MS;
    const { promise: stopped, reject: stop } = Promise.withResolvers<never>();
    stopped.catch(() => {});
    const timer = setTimeout(() => stop(fail("vmm.shim_timeout", { vm, waitedMs: timeoutMs })), timeoutMs);
    const onAbort = () => stop(limits.signal?.reason);
    limits.signal?.addEventListener("abort", onAbort, { once: true });
    let socket: Socket | null = null;
    let isStopped = false;
    const talk = async () => {
      socket = await openSocket(path).catch((error) => {
        throw fail("vmm.shim_lost", { vm }, error);
      });
      if (isStopped) socket.destroy();
      const opened = socket;
      open.add(opened);
      opened.once("close", () => open.delete(opened));
      opened.write(`${request}\n`);
      const wire = makeWire(opened);
      const answer = await wire.line().catch(() => null);
      if (answer === null || answer.startsWith("error ")) throw fail("vmm.shim_lost", { vm }, answer);
      return { wire, answer };
    };
    try {
      if (limits.signal?.aborted) onAbort();
      return await Promise.race([stopped, talk()]);
    } catch (error) {
      isStopped = true;
      (socket as Socket | null)?.destroy();
      throw error;
    } finally {
      clearTimeout(timer);
      limits.signal?.removeEventListener("abort", onAbort);
    }
  };

  const askOnce = async (request: string, limits: Limits = {}): Promise<string> => {
    const { wire, answer } = await ask(request, limits);
    wire.socket.destroy();
    return answer;
  };

  const watch = async function* (limits: Limits = {}): AsyncGenerator<ShimEvent, void> {
    const { wire, answer } = await ask("watch", limits);
    const onAbort = () => wire.socket.destroy();
    limits.signal?.addEventListener("abort", onAbort, { once: true });
    try {
      for (let line: string | null = answer; line !== null; line = await wire.line().catch(() => null)) {
        const event = parseShimEvent(line);
        if (event) yield event;
        if (event?.type === "exit") return;
      }
      throw limits.signal?.aborted ? limits.signal.reason : fail("vmm.shim_lost", { vm });
    } finally {
      limits.signal?.removeEventListener("abort", onAbort);
      wire.socket.destroy();
    }
  };

  return {
    async hello(limits) {
      const identity = parseHello(await askOnce("hello", limits));
      if (!identity) throw fail("vmm.shim_lost", { vm });
      return identity;
    },
    async signal(name, limits) {
      await askOnce(`signal ${name}`, limits);
    },
    async preventRestart(limits) {
      await askOnce("no-restart", limits);
    },
    watch,
    async untilExit(limits) {
      for await (const event of watch(limits)) {
        if (event.type === "exit") return { cause: event.cause, code: event.code, signal: event.signal };
      }
      throw fail("vmm.shim_lost", { vm });
    },
    async attach({ tailBytes = 0, ...limits } = {}) {
      const { wire } = await ask(`attach tail=${tailBytes}`, limits);
      return {
        output: wire.rest(),
        write: (bytes) =>
          new Promise((resolve, reject) => {
            wire.socket.write(bytes, (error) => (error ? reject(fail("vmm.shim_lost", { vm }, error)) : resolve()));
          }),
        close: () => wire.socket.destroy(),
      };
    },
    close() {
      for (const socket of open) socket.destroy();
    },
  };
};
