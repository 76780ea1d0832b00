// Starting programs for people: the daemon in the background, ssh on their own terminal.
import { closeSync, openSync } from "node:fs";

// The CLI imports this file at each start: nothing here may load more than it needs.

const signalNumbers: Record<string, number> = {
  SIGHUP: 1,
  SIGINT: 2,
  SIGQUIT: 3,
  SIGKILL: 9,
  SIGPIPE: 13,
  SIGTERM: 15,
};

/** The exit code as a shell tells it: 128+n after signal n (POSIX, 2.8.2). */
export const shellExitCode = (exitCode: number | null, signal: string | number | null): number =>
  exitCode ?? 128 + (typeof signal === "number" ? signal : (signalNumbers[signal ?? ""] ?? 0));

export type DetachedRequest = {
  argv: readonly string[];
  argv0?: string;
  env: Readonly<Record<string, string | undefined>>;
  cwd: string;
  /** Takes stdout and stderr, appended; made with 0600. */
  logPath: string;
};

/** Starts a program in a session of its own that outlives us and our terminal; answers its pid, when it has ended, and a way to end it. */
export const spawnDetached = ({ argv, argv0, env, cwd, logPath }: DetachedRequest) => {
  const log = openSync(logPath, "a", 0o600);
  try {
    const child = Bun.spawn([...argv], {
      ...(argv0 === undefined ? {} : { argv0 }),
      env: { ...env },
      cwd,
      stdio: ["ignore", log, log],
      detached: true,
    });
    child.unref();
    return {
      pid: child.pid,
      exited: child.exited.then(() => shellExitCode(child.exitCode, child.signalCode)),
      /** SIGTERM while it is still our child, so that its pid can be nobody else's. */
      end: (): void => {
        if (child.exitCode === null && child.signalCode === null) child.kill("SIGTERM");
      },
    };
  } finally {
    closeSync(log);
  }
};

/**
 * Runs a program on the user's own terminal and answers its exit code, 128+n after signal n. Signals that reach us are handed on
 * and never end us before it. A Ctrl-C reaches the program twice then, once from the terminal: ssh minds the first one alone.
 */
export const runOnTerminal = async (
  argv: readonly string[],
  options: { env?: Readonly<Record<string, string | undefined>> } = {},
): Promise<number> => {
  let child: Bun.Subprocess | null = null;
  const handOn = (signal: NodeJS.Signals) => void child?.kill(signal);
  const handed: NodeJS.Signals[] = ["SIGINT", "SIGQUIT", "SIGTERM", "SIGHUP"];
  // Before the program runs: a signal that comes with its first breath must not end us and leave it behind.
  for (const signal of handed) process.on(signal, handOn);
  try {
    child = Bun.spawn([...argv], {
      ...(options.env ? { env: { ...options.env } } : {}),
      stdio: ["inherit", "inherit", "inherit"],
    });
    await child.exited;
    return shellExitCode(child.exitCode, child.signalCode);
  } finally {
    for (const signal of handed) process.off(signal, handOn);
  }
};

export type CarriedProgram = {
  /** Types into it. */
  write: (bytes: Uint8Array) => void;
  resize: (size: { columns: number; rows: number }) => void;
  /** The exit code, 128+n after signal n, once everything it wrote was handed over. */
  exited: Promise<number>;
};

/** How long what a program wrote last may take to arrive after its end. */
const LAST_OUTPUT_MS = 300;

/**
 * Runs a program on a terminal of its own, which the caller carries to and from the user's: for one who has been reading the
 * user's terminal. Of two readers each gets some of the keys, and Bun has no way to stop the first one (a read under way stays).
 */
export const carryOnTerminal = (request: {
  argv: readonly string[];
  columns: number;
  rows: number;
  onOutput: (bytes: Uint8Array) => void;
}): CarriedProgram => {
  const { promise: ended, resolve } = Promise.withResolvers<void>();
  const terminal = new Bun.Terminal({
    cols: request.columns,
    rows: request.rows,
    name: process.env.TERM ?? "xterm",
    data: (_, bytes) => request.onOutput(bytes),
    exit: () => resolve(),
  });
  const child = Bun.spawn([...request.argv], { terminal });
  const finish = async (): Promise<number> => {
    await child.exited;
    await Promise.race([ended, Bun.sleep(LAST_OUTPUT_MS)]);
    terminal.close();
    return shellExitCode(child.exitCode, child.signalCode);
  };
  return {
    write: (bytes) => void terminal.write(bytes),
    resize: ({ columns, rows }) => terminal.resize(columns, rows),
    exited: finish(),
  };
};

/**
 * How often it looks for garbage when nothing happens, in milliseconds; allocations ask for it whenever they need it. At its default
 * of a second that is most of what an idle program of ours does.
 */
const IDLE_GC_MS = 10_000;

export const RESTING_RUNTIME = { BUN_GC_TIMER_INTERVAL: String(IDLE_GC_MS) } as const;

/** Begins this program anew, in the same process and with the same words, with a runtime that rests; returns where it does so already, or cannot. */
export const beginAnewResting = (words: readonly string[]): void => {
  const [[name, value]] = Object.entries(RESTING_RUNTIME) as [[string, string]];
  if (process.env[name] !== undefined || process.execve === undefined) return;
  try {
    process.execve(process.execPath, [process.argv0, ...words], { ...process.env, [name]: value });
  } catch {
    // An executable that was replaced or taken away since: this one goes on, only less restful.
  }
};
