// Writes what a guest sends, below the destination and nowhere else, whatever the guest says: it is not trusted.
import {
  chmodSync,
  closeSync,
  constants,
  fchmodSync,
  fstatSync,
  ftruncateSync,
  lstatSync,
  lutimesSync,
  mkdirSync,
  openSync,
  renameSync,
  statSync,
  symlinkSync,
  unlinkSync,
  writeSync,
} from "node:fs";
import { describeUnknown, fail } from "../spec/errors.ts";
import {
  COPY,
  COPY_RESUME_MIN_BYTES,
  type CopyHead,
  isPathInside,
  parseFile,
  parseHead,
  parseLink,
  parseOffset,
  renderOffset,
} from "../spec/guest/copy.ts";
import type { Message } from "../spec/guest/messages.ts";
import { type CopyLine, type CopyReport, showPath } from "./copy-line.ts";

const SLASH = 0x2f;
const SEPARATOR = Buffer.from("/");
/** Set-uid and the like are nobody's to give across the border. */
const MODE_MASK = 0o777;

type Destination = { base: Buffer; top: Buffer | null; mustBeDirectory: boolean; isFile: boolean };
type OpenFile = { head: CopyHead & { size: number }; fd: number; part: Buffer; place: Buffer };

const statOf = (place: Buffer | string, isNamed: boolean) => {
  try {
    return isNamed ? statSync(place) : lstatSync(place);
  } catch {
    return null;
  }
};

/** The rules of scp: into a directory that there is, else under the name that was given. Errors: input.invalid. */
export const findDestination = (path: string, isMany: boolean): Destination => {
  const invalid = (message: string) =>
    fail("input.invalid", { issues: [{ path: "", message: `${path}: ${message}` }] });
  const found = statOf(path, true);
  if (found?.isDirectory()) return { base: Buffer.from(path), top: null, mustBeDirectory: false, isFile: false };
  const mustBeDirectory = path.endsWith("/");
  if (isMany || (found && mustBeDirectory)) throw invalid("it is not a directory");
  if (found && !found.isFile()) throw invalid("it is neither a file nor a directory");
  const bare = path.replace(/\/+$/, "");
  const slash = bare.lastIndexOf("/");
  const base = slash < 0 ? "." : bare.slice(0, slash) || "/";
  if (!statOf(base, true)?.isDirectory()) throw invalid("its directory does not exist");
  return { base: Buffer.from(base), top: Buffer.from(bare.slice(slash + 1)), mustBeDirectory, isFile: found !== null };
};

/** Of one file of one size and time: what was left of another is never gone on with. */
const partName = ({ timeNs, size }: CopyHead & { size: number }, name: Uint8Array): string => {
  const hash = new Bun.CryptoHasher("sha256").update(`${timeNs} ${size} `).update(name).digest("hex");
  return `.banger-part-${hash.slice(0, 16)}`;
};

