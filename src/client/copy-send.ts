// Sends a file or a tree of this host: what is data, never a hole, and nothing through a symbolic link but the one that was named.
import {
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  openSync,
  readdirSync,
  readlinkSync,
  readSync,
  statSync,
} from "node:fs";
import { describeUnknown, fail } from "../spec/errors.ts";
import {
  COPY,
  COPY_BLOCK_MAX_BYTES,
  COPY_PATH_MAX_BYTES,
  COPY_RESUME_MIN_BYTES,
  parseOffset,
  renderFile,
  renderHead,
  renderLink,
  renderOffset,
} from "../spec/guest/copy.ts";
import { type CopyLine, type CopyReport, showPath } from "./copy-line.ts";

type BigStat = { mode: bigint; mtimeNs: bigint; size: bigint; blocks: bigint };

const SEPARATOR = Buffer.from("/");
const ZEROS = Buffer.alloc(COPY_BLOCK_MAX_BYTES);
const NO_FOLLOW = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;

/** The name at the other end: the last component, or none for `.`, `..` and `/`, whose content alone is sent. */
export const nameOfSource = (path: string): string => {
  const name = path.replace(/\/+$/, "").split("/").at(-1) ?? "";
  return name === "." || name === ".." ? "" : name;
};

const headOf = (stat: BigStat, path: Uint8Array) => ({ mode: Number(stat.mode) & 0o7777, timeNs: stat.mtimeNs, path });

export const sendTree = async (
  line: CopyLine,
  options: { path: string; vm: string; report: CopyReport },
): Promise<void> => {
  const { report, vm } = options;

  const problem = (path: Uint8Array, error: unknown) =>
    report.onProblem(`${showPath(path)}: ${typeof error === "string" ? error : describeUnknown(error)}`);

  /** What the receiver says meanwhile; null when it has gone. */
  const next = async () => {
    for (;;) {
      const message = await line.next();
      if (message === null) throw fail("guest.protocol_error", { vm, detail: "it ended in the middle of a copy" });
      if (message.tag !== COPY.failed) return message;
      report.onProblem(Buffer.from(message.bytes).toString());
    }
  };

  const sendFile = async (fd: number, stat: BigStat, path: Uint8Array): Promise<void> => {
    const size = Number(stat.size);
    await line.send(COPY.file, renderFile({ ...headOf(stat, path), size }));
    let at = 0;
    if (size >= COPY_RESUME_MIN_BYTES) {
      const answer = await next();
      at = answer.tag === COPY.resume ? (parseOffset(answer.bytes) ?? size + 1) : size + 1;
      if (at > size) throw fail("guest.protocol_error", { vm, detail: "a copy that goes on behind its end" });
    }
    report.onFile(showPath(path), size, at);
    // Only what has holes is searched for them.
    const isSparse = stat.blocks * 512n < stat.size;
    const block = Buffer.allocUnsafe(8 + COPY_BLOCK_MAX_BYTES);
    while (at < size) {
      const count = readSync(fd, block, 8, Math.min(COPY_BLOCK_MAX_BYTES, size - at), at);
      if (count === 0) return line.send(COPY.fileEnd, Buffer.from("it became shorter while it was read"));
      const data = block.subarray(8, 8 + count);
      if (!isSparse || Buffer.compare(data, ZEROS.subarray(0, count)) !== 0) {
        block.set(renderOffset(at));
        await line.send(COPY.block, block.subarray(0, 8 + count));
      }
      at += count;
      report.onBytes(count);
    }
    await line.send(COPY.fileEnd);
  };

  const sendDirectory = async (place: Buffer, stat: BigStat, path: Uint8Array): Promise<void> => {
    const names = readdirSync(place, { encoding: "buffer" }) as unknown as Buffer[];
    await line.send(COPY.directory, renderHead(headOf(stat, path)));
    for (const name of names) {
      const below = path.length === 0 ? Buffer.from(name) : Buffer.concat([path, SEPARATOR, Buffer.from(name)]);
      await sendEntry(Buffer.concat([place, SEPARATOR, Buffer.from(name)]), below, false);
    }
    await line.send(COPY.directoryEnd, renderHead(headOf(stat, path)));
  };

  const sendEntry = async (place: Buffer, path: Uint8Array, isNamed: boolean): Promise<void> => {
    let fd = -1;
    try {
      if (path.length > COPY_PATH_MAX_BYTES) return problem(path, "the path is too long");
      const stat = isNamed ? statSync(place, { bigint: true }) : lstatSync(place, { bigint: true });
      if (stat.isSymbolicLink()) {
        const target = readlinkSync(place, { encoding: "buffer" }) as unknown as Buffer;
        return await line.send(COPY.link, renderLink(path, target));
      }
      if (stat.isDirectory()) return await sendDirectory(place, stat, path);
      if (!stat.isFile()) return problem(path, "neither file nor directory nor link");
      fd = openSync(place, isNamed ? constants.O_RDONLY : NO_FOLLOW);
      const opened = fstatSync(fd, { bigint: true });
      if (!opened.isFile()) return problem(path, "it is no file any more");
      await sendFile(fd, opened, path);
    } catch (error) {
      // What is wrong with one entry is not wrong with the line.
      if (typeof (error as { syscall?: unknown }).syscall !== "string") throw error;
      problem(path, error);
    } finally {
      if (fd >= 0) closeSync(fd);
    }
  };

  await sendEntry(Buffer.from(options.path), Buffer.from(nameOfSource(options.path)), true);
  await line.send(COPY.all);
  while ((await next()).tag !== COPY.done);
};
