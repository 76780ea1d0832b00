// Puts one Include at the top of the user's ssh configuration and takes it out again, leaving every other byte, its mode and its links as they were.
import {
  chmodSync,
  closeSync,
  existsSync,
  fsyncSync,
  lstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  renameSync,
  rmdirSync,
  statSync,
  unlinkSync,
  writeSync,
} from "node:fs";
import { dirname, join, resolve } from "node:path";
import { describeUnknown, fail } from "../spec/errors.ts";

const NOTE = "# Added by `banger ssh-config install`; `banger ssh-config uninstall` removes these two lines";
/** What else goes when they are removed and nothing else has come. */
const ENDINGS = { none: ".", file: ", and the file.", directory: ", and the file with its directory." } as const;
type Made = keyof typeof ENDINGS;

const includeLine = (configPath: string): string => `Include "${configPath}"`;
const blockOf = (configPath: string, made: Made): string => `${NOTE}${ENDINGS[made]}\n${includeLine(configPath)}\n`;

/** The block that is in a text, with where it begins; null when there is none. */
const findBlock = (text: string, configPath: string): { at: number; block: string; made: Made } | null => {
  for (const made of Object.keys(ENDINGS) as Made[]) {
    const block = blockOf(configPath, made);
    for (let at = text.indexOf(block); at >= 0; at = text.indexOf(block, at + 1))
      if (at === 0 || text[at - 1] === "\n") return { at, block, made };
  }
  return null;
};

export const withInclude = (text: string, configPath: string, made: "none" | "file" | "directory"): string =>
  findBlock(text, configPath) === null ? blockOf(configPath, made) + text : text;

export const withoutInclude = (text: string, configPath: string): string => {
  const found = findBlock(text, configPath);
  return found === null ? text : text.slice(0, found.at) + text.slice(found.at + found.block.length);
};

const userConfigOf = (home: string): string => join(home, ".ssh/config");

/** The file itself, behind any links, also when it does not exist yet. */
const behindLinks = (path: string): string => {
  if (existsSync(path)) return realpathSync(path);
  const isLink = lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() === true;
  return isLink ? behindLinks(resolve(dirname(path), readlinkSync(path))) : path;
};

/** Replaces a file as one, in its own directory, with the mode it had. */
const replaceFile = (path: string, text: string): void => {
  const old = statSync(path, { throwIfNoEntry: false });
  const mode = old === undefined ? 0o600 : old.mode & 0o7777;
  const draft = join(dirname(path), `.banger-${process.pid}.new`);
  try {
    const fd = openSync(draft, "wx", 0o600);
    try {
      const bytes = Buffer.from(text, "latin1");
      for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at);
      chmodSync(draft, mode);
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    renameSync(draft, path);
  } catch (error) {
    if (existsSync(draft)) unlinkSync(draft);
    throw error;
  }
};

const guarded = <Result>(path: string, operation: string, work: () => Result): Result => {
  try {
    return work();
  } catch (error) {
    throw fail("host.file_failed", { path, operation, detail: describeUnknown(error) }, error);
  }
};

// latin1 both ways: every byte of the user's comes back as it was, whatever it is written in.
const readText = (path: string): string => (existsSync(path) ? readFileSync(path, "latin1") : "");

export type IncludeChange = { path: string; changed: boolean };

export const isIncluded = (home: string, configPath: string): boolean => {
  const path = userConfigOf(home);
  return guarded(path, "read", () => findBlock(readText(path), Buffer.from(configPath).toString("latin1")) !== null);
};

/** Errors: host.file_failed. */
export const installInclude = (home: string, configPath: string): IncludeChange => {
  const link = userConfigOf(home);
  const spelled = Buffer.from(configPath).toString("latin1");
  return guarded(link, "change", () => {
    const hadDirectory = existsSync(dirname(link));
    if (!hadDirectory) mkdirSync(dirname(link), { mode: 0o700 });
    const path = behindLinks(link);
    const text = readText(path);
    const made: Made = existsSync(path) ? "none" : hadDirectory ? "file" : "directory";
    const changed = withInclude(text, spelled, made);
    if (changed === text) return { path: link, changed: false };
    replaceFile(path, changed);
    return { path: link, changed: true };
  });
};

/** Errors: host.file_failed. */
export const uninstallInclude = (home: string, configPath: string): IncludeChange => {
  const link = userConfigOf(home);
  const spelled = Buffer.from(configPath).toString("latin1");
  return guarded(link, "change", () => {
    const path = behindLinks(link);
    const text = readText(path);
    const found = findBlock(text, spelled);
    if (found === null) return { path: link, changed: false };
    const rest = withoutInclude(text, spelled);
    if (rest !== "" || found.made === "none") replaceFile(path, rest);
    else {
      unlinkSync(path);
      if (found.made === "directory") removeIfEmpty(dirname(link));
    }
    return { path: link, changed: true };
  });
};

const removeIfEmpty = (directory: string): void => {
  try {
    rmdirSync(directory);
  } catch {
    // Something else has come into it.
  }
};
