// Files as the user who runs the daemon: written whole or not at all, removed only where they are ours.
import { constants } from "node:fs";
import {
  access,
  lstat,
  mkdir,
  open,
  readdir,
  readlink,
  realpath,
  rename,
  rm,
  stat,
  statfs,
  truncate,
  unlink,
} from "node:fs/promises";
import { dirname, normalize, resolve } from "node:path";
import { describeUnknown, fail } from "../spec/errors.ts";
import { cloneDisk } from "./disk-clone.ts";
import type { FileEntry, FilePort } from "./host.ts";

const MIB = 1024 * 1024;
const MAX_READ_BYTES = 16 * MIB;

const codeOf = (error: unknown): string | undefined => (error as { code?: string }).code;
const isMissing = (error: unknown) => codeOf(error) === "ENOENT" || codeOf(error) === "ENOTDIR";

/** Free space for this user on the file system of `path` or of its nearest existing parent, MiB. */
export const freeMiBAt = async (path: string): Promise<number> => {
  for (let at = path; ; at = dirname(at)) {
    try {
      const { bavail, bsize } = await statfs(at);
      return Math.floor((bavail * bsize) / MIB);
    } catch (error) {
      if (!isMissing(error) || at === "/") throw fileFailure({ path, operation: "look at", error });
    }
  }
};

/** Any error of a file operation in our words; one for a full disk is made by the caller, who knows how much was needed. */
const fileFailure = (options: { path: string; operation: string; error: unknown }) =>
  fail(
    "host.file_failed",
    { path: options.path, operation: options.operation, detail: describeUnknown(options.error) },
    options.error,
  );

const attempt = async <Result>(path: string, operation: string, work: () => Promise<Result>): Promise<Result> => {
  try {
    return await work();
  } catch (error) {
    throw fileFailure({ path, operation, error });
  }
};

const orNull = async <Result>(path: string, work: () => Promise<Result>): Promise<Result | null> => {
  try {
    return await work();
  } catch (error) {
    if (isMissing(error)) return null;
    throw fileFailure({ path, operation: "read", error });
  }
};

let temporaryCount = 0;

const writeAtomic: FilePort["writeAtomic"] = async (path, content, mode) => {
  temporaryCount += 1;
  const temporary = `${path}.tmp-${process.pid}-${temporaryCount}`;
  const bytes = typeof content === "string" ? Buffer.from(content) : content;
  try {
    const file = await open(
      temporary,
      constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW,
      0o600,
    );
    try {
      await file.writeFile(bytes);
      await file.chmod(mode);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
    // The name is on the disk only when its directory is (fsync(2)).
    const directory = await open(dirname(path), constants.O_RDONLY);
    await directory.sync().finally(() => directory.close());
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => {});
    if (codeOf(error) === "ENOSPC" || codeOf(error) === "EDQUOT") {
      const freeMiB = await freeMiBAt(path).catch(() => 0);
      throw fail("host.no_space", { path: dirname(path), neededMiB: Math.ceil(bytes.length / MIB), freeMiB }, error);
    }
    throw fileFailure({ path, operation: "write", error });
  }
};

/** Where a file really is, or would be: through links, also through one that leads to nothing yet. */
const placeOf = async (path: string): Promise<string> => {
  const real = await orNull(path, () => realpath(path));
  if (real !== null) return real;
  const target = await readlink(path).catch(() => null);
  return target === null ? path : resolve(dirname(path), target);
};

const rewrite: FilePort["rewrite"] = async (path, content, mode) => {
  const place = await placeOf(path);
  const before = await orNull(place, () => stat(place));
  await writeAtomic(place, content, before === null ? mode : before.mode & 0o777);
};

const readBytes = (path: string): Promise<Uint8Array | null> =>
  orNull(path, async () => {
    const file = await open(path, constants.O_RDONLY);
    try {
      const { size } = await file.stat();
      if (size > MAX_READ_BYTES)
        throw fail("host.file_failed", { path, operation: "read", detail: "it is over 16 MiB" });
      return await file.readFile();
    } finally {
      await file.close();
    }
  });

