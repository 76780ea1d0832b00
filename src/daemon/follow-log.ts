// Prints a bounded log file, and goes on with the live console where that is asked for.
import { offsetSince } from "../core/log-times.ts";
import type { FilePort } from "../host/host.ts";
import type { ShimControl } from "../host/shim.ts";
import { sanitise } from "./ready.ts";

/** What the shim replays at most before the live console: enough to find where the file ended. */
const REPLAY_BYTES = 65_536;
/** What was written to the file meanwhile and is left to the replay, with room for what still comes. */
const LEFT_TO_REPLAY_BYTES = REPLAY_BYTES / 2;
/** How much of the file's end is looked for in the replay. */
const OVERLAP_BYTES = 2048;
/** The replay comes at once, though in parts; longer than this nobody waits for one that is shorter than the file. */
const REPLAY_TIMEOUT_MS = 1000;
const NEWLINE = 10;
const LONGEST_LINE = 64 * 1024;
const LINES_AT_ONCE = 1000;

export type LogRequest = {
  path: string;
  isPrevious: boolean;
  tailLines: number | null;
  /** Only what was written from this moment on, unix ms; null: everything. */
  sinceMs: number | null;
  /** Where to go on when the file has been printed; null: end there. */
  shim: ShimControl | null;
  signal: AbortSignal;
  files: FilePort;
};

export type LogReader = { emit: (text: string) => void; untilRoom: () => Promise<void> };

/** Emits whole lines without control characters; answers how many. */
export const followLog = async (request: LogRequest, { emit, untilRoom }: LogReader): Promise<number> => {
  const { files, path, isPrevious, tailLines, sinceMs, shim, signal } = request;
  const log = isPrevious ? `${path}.previous` : path;
  let count = 0;
  /** A log has more lines than may wait for one reader. False when he is gone. */
  const tell = async (lines: readonly string[]): Promise<boolean> => {
    for (const [at, line] of lines.entries()) {
      if (at % LINES_AT_ONCE === 0) await untilRoom();
      if (signal.aborted) return false;
      emit(line);
      count++;
    }
    return true;
  };

  let told = await readLog(files, log, null);
  const lines = toLines((sinceMs === null ? told : await readLog(files, log, sinceMs)).toString("utf8"));
  const isThere = await tell(tailLines === null ? lines : lines.slice(Math.max(0, lines.length - tailLines)));
  if (!isThere || !shim) return count;
  // While a slow reader took that, more may have come than the shim can replay.
  for (;;) {
    const now = await readLog(files, log, null);
    const fresh = beyond(told, now);
    const whole = fresh.lastIndexOf(NEWLINE) + 1;
    if (fresh.length <= LEFT_TO_REPLAY_BYTES || whole === 0) break;
    if (!(await tell(toLines(fresh.subarray(0, whole).toString("utf8"))))) return count;
    told = now.subarray(0, now.length - (fresh.length - whole));
  }

  const console = await shim.attach({ tailBytes: REPLAY_BYTES, signal });
  const stop = () => console.close();
  signal.addEventListener("abort", stop, { once: true });
  try {
    const decoder = new TextDecoder("utf-8", { fatal: false });
    let pending = "";
    for await (const chunk of afterFile(console.output, told)) {
      pending += decoder.decode(chunk, { stream: true });
      const cut = pending.length > LONGEST_LINE ? pending.length : pending.lastIndexOf("\n") + 1;
      for (const line of toLines(pending.slice(0, cut))) {
        emit(line);
        count++;
      }
      pending = pending.slice(cut);
    }
  } finally {
    signal.removeEventListener("abort", stop);
    console.close();
  }
  return count;
};

/** What `now` has that `before` had not; all of it when the shim has begun anew since. */
const beyond = (before: Buffer, now: Buffer): Buffer => {
  if (now.subarray(0, before.length).equals(before)) return now.subarray(before.length);
  return afterEnd(before, now);
};

const afterEnd = (before: Buffer, now: Buffer): Buffer => {
  const end = before.subarray(-OVERLAP_BYTES);
  const at = end.length === 0 ? -1 : now.lastIndexOf(end);
  return at < 0 ? now : now.subarray(at + end.length);
};

/** The console without what its replay repeats of the file: that is looked for when all of it has come. */
async function* afterFile(output: AsyncIterable<Uint8Array>, file: Buffer): AsyncGenerator<Uint8Array, void> {
  const chunks = output[Symbol.asyncIterator]();
  const late = Promise.withResolvers<null>();
  const timer = setTimeout(late.resolve, REPLAY_TIMEOUT_MS, null);
  let replay = Buffer.alloc(0);
  let coming = chunks.next();
  while (replay.length < Math.min(REPLAY_BYTES, file.length)) {
    const got = await Promise.race([coming, late.promise]);
    if (got === null || got.done) break;
    replay = Buffer.concat([replay, got.value]);
    coming = chunks.next();
  }
  clearTimeout(timer);
  yield afterEnd(file, replay);
  for (let got = await coming; !got.done; got = await chunks.next()) yield got.value;
}

/** Both halves of a log, the older first: the shim rotates into `.1`. */
const readLog = async (files: FilePort, log: string, sinceMs: number | null): Promise<Buffer> =>
  Buffer.concat([await readHalf(files, `${log}.1`, sinceMs), await readHalf(files, log, sinceMs)]);

/** One file of a log, from the moment on that is wanted, on whole lines. */
const readHalf = async (files: FilePort, path: string, sinceMs: number | null): Promise<Uint8Array> => {
  const bytes = await files.readBytes(path);
  if (bytes === null) return new Uint8Array();
  const offset = sinceMs === null ? 0 : offsetSince((await files.read(`${path}.times`)) ?? "", sinceMs);
  return bytes.subarray(Math.min(offset, bytes.length));
};

const toLines = (text: string): string[] => {
  const lines = sanitise(text).split("\n");
  if (lines.at(-1) === "") lines.pop();
  return lines;
};
