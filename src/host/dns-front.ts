// Starts banger-dns-front, which stands in front of the name server: what was answered before it says again by itself, the rest it passes on.
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describeUnknown, fail } from "../spec/errors.ts";
import { SYSTEM_PATH } from "./command.ts";

export type DnsFrontOptions = {
  host: string;
  port: number;
  /** Answers what is not remembered, which must depend on the query and the zone alone. Null: no answer. Must not throw. */
  answer: (query: Uint8Array, client: string) => Uint8Array | null;
  /** It has ended by itself, and nobody listens there any more. */
  onEnd: () => void;
};

export type DnsFront = {
  readonly port: number;
  /** What was answered so far is not said again, from this moment on. */
  forget(): void;
  /** Answers that it gave from memory, by RCODE. */
  remembered(): Readonly<Record<number, number>>;
  /** Queries and answers for which there was no room. */
  dropped(): number;
  /** Returns when it is gone, and the port is free. */
  close(): Promise<void>;
};

/** Listens, or rejects: with CannotBind where the system does not let it have the port, with something else where the program does not work. */
export type OpenDnsFront = (options: DnsFrontOptions) => Promise<DnsFront>;

/** What both sides have in memory, and the frames between them: native/dns-front/daemon.h. */
const BOARD_BYTES = 144;
const BOARD = { generation: 0, dropped: 1, answered: 2 };
const GREETING_BYTES = 8;
/** It binds and says so at once; one that says nothing is ended, and is then one that does not work. */
const GREETING_MS = 5000;
const ASK_HEADER = 8;
const ANSWER_HEADER = 16;
/** Longer ones are rare, and are worked out each time (native/dns-front/memory.h; the id is not part of a key). */
const KEPT = { queryBytes: 130, answerBytes: 512 };
const RCODES = 16;

/** `code` is what the system says: EADDRINUSE, EADDRNOTAVAIL, … */
export class CannotBind extends Error {
  override readonly name = "CannotBind";
  readonly code: string;
  constructor(code: string) {
    super(code);
    this.code = code;
  }
}

const errnoCodes: Readonly<Record<number, string>> = { 13: "EACCES", 98: "EADDRINUSE", 99: "EADDRNOTAVAIL" };

/**
 * Memory that is a file for as long as it takes the other side to find it. Zeros are written instead of a length being set: where a
 * file system is full that is an error here, and not a SIGBUS at the first look into a page that has no place.
 */
const makeBoard = (path: string): Uint8Array => {
  try {
    writeFileSync(path, new Uint8Array(BOARD_BYTES), { flag: "wx", mode: 0o600 });
    return Bun.mmap(path, { shared: true });
  } catch (error) {
    rmSync(path, { force: true });
    throw error;
  }
};

/** `answer` in a frame for the helper; a copy of the query goes along where it is to be remembered. */
const renderAnswer = (frame: Uint8Array, answer: Uint8Array, generation: number): Uint8Array => {
  const query = frame.subarray(ASK_HEADER);
  const isKept = query.length <= KEPT.queryBytes && answer.length <= KEPT.answerBytes;
  const kept = isKept ? query : query.subarray(0, 0);
  const bytes = new Uint8Array(ANSWER_HEADER + answer.length + kept.length);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, answer.length, true);
  view.setUint16(2, kept.length, true);
  // Port and address go back as they came.
  bytes.set(frame.subarray(2, 4), 4);
  bytes.set(frame.subarray(4, 8), 8);
  view.setUint32(12, generation, true);
  bytes.set(answer, ANSWER_HEADER);
  bytes.set(kept, ANSWER_HEADER + answer.length);
  return bytes;
};

/** Cuts a stream of octets into frames: a header, whose first two octets say how long the query is that follows it. */
const framesOf = (onFrame: (frame: Uint8Array) => void) => {
  let held = new Uint8Array(0);
  return (chunk: Uint8Array): void => {
    const bytes = held.length === 0 ? chunk : Buffer.concat([held, chunk]);
    let at = 0;
    while (bytes.length - at >= ASK_HEADER) {
      const end = at + ASK_HEADER + ((bytes[at] ?? 0) | ((bytes[at + 1] ?? 0) << 8));
      if (bytes.length < end) break;
      onFrame(bytes.subarray(at, end));
      at = end;
    }
    held = bytes.slice(at);
  };
};

export const createDnsFront = (given: { helper: string; directory: string }): OpenDnsFront => {
  let boards = 0;
  return async ({ host, port, answer, onEnd }) => {
    const path = join(given.directory, `dns-${process.pid}-${boards++}`);
    const board = makeBoard(path);
    const counters = new BigUint64Array(board.buffer, board.byteOffset, BOARD_BYTES / 8);
    const words = new Uint32Array(board.buffer, board.byteOffset, BOARD_BYTES / 4);
    let isClosed = false;
    const command = [given.helper, host, String(port), path];
    const spawn = () =>
      Bun.spawn(command, {
        env: { PATH: SYSTEM_PATH },
        cwd: "/",
        stdio: ["pipe", "pipe", "ignore"],
        // A Ctrl-C on the terminal of a daemon in the foreground is the daemon's to handle.
        detached: true,
      });
    let child: ReturnType<typeof spawn>;
    try {
      child = spawn();
    } catch (error) {
      rmSync(path, { force: true });
      throw fail("host.command_failed", { command, exitCode: null, stderr: describeUnknown(error) }, error);
    }
    child.unref();
    const reader = child.stdout.getReader();

    const late = setTimeout(() => child.kill("SIGKILL"), GREETING_MS);
    let greeting = new Uint8Array(0);
    while (greeting.length < GREETING_BYTES) {
      const { done, value } = await reader.read();
      if (done) break;
      greeting = Buffer.concat([greeting, value]);
    }
    clearTimeout(late);
    rmSync(path, { force: true });
    if (greeting.length < GREETING_BYTES) {
      throw fail("host.command_failed", { command, exitCode: await child.exited, stderr: "" });
    }
    const said = new DataView(greeting.buffer, greeting.byteOffset);
    const errno = said.getInt32(0, true);
    if (errno !== 0) throw new CannotBind(errnoCodes[errno] ?? `errno ${errno}`);

    let generation = 0;
    const take = framesOf((frame) => {
      const client = frame.subarray(4, 8).join(".");
      const bytes = answer(frame.subarray(ASK_HEADER), client);
      if (bytes) child.stdin.write(renderAnswer(frame, bytes, generation));
    });
    const read = async (): Promise<void> => {
      take(greeting.subarray(GREETING_BYTES));
      for (;;) {
        const { done, value } = await reader.read();
        if (done) return;
        take(value);
        child.stdin.flush();
      }
    };
    void read()
      .catch(() => {})
      .finally(() => {
        if (!isClosed) onEnd();
      });

    return {
      port: said.getUint32(4, true),
      forget: () => {
        generation = (generation + 1) >>> 0;
        Atomics.store(words, BOARD.generation, generation);
      },
      remembered: () => {
        const counts: Record<number, number> = {};
        for (let rcode = 0; rcode < RCODES; rcode++) {
          const count = Number(counters[BOARD.answered + rcode] ?? 0n);
          if (count > 0) counts[rcode] = count;
        }
        return counts;
      },
      dropped: () => Number(counters[BOARD.dropped] ?? 0n),
      close: async () => {
        isClosed = true;
        child.kill("SIGKILL");
        await child.exited;
      },
    };
  };
};
