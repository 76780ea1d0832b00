// What is said in a stream of kind `exec` (docs/guest.md §2): the fields that open it and the tags of its messages.
import type { Fields } from "./fields.ts";
import { FRAME_PAYLOAD_MAX_BYTES } from "./protocol.ts";

export const EXEC = {
  /** From the host. */
  stdin: 1,
  stdinEnd: 2,
  /** `u16 rows, u16 columns`. */
  resize: 3,
  /** `u8`: the number of a signal. */
  signal: 4,
  /** From the guest. */
  stdout: 17,
  stderr: 18,
  /** `u32`: so much input has gone to the command since the last time. */
  taken: 19,
  /** `u8`. */
  exit: 20,
  /** `u8`: the number of the signal that ended it. */
  killed: 21,
} as const;

/** So much input may be under way that the guest has not told to be taken. Everything else always gets through. */
export const EXEC_INPUT_WINDOW_BYTES = 128 * 1024;

/** What fits in OPEN beside its own fields. */
export const EXEC_FIELDS_MAX_BYTES = FRAME_PAYLOAD_MAX_BYTES - 1024;

export type ExecRequest = {
  /** Empty: the user's login shell. */
  argv: readonly string[];
  /** Name or number of an account. */
  user: string;
  /** Relative to the user's home; the home when absent. */
  workdir?: string;
  env?: Readonly<Record<string, string>>;
  /** Gives the command a terminal of this size. */
  terminal?: { rows: number; columns: number; type: string };
};

export const execFields = (request: ExecRequest): Fields => {
  const { argv, user, workdir, env = {}, terminal } = request;
  return {
    user,
    ...(workdir === undefined ? {} : { workdir }),
    ...(terminal
      ? { tty: "1", rows: String(terminal.rows), cols: String(terminal.columns), term: terminal.type }
      : { tty: "0" }),
    ...Object.fromEntries(argv.map((word, index) => [`arg.${index}`, word])),
    ...Object.fromEntries(Object.entries(env).map(([key, value], index) => [`env.${index}`, `${key}=${value}`])),
  };
};