const kindOf = (entry: {
  isFile(): boolean;
  isDirectory(): boolean;
  isSymbolicLink(): boolean;
  isSocket(): boolean;
}): FileEntry["kind"] => {
  if (entry.isFile()) return "file";
  if (entry.isDirectory()) return "directory";
  if (entry.isSymbolicLink()) return "link";
  return entry.isSocket() ? "socket" : "other";
};

const list: FilePort["list"] = async (path) => {
  const names = (await orNull(path, () => readdir(path))) ?? [];
  const entries = await Promise.all(
    names.sort().map(async (name): Promise<FileEntry[]> => {
      const seen = await orNull(`${path}/${name}`, () => lstat(`${path}/${name}`));
      return seen ? [{ name, kind: kindOf(seen), sizeBytes: seen.size }] : [];
    }),
  );
  return entries.flat();
};

const tail: FilePort["tail"] = async (path, bytes) => {
  const text = await orNull(path, async () => {
    const file = await open(path, constants.O_RDONLY);
    try {
      const { size } = await file.stat();
      const from = Math.max(0, size - bytes);
      const { buffer, bytesRead } = await file.read(Buffer.alloc(size - from), 0, size - from, from);
      const read = buffer.subarray(0, bytesRead);
      // The first line is likely cut, and maybe within a character; when there is no other it is better than nothing.
      const start = from > 0 ? read.indexOf(10) + 1 : 0;
      return read.subarray(start).toString("utf8");
    } finally {
      await file.close();
    }
  });
  return text ?? "";
};

const usedBytes = async (path: string): Promise<number> => {
  const seen = await orNull(path, () => lstat(path));
  if (!seen) return 0;
  // st_blocks counts 512 bytes whatever the block size (stat(2)).
  let bytes = seen.blocks * 512;
  if (seen.isDirectory()) {
    for (const name of (await orNull(path, () => readdir(path))) ?? []) bytes += await usedBytes(`${path}/${name}`);
  }
  return bytes;
};

const growDisk: FilePort["growDisk"] = (path, sizeMiB) =>
  attempt(path, "grow", async () => {
    const { size } = await stat(path);
    if (size > sizeMiB * MIB) throw new RangeError(`it has ${Math.ceil(size / MIB)} MiB, more than ${sizeMiB} MiB`);
    await truncate(path, sizeMiB * MIB);
  });

/** Refuses a path that is not strictly below one of `roots`, by its name or by where its parents really lead. */
const requireOwned = async (path: string, roots: readonly string[]): Promise<void> => {
  const isBelow = (child: string, root: string) => child.startsWith(`${root}/`);
  const root = roots.find((candidate) => isBelow(path, candidate));
  if (normalize(path) !== path || path.endsWith("/") || root === undefined) {
    throw fail("host.not_ours", { what: `The directory ${path}` });
  }
  const parent = dirname(path);
  const really = await realpath(parent).catch(() => null);
  if (really === null) return;
  if (really !== `${await realpath(root)}${parent.slice(root.length)}`) {
    throw fail("host.not_ours", { what: `The directory ${path} (a link leads to ${really})` });
  }
};

/** The files of this machine; trees are removed below `roots` only. */
export const createFiles = (options: { roots: readonly string[] }): FilePort => ({
  writeAtomic,
  rewrite,
  read: async (path) => {
    const bytes = await readBytes(path);
    return bytes && new TextDecoder().decode(bytes);
  },
  readBytes,
  removeFile: (path) =>
    attempt(path, "remove", async () => {
      await unlink(path).catch((error) => {
        if (!isMissing(error)) throw error;
      });
    }),
  async removeTree(path) {
    await requireOwned(path, options.roots);
    // rm unlinks symbolic links instead of following them.
    await attempt(path, "remove", () => rm(path, { recursive: true, force: true }));
  },
  makeDir: (path) =>
    attempt(path, "make", async () => {
      await mkdir(path, { recursive: true, mode: 0o700 });
    }),
  rename: (from, to) => attempt(from, "rename", () => rename(from, to)),
  exists: async (path) => (await orNull(path, () => access(path).then(() => true))) ?? false,
  list,
  tail,
  cloneDisk,
  growDisk,
  sizeMiB: async (path) => {
    const seen = await orNull(path, () => stat(path));
    return seen && Math.ceil(seen.size / MIB);
  },
  diskUsedMiB: async (path) => Math.ceil((await usedBytes(path)) / MIB),
  freeMiB: freeMiBAt,
});
