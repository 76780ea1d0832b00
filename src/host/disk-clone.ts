// Makes a VM's disk out of an image: shares its blocks where the file system can, else copies what is not a hole.
import { chmod, rename, rm, stat, statfs, truncate } from "node:fs/promises";
import { dirname } from "node:path";
import { describeUnknown, fail, isBangerError } from "../spec/errors.ts";
import { runCommand } from "./command.ts";
import type { CloneRequest, CloneResult } from "./host.ts";

const MIB = 1024 * 1024;
const COPY_TIMEOUT_MS = 15 * 60_000;
/** Left free on the host, so that filling a disk does not stop the host's own work. */
const RESERVE_MIB = 64;

// File systems that share no blocks: asking again costs 2 ms of every VM.
const withoutReflink = new Set<number>();

/** Whether what `cp --reflink=always` said means that this file system shares no blocks (ioctl_ficlone(2)); any other failure, of a full disk say, passes. Pure. */
export const isReflinkLacking = (stderr: string): boolean =>
  /failed to clone .*: (Operation not supported|Inappropriate ioctl for device|Function not implemented|Invalid cross-device link|Invalid argument)$/m.test(
    stderr,
  );

type Copy = { from: string; to: string; signal: AbortSignal | undefined };

const copyWith = (flags: readonly string[], { from, to, signal }: Copy) =>
  runCommand({
    argv: ["/bin/cp", ...flags, "--", from, to],
    timeoutMs: COPY_TIMEOUT_MS,
    package: "coreutils",
    ...(signal ? { signal } : {}),
  });

const noSpace = (path: string, sizes: { neededMiB: number; freeMiB: number }) =>
  fail("host.no_space", { path: dirname(path), ...sizes });

const copy = async (request: Copy): Promise<CloneResult["method"]> => {
  const { from, to } = request;
  const source = await stat(from);
  const { dev } = await stat(dirname(to));
  if (source.dev === dev && !withoutReflink.has(dev)) {
    const shared = await copyWith(["--reflink=always"], request);
    if (shared.exitCode === 0) return "reflink";
    if (isReflinkLacking(shared.stderr)) withoutReflink.add(dev);
  }
  const neededMiB = Math.ceil((source.blocks * 512) / MIB) + RESERVE_MIB;
  const { bavail, bsize } = await statfs(dirname(to));
  const freeMiB = Math.floor((bavail * bsize) / MIB);
  if (freeMiB < neededMiB) throw noSpace(to, { neededMiB, freeMiB });
  // `auto` follows the extents (SEEK_DATA) and never looks into the data. Measured on ext4, 271 MiB in 3000 extents: this and
  // `always` 0.11 s, lseek and copy_file_range of our own 0.13 s, dd conv=sparse 0.6 s and more; the first, cold, 0.4 to 0.8 s.
  const copied = await copyWith(["--sparse=auto", "--reflink=never"], request);
  if (copied.exitCode === 0) return "sparse";
  if (/No space left|quota exceeded/i.test(copied.stderr)) throw noSpace(to, { neededMiB, freeMiB });
  throw fail("host.file_failed", { path: to, operation: "copy", detail: copied.stderr.trim() });
};

/** See FilePort.cloneDisk. In another process, since a copy of 300 MiB would hold up the daemon for a tenth of a second and more. */
export const cloneDisk = async ({ from, to, sizeMiB, signal }: CloneRequest): Promise<CloneResult> => {
  const startedMs = performance.now();
  // One fixed name, so that what a crash leaves is found and replaced.
  const part = `${to}.part`;
  try {
    const { size } = await stat(from);
    if (size > sizeMiB * MIB)
      throw new RangeError(`the image has ${Math.ceil(size / MIB)} MiB, more than ${sizeMiB} MiB`);
    if (await Bun.file(to).exists()) throw new RangeError("it exists already");
    await rm(part, { force: true });
    const method = await copy({ from, to: part, signal });
    await truncate(part, sizeMiB * MIB);
    await chmod(part, 0o600);
    signal?.throwIfAborted();
    await rename(part, to);
    return { method, ms: performance.now() - startedMs };
  } catch (error) {
    await rm(part, { force: true }).catch(() => {});
    if (isBangerError(error)) throw error;
    if (signal?.aborted) throw fail("operation.cancelled", { operation: "copying the disk" }, error);
    throw fail("host.file_failed", { path: to, operation: "make", detail: describeUnknown(error) }, error);
  }
};
