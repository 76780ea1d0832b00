// The commands on the daemon itself that must not start one: whether it runs, ending it, replacing it, its log.
import { closeSync, fstatSync, openSync, readSync, statSync } from "node:fs";
import { EXIT, fail } from "../spec/errors.ts";
import { sanitize } from "../spec/sanitize.ts";
import { watchInterrupt } from "./interrupt.ts";
import { printJson } from "./run-method.ts";
import type { Invocation, Session } from "./session.ts";

/** Refuses with daemon.not_running (exit code 6) when no daemon runs; never starts one. */
export const requireRunning = async (session: Session): Promise<void> => {
  if (await session.client.peek()) return;
  throw fail("daemon.not_running", { socket: session.paths().socket });
};

/** Ending a daemon that does not run succeeds: what was wanted is so. */
export const runDaemonStop = async (session: Session, { input, isJson }: Invocation): Promise<number> => {
  const running = await session.client.peek();
  const isStopped = await session.client.stop({ force: input.force === true });
  if (isJson) printJson(session, { pid: running?.pid ?? null, stopped: isStopped });
  else if (running) session.terminal.out(`bangerd (process ${running.pid}) is stopped; VMs go on running\n`);
  else session.terminal.out("bangerd was not running\n");
  return EXIT.ok;
};

export const runDaemonRestart = async (session: Session, { input, isJson }: Invocation): Promise<number> => {
  await session.client.stop({ force: input.force === true });
  const hello = await session.client.hello();
  if (isJson) printJson(session, hello);
  else session.terminal.out(`bangerd ${hello.version} runs as process ${hello.pid}; VMs were not touched\n`);
  return EXIT.ok;
};

const CHUNK_BYTES = 256 * 1024;
const POLL_MS = 200;

/** Reads what a log has from `offset` on, in pieces; answers where it ended. A log that became shorter was started anew. */
const readFrom = (path: string, offset: number, onBytes: (bytes: Uint8Array) => void): number => {
  let fd: number;
  try {
    fd = openSync(path, "r");
  } catch {
    return offset;
  }
  try {
    const bytes = Buffer.alloc(CHUNK_BYTES);
    let at = fstatSync(fd).size < offset ? 0 : offset;
    for (;;) {
      const length = readSync(fd, bytes, 0, bytes.length, at);
      if (length === 0) return at;
      onBytes(bytes.subarray(0, length));
      at += length;
    }
  } finally {
    closeSync(fd);
  }
};

const lastLines = (text: string, count: number): string => {
  const lines = text.split("\n");
  if (lines.at(-1) === "") lines.pop();
  return lines
    .slice(Math.max(0, lines.length - count))
    .map((line) => `${line}\n`)
    .join("");
};

const inodeOf = (path: string): number | null => {
  try {
    return statSync(path).ino;
  } catch {
    return null;
  }
};

const parseRecord = (line: string): Record<string, unknown> | null => {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : null;
  } catch {
    return null;
  }
};

/** A line of the log is a record, or what a daemon that could not start printed. */
const renderJsonLine = (line: string): string => JSON.stringify(parseRecord(line) ?? { message: line });

const renderLogLine = (line: string): string => {
  const record = parseRecord(line);
  if (!record) return sanitize(line);
  const { at, level, message, ...fields } = record;
  const rest = Object.entries(fields)
    .filter(([, value]) => value !== message)
    .map(([name, value]) => `${name}=${typeof value === "string" ? value : JSON.stringify(value)}`);
  return sanitize([at, String(level).padEnd(7), message, ...rest].join("  "));
};

/** Prints the daemon's log from its file, so that it can be read when the daemon cannot be started. */
export const runDaemonLogs = async (session: Session, { input, isJson }: Invocation): Promise<number> => {
  const path = session.paths().daemonLog;
  const { terminal } = session;
  let unfinished = "";
  const print = (text: string) => {
    const lines = (unfinished + text).split("\n");
    unfinished = lines.pop() ?? "";
    const shown = lines.filter((line) => line !== "").map(isJson ? renderJsonLine : renderLogLine);
    terminal.out(shown.map((line) => `${line}\n`).join(""));
  };
  // A piece may end within a letter.
  const decoder = new TextDecoder();
  const decode = (bytes: Uint8Array) => decoder.decode(bytes, { stream: true });
  let text = "";
  let offset = readFrom(path, 0, (bytes) => {
    text += decode(bytes);
  });
  if (text === "" && inodeOf(path) === null) terminal.err(`There is no log yet: ${path}\n`);
  print(typeof input.tail === "number" ? lastLines(text, input.tail) : text);
  if (input.follow !== true) return EXIT.ok;
  const interrupt = watchInterrupt(() => {}, { isCancellable: true });
  let inode = inodeOf(path);
  while (!interrupt.isInterrupted()) {
    await Bun.sleep(POLL_MS);
    const now = inodeOf(path);
    if (now !== inode) {
      // Moved aside by the daemon, with what it wrote there since the last look.
      if (inodeOf(`${path}.1`) === inode) readFrom(`${path}.1`, offset, (bytes) => print(decode(bytes)));
      offset = 0;
    }
    inode = now;
    offset = readFrom(path, offset, (bytes) => print(decode(bytes)));
  }
  interrupt.end();
  return EXIT.interrupted;
};
