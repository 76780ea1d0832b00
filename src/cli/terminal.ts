// Where the command line writes: plain writes to the descriptors, and what each of them can show.
import { fstatSync, writeSync } from "node:fs";

// process.stdout and process.stderr cost 12–18 ms to touch, and lose output at exit (STACK §1i.7): descriptors only.

export type Terminal = {
  /** What the command is for: data, and what people read instead of it. */
  out: (text: string) => void;
  /** What is said beside it: progress, notes, errors. */
  err: (text: string) => void;
  isInTty: boolean;
  isOutTty: boolean;
  isErrTty: boolean;
  /** Colours are wanted on stdout, on stderr. */
  hasOutColor: boolean;
  hasErrColor: boolean;
  /** Lines may be redrawn on stderr. */
  canRedraw: boolean;
};

/** Thrown when whoever read our output has gone away. */
export class ReaderGone extends Error {
  override readonly name = "ReaderGone";
}

/** 128 + SIGPIPE: what a program ends with whose reader went away. */
export const EXIT_READER_GONE = 141;

const pause = new Int32Array(new SharedArrayBuffer(4));

/** Writes all of it, also to a pipe that is full or was made non-blocking by someone who shares it. */
export const writeAll = (fd: number, text: string | Uint8Array): void => {
  const bytes = typeof text === "string" ? Buffer.from(text) : text;
  for (let offset = 0; offset < bytes.length; ) {
    try {
      offset += writeSync(fd, bytes, offset);
    } catch (error) {
      const { code } = error as { code?: string };
      if (code === "EPIPE" || code === "EIO") throw new ReaderGone();
      if (code !== "EAGAIN" && code !== "EINTR") throw error;
      Atomics.wait(pause, 0, 0, 2);
    }
  }
};

type Environment = Readonly<Record<string, string | undefined>>;

/** https://no-color.org and https://force-color.org: set and not empty counts; a dumb terminal has neither colours nor cursor. */
export const decideColor = (env: Environment, isTty: boolean): boolean => {
  if (env.NO_COLOR) return false;
  if (env.FORCE_COLOR) return env.FORCE_COLOR !== "0" && env.FORCE_COLOR !== "false";
  return isTty && env.TERM !== "dumb";
};

/** Major numbers of devices (kernel, admin-guide/devices.txt): memory, as /dev/null, and the terminals of programs. */
const MEMORY_MAJOR = 1;
const PSEUDO_TERMINAL_MAJORS = { first: 136, last: 143 };

/** As isatty(3). What a device's number tells is not asked of node:tty, whose loading costs a millisecond of a command's eight. */
export const isTerminal = (fd: number): boolean => {
  try {
    const stat = fstatSync(fd);
    if (!stat.isCharacterDevice()) return false;
    const major = (stat.rdev >> 8) & 0xfff;
    if (major === MEMORY_MAJOR) return false;
    if (major >= PSEUDO_TERMINAL_MAJORS.first && major <= PSEUDO_TERMINAL_MAJORS.last) return true;
  } catch {
    return false;
  }
  return process.getBuiltinModule("node:tty").isatty(fd);
};

export const openTerminal = (env: Environment): Terminal => {
  const [isInTty, isOutTty, isErrTty] = [isTerminal(0), isTerminal(1), isTerminal(2)];
  return {
    out: (text) => writeAll(1, text),
    err: (text) => {
      // Losing a note is no reason to lose the work.
      try {
        writeAll(2, text);
      } catch {}
    },
    isInTty,
    isOutTty,
    isErrTty,
    hasOutColor: decideColor(env, isOutTty),
    hasErrColor: decideColor(env, isErrTty),
    canRedraw: isErrTty && env.TERM !== "dumb",
  };
};