/** Errors: input.invalid for a destination that does not fit, guest.protocol_error, and those of the stream. */
export const receiveTree = async (
  line: CopyLine,
  options: { destination: Destination; path: string; vm: string; report: CopyReport },
): Promise<void> => {
  const { vm, report } = options;
  let { base, top } = options.destination;
  let isSettled = false;
  let open: OpenFile | null = null;
  let isFileSkipped = false;

  const broken = (detail: string) => fail("guest.protocol_error", { vm, detail });
  const problem = (path: Uint8Array, error: unknown) =>
    report.onProblem(`${showPath(path)}: ${typeof error === "string" ? error : describeUnknown(error)}`);

  const settle = (path: Uint8Array, isDirectory: boolean): void => {
    if (isSettled) return;
    isSettled = true;
    const misfit = (message: string) =>
      fail("input.invalid", { issues: [{ path: "", message: `${options.path}: ${message}` }] });
    if (isDirectory && options.destination.isFile) throw misfit("it is a file, and what is copied is a directory");
    if (!isDirectory && options.destination.mustBeDirectory) throw misfit("there is no such directory");
    if (path.length > 0 || top === null) return;
    base = Buffer.concat([base, SEPARATOR, top]);
    top = null;
    mkdirSync(base, { recursive: true });
  };

  /** Where an entry goes. Every directory on the way is looked at each time: a link among them would lead out. */
  const placeOf = (path: Uint8Array): { place: Buffer; parent: Buffer; name: Buffer } => {
    const names: Buffer[] = [];
    for (let at = 0; at <= path.length; ) {
      const slash = path.indexOf(SLASH, at);
      const end = slash < 0 ? path.length : slash;
      names.push(Buffer.from(path.subarray(at, end)));
      at = end + 1;
    }
    if (top !== null) names[0] = top;
    const name = names.pop() ?? Buffer.alloc(0);
    let parent = base;
    for (const each of names) {
      parent = Buffer.concat([parent, SEPARATOR, each]);
      if (!lstatSync(parent).isDirectory())
        throw Object.assign(new TypeError("a directory on its way is none"), { syscall: "lstat" });
    }
    return { place: Buffer.concat([parent, SEPARATOR, name]), parent, name };
  };

  const attempt = (path: Uint8Array, work: () => void): void => {
    try {
      work();
    } catch (error) {
      if (typeof (error as { syscall?: unknown }).syscall !== "string") throw error;
      problem(path, error);
    }
  };

  const setTime = (place: Buffer, timeNs: bigint): void => {
    const seconds = Number(timeNs) / 1e9;
    lutimesSync(place, seconds, seconds);
  };

  const checked = <Head extends { path: Uint8Array }>(head: Head | null): Head => {
    if (head === null || !isPathInside(head.path)) throw broken("an entry whose path leads elsewhere");
    return head;
  };

  const beginDirectory = (head: CopyHead): void => {
    settle(head.path, true);
    if (head.path.length === 0) return;
    attempt(head.path, () => {
      const { place } = placeOf(head.path);
      if (statOf(place, false)?.isDirectory() !== true) mkdirSync(place, { mode: 0o700 });
    });
  };

  const endDirectory = (head: CopyHead): void => {
    if (head.path.length === 0) return;
    attempt(head.path, () => {
      const { place } = placeOf(head.path);
      if (statOf(place, false)?.isDirectory() !== true) return;
      setTime(place, head.timeNs);
      chmodSync(place, head.mode & MODE_MASK);
    });
  };

  const beginFile = async (head: CopyHead & { size: number }): Promise<void> => {
    if (open !== null || head.path.length === 0) throw broken("a file where none belongs");
    settle(head.path, false);
    const canResume = head.size >= COPY_RESUME_MIN_BYTES;
    // Nothing is to be sent of what cannot be written.
    let offset = head.size;
    isFileSkipped = true;
    attempt(head.path, () => {
      const { place, parent, name } = placeOf(head.path);
      const there = statOf(place, false);
      if (there && !there.isFile() && !there.isSymbolicLink())
        return problem(head.path, "something that is no file is there");
      const part = Buffer.concat([parent, SEPARATOR, Buffer.from(partName(head, name))]);
      const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_NOFOLLOW | (canResume ? 0 : constants.O_TRUNC);
      const fd = openSync(part, flags, 0o600);
      const { size } = fstatSync(fd);
      offset = size <= head.size ? size : 0;
      open = { head, fd, part, place };
      isFileSkipped = false;
    });
    if (canResume) await line.send(COPY.resume, renderOffset(offset));
    report.onFile(showPath(head.path), head.size, canResume ? offset : 0);
  };

  const closeFile = (): OpenFile | null => {
    const closed = open;
    if (closed !== null) closeSync(closed.fd);
    open = null;
    return closed;
  };

  const takeBlock = (bytes: Uint8Array): void => {
    const offset = parseOffset(bytes);
    const data = bytes.subarray(8);
    const file = open;
    if (offset === null || (file === null && !isFileSkipped)) throw broken("a block where none belongs");
    if (file === null) return;
    if (offset + data.length > file.head.size) throw broken("a block beyond its file");
    attempt(file.head.path, () => {
      try {
        for (let at = 0; at < data.length; ) at += writeSync(file.fd, data, at, data.length - at, offset + at);
      } catch (error) {
        closeFile();
        isFileSkipped = true;
        throw error;
      }
    });
    report.onBytes(data.length);
  };

  const endFile = (why: Uint8Array): void => {
    const file = open;
    isFileSkipped = false;
    if (file === null) return;
    attempt(file.head.path, () => {
      if (why.length > 0) return problem(file.head.path, Buffer.from(why).toString());
      ftruncateSync(file.fd, file.head.size);
      fchmodSync(file.fd, file.head.mode & MODE_MASK);
      setTime(file.part, file.head.timeNs);
      renameSync(file.part, file.place);
    });
    closeFile();
  };

  const makeLink = ({ path, target }: { path: Uint8Array; target: Uint8Array }): void => {
    if (path.length === 0) throw broken("a link without a path");
    settle(path, false);
    attempt(path, () => {
      const { place } = placeOf(path);
      const there = statOf(place, false);
      if (there && !there.isDirectory()) unlinkSync(place);
      symlinkSync(Buffer.from(target), place);
    });
  };

  const take = async ({ tag, bytes }: Message): Promise<void> => {
    if (tag === COPY.directory) beginDirectory(checked(parseHead(bytes)));
    else if (tag === COPY.directoryEnd) endDirectory(checked(parseHead(bytes)));
    else if (tag === COPY.file) await beginFile(checked(parseFile(bytes)));
    else if (tag === COPY.link) makeLink(checked(parseLink(bytes)));
    else if (tag === COPY.block) takeBlock(bytes);
    else if (tag === COPY.fileEnd) endFile(bytes);
    else if (tag === COPY.skipped) report.onProblem(Buffer.from(bytes).toString());
    else if (tag === COPY.all) await line.send(COPY.done);
    else throw broken(`message ${tag} in a copy`);
  };

  try {
    let isComplete = false;
    for (let message = await line.next(); message !== null; message = await line.next()) {
      isComplete = message.tag === COPY.all;
      await take(message);
    }
    if (!isComplete) throw broken("it ended in the middle of a copy");
  } finally {
    closeFile();
  }
};
