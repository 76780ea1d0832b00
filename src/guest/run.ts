// Runs one command in a guest for the daemon itself, over a stream of kind `exec`: input at once, output in whole lines.
import { fail } from "../spec/errors.ts";
import { EXEC, EXEC_INPUT_WINDOW_BYTES, type ExecRequest, execFields } from "../spec/guest/exec.ts";
import { createMessageReader, type Message, renderMessage } from "../spec/guest/messages.ts";
import type { GuestChannel } from "./channel.ts";

export type GuestRun = ExecRequest & {
  vm: string;
  input?: Uint8Array;
  timeoutMs: number;
  signal: AbortSignal;
  /** A line of either output, as the guest wrote it: not sanitised. */
  onLine?: (line: string) => void;
};

/** A line that does not end is cut here: the guest decides how much it writes. */
const LINE_CHARACTERS_MAX = 4096;

const lineReader = (onLine: (line: string) => void) => {
  const decoder = new TextDecoder();
  let held = "";
  return {
    push: (bytes: Uint8Array) => {
      const lines = (held + decoder.decode(bytes, { stream: true })).split("\n");
      held = lines.pop() ?? "";
      if (held.length > LINE_CHARACTERS_MAX) {
        lines.push(held);
        held = "";
      }
      for (const line of lines) onLine(line.slice(0, LINE_CHARACTERS_MAX));
    },
    end: () => {
      if (held !== "") onLine(held);
      held = "";
    },
  };
};

/** Answers the exit code as a shell tells it. Errors: operation.timeout, the signal's reason, guest.protocol_error, and those of the stream. */
export const runInGuest = async (channel: GuestChannel, run: GuestRun): Promise<number> => {
  const { vm, input = new Uint8Array(0), timeoutMs } = run;
  run.signal.throwIfAborted();
  const broken = (detail: string) => fail("guest.protocol_error", { vm, detail });
  const late = AbortSignal.timeout(timeoutMs);
  const signal = AbortSignal.any([run.signal, late]);
  const stream = await channel.open("exec", execFields(run));
  const leave = () => stream.abort("not wanted any more");
  signal.addEventListener("abort", leave, { once: true });
  if (signal.aborted) leave();

  const readers = {
    [EXEC.stdout]: lineReader(run.onLine ?? (() => {})),
    [EXEC.stderr]: lineReader(run.onLine ?? (() => {})),
  };
  let underWayBytes = 0;
  let taken: (() => void) | null = null;
  let exitCode: number | null = null;

  const take = ({ tag, bytes }: Message): void => {
    if (tag === EXEC.stdout || tag === EXEC.stderr) readers[tag].push(bytes);
    else if (tag === EXEC.taken && bytes.length === 4) {
      underWayBytes -= new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true);
      taken?.();
    } else if (tag === EXEC.exit && bytes.length === 1) exitCode = bytes[0] as number;
    else if (tag === EXEC.killed && bytes.length === 1) exitCode = 128 + (bytes[0] as number);
    else throw broken(`message ${tag} in a command's stream`);
  };

  const feed = async (): Promise<void> => {
    const writer = stream.writable.getWriter();
    for (let at = 0; at < input.length && exitCode === null; ) {
      const room = EXEC_INPUT_WINDOW_BYTES - underWayBytes;
      if (room > 0) {
        // A piece must fit into one message.
        const piece = input.subarray(at, at + Math.min(room, EXEC_INPUT_WINDOW_BYTES / 4));
        underWayBytes += piece.length;
        at += piece.length;
        await writer.write(renderMessage(EXEC.stdin, piece));
        continue;
      }
      const { promise, resolve } = Promise.withResolvers<void>();
      taken = resolve;
      await promise;
    }
    await writer.write(renderMessage(EXEC.stdinEnd));
  };

  // A command that reads nothing may end before it has all: that is no failure.
  feed().catch(() => {});
  try {
    const reader = createMessageReader();
    for await (const bytes of stream.readable) {
      const messages = reader.push(bytes);
      if (messages === null) throw broken("a message beyond all measure");
      for (const message of messages) take(message);
    }
    if (exitCode === null) throw broken("a command's stream that ends without saying how");
    for (const { end } of Object.values(readers)) end();
    return exitCode;
  } catch (error) {
    stream.abort("it went wrong");
    run.signal.throwIfAborted();
    if (late.aborted) throw fail("operation.timeout", { operation: `${run.argv[0]} in ${vm}`, waitedMs: timeoutMs });
    throw error;
  } finally {
    signal.removeEventListener("abort", leave);
    (taken as (() => void) | null)?.();
  }
};
