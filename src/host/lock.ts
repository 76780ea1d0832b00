// Locks between processes: flock(2) on a file, released by the kernel however its holder ends.
import { dlopen } from "bun:ffi";
import { closeSync, constants, ftruncateSync, openSync, readFileSync, writeSync } from "node:fs";
import { describeUnknown, fail } from "../spec/errors.ts";

const LOCK_EX = 2;
const LOCK_NB = 4;

let flock: ((fd: number, operation: number) => number) | null = null;

// Opened at the first use: the C library is not needed by most commands.
const loadFlock = () => {
  flock ??= dlopen("libc.so.6", { flock: { args: ["i32", "i32"], returns: "i32" } }).symbols.flock;
  return flock;
};

/** A held lock. The file stays: removing it would let two processes lock two files of one name. */
export type FileLock = { release(): void };

/** Takes the lock at once and writes our pid into the file, or null when another process (or descriptor) holds it. */
export const tryLockFile = (path: string): FileLock | null => {
  let fd: number;
  try {
    // O_CLOEXEC is what node:fs always adds: a shim that outlives us must not keep our lock.
    fd = openSync(path, constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW, 0o600);
  } catch (error) {
    throw fail("host.file_failed", { path, operation: "lock", detail: describeUnknown(error) }, error);
  }
  if (loadFlock()(fd, LOCK_EX | LOCK_NB) !== 0) {
    closeSync(fd);
    return null;
  }
  ftruncateSync(fd, 0);
  writeSync(fd, `${process.pid}\n`, 0);
  return { release: () => closeSync(fd) };
};

/** The pid that the holder wrote; null when the file is missing or empty. It proves nothing about a living process. */
export const readLockPid = (path: string): number | null => {
  try {
    const pid = Number.parseInt(readFileSync(path, "utf8"), 10);
    return Number.isInteger(pid) && pid > 0 ? pid : null;
  } catch {
    return null;
  }
};
