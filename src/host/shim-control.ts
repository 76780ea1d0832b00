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

const REQUEST_TIMEOUT_MS = 5000;
/** All of a shim's places are taken: idle clients lose theirs after 2 s. */
const BUSY_RETRY_MS = 20;
/** Bun calls a full backlog (EAGAIN) refused too, so that one refusal is no proof that nobody listens. */
const REFUSALS_MAX = 3;
const NEWLINE = 10;
const HELD_MAX_BYTES = 65_536;
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

/** Collects what comes from the first byte on, and holds the shim back when nobody takes it. */
const makeWire = (socket: Socket): Wire => {
  let held: Buffer[] = [];
  let heldBytes = 0;
  let hasEnded = false;
  let wake = () => {};
  socket.on("data", (bytes: Buffer) => {
    held.push(bytes);
    heldBytes += bytes.length;
    if (heldBytes > HELD_MAX_BYTES) socket.pause();
    wake();
  });
  const finish = () => {
    hasEnded = true;
    wake();
  };
  socket.on("end", finish);
  socket.on("close", finish);
  // "close" follows; without a listener the error would end the daemon.
  socket.on("error", () => {});

  const take = async (): Promise<Buffer | null> => {
    while (held.length === 0 && !hasEnded) {
      const { promise, resolve } = Promise.withResolvers<void>();
      wake = resolve;
      await promise;
    }
    if (held.length === 0) return null;
    const all = Buffer.concat(held);
    held = [];
    heldBytes = 0;
    socket.resume();
    return all;
  };
  const giveBack = (bytes: Buffer) => {
    if (bytes.length > 0) held.unshift(bytes);
    heldBytes += bytes.length;
  };
  return {
    socket,
    async line() {
      let start = Buffer.alloc(0);
      while (start.length <= LINE_MAX_BYTES) {
        const bytes = await take();
        if (bytes === null) return null;
        start = Buffer.concat([start, bytes]);
        const end = start.indexOf(NEWLINE);
        if (end < 0) continue;
        giveBack(start.subarray(end + 1));
        return start.subarray(0, end).toString("latin1");
      }
      return null;
    },
    async *rest() {
      for (let bytes = await take(); bytes !== null; bytes = await take()) yield bytes;
    },
  };
};

const openWire = (path: string): Promise<Wire> =>
  new Promise((resolve, reject) => {
    const socket = createConnection({ path });
    const wire = makeWire(socket);
    socket.once("error", reject);
    socket.once("connect", () => resolve(wire));
    // A connection that is accepted and closed at once may show no "connect".
    socket.once("close", () => resolve(wire));
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
    let wire: Wire | null = null;
    let refusals = 0;
    let isStopped = false;
    const talk = async (): Promise<{ wire: Wire; answer: string }> => {
      const opened = await openWire(path).catch((error) => {
        if (error.code !== "ECONNREFUSED" || refusals++ >= REFUSALS_MAX) throw fail("vmm.shim_lost", { vm }, error);
        return null;
      });
      if (opened === null) {
        await Bun.sleep(BUSY_RETRY_MS);
        return talk();
      }
      wire = opened;
      if (isStopped) opened.socket.destroy();
      open.add(opened.socket);
      opened.socket.once("close", () => open.delete(opened.socket));
      opened.socket.write(`${request}\n`);
      const answer = await opened.line();
      // Hung up without an answer: it had no place for us, or it is gone, which connecting again tells.
      if ((answer === null || answer === "error busy") && !isStopped) {
        opened.socket.destroy();
        await Bun.sleep(BUSY_RETRY_MS);
        return talk();
      }
      if (answer === null || answer.startsWith("error ")) throw fail("vmm.shim_lost", { vm }, answer);
      return { wire: opened, answer };
    };
    try {
      if (limits.signal?.aborted) onAbort();
      return await Promise.race([stopped, talk()]);
    } catch (error) {
      isStopped = true;
      (wire as Wire | null)?.socket.destroy();
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
      for (let line: string | null = answer; line !== null; line = await wire.line()) {
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
