// Runs one program to its end: argv, a clean environment, capped output, and a deadline that holds for all it started.
import { fail } from "../spec/errors.ts";
import type { CommandRequest, CommandResult } from "./host.ts";
import { shellExitCode } from "./process.ts";

export const SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/** How long a program that was asked to end (SIGTERM) may take before it is killed. */
const TERM_GRACE_MS = 2000;
/** How long output may still come after the program has ended, when a child of it keeps the pipe open. */
const DRAIN_MS = 500;

/** Keeps the first and the last half of `keepBytes` of a stream, and hands on whole lines. */
const createCapture = (keepBytes: number, onLine?: (line: string) => void) => {
  const half = Math.floor(keepBytes / 2);
  const decoder = new TextDecoder();
  let head = "";
  let tail = "";
  let dropped = 0;
  let line = "";
  const keep = (text: string) => {
    const room = half - head.length;
    if (room > 0) head += text.slice(0, room);
    tail += text.slice(Math.max(room, 0));
    if (tail.length > half * 2) {
      dropped += tail.length - half;
      tail = tail.slice(-half);
    }
  };
  const take = (text: string) => {
    keep(text);
    if (!onLine) return;
    const parts = (line + text).split("\n");
    line = parts.pop() ?? "";
    // A line without end must not grow without end.
    if (line.length > 65_536) parts.push(line.slice(0, 65_536));
    if (line.length > 65_536) line = "";
    for (const part of parts) onLine(part);
  };
  return {
    write: (chunk: Uint8Array) => take(decoder.decode(chunk, { stream: true })),
    end: () => {
      take(decoder.decode());
      if (onLine && line !== "") onLine(line);
    },
    text: () => {
      const over = Math.max(tail.length - half, 0);
      const cut = dropped + over;
      return cut > 0 ? `${head}\n[… ${cut} characters left out …]\n${tail.slice(over)}` : head + tail;
    },
  };
};

const drain = async (stream: ReadableStream<Uint8Array>, write: (chunk: Uint8Array) => void, stop: AbortSignal) => {
  const reader = stream.getReader();
  const onStop = () => void reader.cancel().catch(() => {});
  stop.addEventListener("abort", onStop, { once: true });
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    write(value);
  }
};

/** Ends a whole process group; a group that is gone is what was wanted. */
const signalGroup = (pid: number, signal: NodeJS.Signals) => {
  try {
    process.kill(-pid, signal);
  } catch {}
};

const spawn = (request: CommandRequest) => {
  const { argv } = request;
  try {
    return Bun.spawn([...argv], {
      env: { PATH: SYSTEM_PATH, HOME: process.env.HOME ?? "/", LC_ALL: "C", ...request.env },
      ...(request.cwd === undefined ? {} : { cwd: request.cwd }),
      stdin:
        request.stdin === undefined
          ? "ignore"
          : typeof request.stdin === "string"
            ? Buffer.from(request.stdin)
            : request.stdin,
      stdout: "pipe",
      stderr: "pipe",
      // A session of its own, so that the deadline reaches its children and a Ctrl-C on our terminal does not.
      detached: true,
    });
  } catch (error) {
    const command = argv[0] ?? "";
    if ((error as { code?: string }).code === "ENOENT") {
      throw fail("host.command_missing", { command, package: request.package ?? command.split("/").pop() ?? command });
    }
    throw fail(
      "host.command_failed",
      { command: argv, exitCode: null, stderr: String((error as Error).message) },
      error,
    );
  }
};

/** See ProcessPort.runCommand. */
export const runCommand = async (request: CommandRequest): Promise<CommandResult> => {
  const { argv, timeoutMs, signal, onLine, keepBytes = 1024 * 1024 } = request;
  if (signal?.aborted) throw fail("operation.cancelled", { operation: argv[0] ?? "" });
  const child = spawn(request);
  const stdout = createCapture(keepBytes, onLine && ((line) => onLine(line, "stdout")));
  const stderr = createCapture(keepBytes, onLine && ((line) => onLine(line, "stderr")));
  const stopReading = new AbortController();
  let ended: "timeout" | "cancelled" | null = null;
  let killTimer: Timer | undefined;
  const end = (why: "timeout" | "cancelled") => {
    if (ended) return;
    ended = why;
    signalGroup(child.pid, "SIGTERM");
    killTimer = setTimeout(() => signalGroup(child.pid, "SIGKILL"), TERM_GRACE_MS);
  };
  const onAbort = () => end("cancelled");
  const timer = setTimeout(() => end("timeout"), timeoutMs);
  signal?.addEventListener("abort", onAbort, { once: true });
  const reading = Promise.all([
    drain(child.stdout, stdout.write, stopReading.signal),
    drain(child.stderr, stderr.write, stopReading.signal),
  ]);
  await child.exited;
  clearTimeout(timer);
  clearTimeout(killTimer);
  signal?.removeEventListener("abort", onAbort);
  // What it left running after a deadline is ended too; after a normal end its children are its own affair.
  if (ended) signalGroup(child.pid, "SIGKILL");
  const drainTimer = setTimeout(() => stopReading.abort(), DRAIN_MS);
  await reading.finally(() => clearTimeout(drainTimer));
  stdout.end();
  stderr.end();
  if (ended === "timeout") throw fail("operation.timeout", { operation: argv[0] ?? "", waitedMs: timeoutMs });
  if (ended === "cancelled") throw fail("operation.cancelled", { operation: argv[0] ?? "" });
  return { stdout: stdout.text(), stderr: stderr.text(), exitCode: shellExitCode(child.exitCode, child.signalCode) };
};

/** Runs a command that must succeed; any other exit code is host.command_failed with the tail of its stderr. */
export const requireCommand = async (request: CommandRequest): Promise<CommandResult> => {
  const result = await runCommand(request);
  if (result.exitCode === 0) return result;
  throw fail("host.command_failed", {
    command: request.argv,
    exitCode: result.exitCode,
    stderr: result.stderr.trim().slice(-2000),
  });
};
