// One command in a guest, over a stream of kind `exec`: its input as it takes it, its output in order, and how it ended.
import { fail } from "../spec/errors.ts";
import { EXEC, EXEC_INPUT_WINDOW_BYTES } from "../spec/guest/exec.ts";
import { createMessageReader, type Message, renderMessage } from "../spec/guest/messages.ts";
import type { ClientStream } from "./stream.ts";

/** How it ended; `signal` is a number of Linux's. */
export type ExecEnd = { kind: "exit"; code: number } | { kind: "killed"; signal: number };

export type ExecRun = {
  /** Resolves when the command may be given more. */
  input(bytes: Uint8Array): Promise<void>;
  endInput(): Promise<void>;
  signal(number: number): Promise<void>;
  resize(size: { rows: number; columns: number }): Promise<void>;
  /** Errors: RemoteError, daemon.stream_ended, guest.protocol_error, and what `onOutput` throws, after which the command is ended. */
  readonly ended: Promise<ExecEnd>;
};

/** The exit code as a shell tells it. */
export const exitCodeOfEnd = (end: ExecEnd): number => (end.kind === "exit" ? end.code : 128 + end.signal);

/** Input is cut so that a signal never waits long behind it. */
const INPUT_PIECE_BYTES = 32 * 1024;

/** `onOutput` gets descriptor 1 or 2 and bytes that are valid during the call. */
export const runExec = (
  stream: ClientStream,
  options: { vm: string; onOutput: (descriptor: 1 | 2, bytes: Uint8Array) => void },
): ExecRun => {
  let underWayBytes = 0;
  let isOver = false;
  let taken: (() => void) | null = null;

  const broken = (detail: string) => fail("guest.protocol_error", { vm: options.vm, detail });

  const take = ({ tag, bytes }: Message): ExecEnd | null => {
    if (tag === EXEC.stdout || tag === EXEC.stderr) {
      options.onOutput(tag === EXEC.stdout ? 1 : 2, bytes);
    } else if (tag === EXEC.taken && bytes.length === 4) {
      underWayBytes -= new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true);
      if (underWayBytes < 0) throw broken("it took more input than there was");
      taken?.();
    } else if ((tag === EXEC.exit || tag === EXEC.killed) && bytes.length === 1) {
      const number = bytes[0] as number;
      return tag === EXEC.exit ? { kind: "exit", code: number } : { kind: "killed", signal: number };
    } else throw broken(`message ${tag} in a command's stream`);
    return null;
  };

  const follow = async (): Promise<ExecEnd> => {
    const reader = createMessageReader();
    let end: ExecEnd | null = null;
    try {
      for (let bytes = await stream.read(); bytes !== null; bytes = await stream.read()) {
        const messages = reader.push(bytes);
        if (messages === null) throw broken("a message beyond all measure");
        for (const message of messages) end = take(message) ?? end;
      }
      if (end === null) throw broken("a command's stream that ends without saying how");
      return end;
    } catch (error) {
      stream.abort();
      throw error;
    } finally {
      isOver = true;
      taken?.();
    }
  };

  const ended = follow();
  ended.catch(() => undefined);

  return {
    input: async (bytes) => {
      for (let at = 0; at < bytes.length && !isOver; ) {
        const room = Math.min(EXEC_INPUT_WINDOW_BYTES - underWayBytes, INPUT_PIECE_BYTES);
        if (room > 0) {
          const piece = bytes.subarray(at, at + room);
          underWayBytes += piece.length;
          at += piece.length;
          await stream.write(renderMessage(EXEC.stdin, piece));
          continue;
        }
        const { promise, resolve } = Promise.withResolvers<void>();
        taken = resolve;
        await promise;
      }
    },
    endInput: () => stream.write(renderMessage(EXEC.stdinEnd)),
    signal: (number) => stream.write(renderMessage(EXEC.signal, Uint8Array.of(number))),
    resize: ({ rows, columns }) =>
      stream.write(renderMessage(EXEC.resize, Uint8Array.of(rows & 0xff, rows >> 8, columns & 0xff, columns >> 8))),
    ended,
  };
};
