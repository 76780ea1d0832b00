// Prints a bounded log file, and goes on with the live console where that is asked for.
import { offsetSince } from "../core/log-times.ts";
import type { FilePort } from "../host/host.ts";
import type { ShimControl } from "../host/shim.ts";
import { sanitise } from "./ready.ts";

/** What the shim replays at most before the live console: enough to find where the file ended. */
const REPLAY_BYTES = 65_536;
/** How much of the file's end is looked for in the replay. */
const OVERLAP_CHARACTERS = 2048;
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
  // The shim rotates into `.1`: the older half comes first.
  const raw = (await readHalf(files, `${log}.1`, null)) + (await readHalf(files, log, null));
  const wanted =
    sinceMs === null ? raw : (await readHalf(files, `${log}.1`, sinceMs)) + (await readHalf(files, log, sinceMs));
  const lines = toLines(wanted);
  const shown = tailLines === null ? lines : lines.slice(Math.max(0, lines.length - tailLines));
  for (const [at, line] of shown.entries()) {
    // A log has more lines than may wait for one reader.
    if (at % LINES_AT_ONCE === 0) await untilRoom();
    if (signal.aborted) return at;
    emit(line);
  }
  let count = shown.length;
  if (!shim) return count;

  const console = await shim.attach({ tailBytes: REPLAY_BYTES, signal });
  const stop = () => console.close();
  signal.addEventListener("abort", stop, { once: true });
  try {
    const decoder = new TextDecoder("utf-8", { fatal: false });
    let pending = "";
    let isFirst = true;
    for await (const chunk of console.output) {
      pending += decoder.decode(chunk, { stream: true });
      if (isFirst) {
        // The replay repeats what the file held; what follows the file's end in it is new.
        const end = raw.slice(-OVERLAP_CHARACTERS);
        const at = end === "" ? -1 : pending.lastIndexOf(end);
        if (at >= 0) pending = pending.slice(at + end.length);
        isFirst = false;
      }
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

/** One file of a log, from the moment on that is wanted, on whole lines. */
const readHalf = async (files: FilePort, path: string, sinceMs: number | null): Promise<string> => {
  const bytes = await files.readBytes(path);
  if (bytes === null) return "";
  const offset = sinceMs === null ? 0 : offsetSince((await files.read(`${path}.times`)) ?? "", sinceMs);
  return Buffer.from(bytes.subarray(Math.min(offset, bytes.length))).toString("utf8");
};

const toLines = (text: string): string[] => {
  const lines = sanitise(text).split("\n");
  if (lines.at(-1) === "") lines.pop();
  return lines;
};
