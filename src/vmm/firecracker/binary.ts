// Finds Firecracker on this host, and says what the file found is: version, and static or not.
import { access, constants, open, readdir, stat } from "node:fs/promises";
import { homedir } from "node:os";
import { basename, dirname, resolve } from "node:path";
import { describeUnknown } from "../../spec/errors.ts";
import type { ProbeOptions, VmmBinary } from "../driver.ts";
import { memoryOf } from "../remembered.ts";

/** The bundle's directories are searched this deep: release, architecture, bin. */
const BUNDLE_DEPTH = 4;
const VERSION_TIMEOUT_MS = 5000;
const ELF_HEAD_BYTES = 4096;
/** `firecracker`, or as the release archive names it. */
const FILE_NAME = /^firecracker(-v\d+\.\d+\.\d+(-[a-z]+)?-x86_64)?$/;

export type SearchPlaces = {
  /** BANGER_FIRECRACKER: this one or none. */
  named: string | undefined;
  /** Files, the first that is executable counts. */
  files: readonly string[];
  /** Directories that are searched below, before `installed`. */
  bundles: readonly string[];
  installed: readonly string[];
};

/** Where this process looks. Never PATH: what the daemon runs does not depend on who started it. */
export const searchPlaces = (env: Readonly<Record<string, string | undefined>>, home = homedir()): SearchPlaces => {
  const isCompiled = basename(process.execPath) !== "bun";
  const checkout = isCompiled ? resolve(dirname(process.execPath), "..") : resolve(import.meta.dir, "../../..");
  const absoluteOr = (value: string | undefined, fallback: string) => (value?.startsWith("/") ? value : fallback);
  return {
    named: env.BANGER_FIRECRACKER || undefined,
    files: [
      ...(env.BANGER_RUNTIME_DIR ? [`${env.BANGER_RUNTIME_DIR}/bin/firecracker`] : []),
      `${checkout}/runtime/bin/firecracker`,
      `${checkout}/runtime/firecracker`,
    ],
    bundles: [
      `${absoluteOr(env.XDG_CACHE_HOME, `${home}/.cache`)}/banger/bundle`,
      `${absoluteOr(env.XDG_DATA_HOME, `${home}/.local/share`)}/banger/bundle`,
    ],
    installed: ["/usr/local/bin/firecracker", "/usr/bin/firecracker"],
  };
};

const isExecutable = async (path: string): Promise<boolean> => {
  try {
    await access(path, constants.X_OK);
    return (await stat(path)).isFile();
  } catch {
    return false;
  }
};

/** Files of that name below `directory`, the last by name first, so that the newest release wins. */
const findBelow = async (directory: string, depth: number): Promise<string[]> => {
  const entries = await readdir(directory, { withFileTypes: true }).catch(() => []);
  const sorted = entries.sort((one, other) => other.name.localeCompare(one.name, "en", { numeric: true }));
  const found: string[] = [];
  for (const entry of sorted) {
    const path = `${directory}/${entry.name}`;
    if (entry.isDirectory() && depth > 1) found.push(...(await findBelow(path, depth - 1)));
    else if (FILE_NAME.test(entry.name)) found.push(path);
  }
  return found;
};

/** The path of the Firecracker to be used, or why there is none, as a sentence without its end. */
export const findFirecracker = async (places: SearchPlaces): Promise<{ path: string } | { reason: string }> => {
  const { named } = places;
  if (named !== undefined) {
    if (named.startsWith("/") && (await isExecutable(named))) return { path: named };
    return {
      reason: `BANGER_FIRECRACKER names ${named}, which is no absolute path of a program that this user may run`,
    };
  }
  for (const path of places.files) if (await isExecutable(path)) return { path };
  for (const directory of places.bundles) {
    for (const path of await findBelow(directory, BUNDLE_DEPTH)) if (await isExecutable(path)) return { path };
  }
  for (const path of places.installed) if (await isExecutable(path)) return { path };
  const looked = [...places.files, ...places.bundles, ...places.installed].join(", ");
  return { reason: `there is no firecracker here (looked in ${looked})` };
};

/** The version in what `firecracker --version` prints; null when it is something else. */
export const parseFirecrackerVersion = (output: string): string | null =>
  /^Firecracker v(\d+\.\d+\.\d+(?:-[0-9A-Za-z.-]+)?)/m.exec(output)?.[1] ?? null;

/**
 * Whether an executable needs no dynamic loader: no program header of type PT_INTERP (3). null for what is no ELF-64 file.
 * Source: ELF-64 object file format §§2, 9. Pure.
 */
export const isStaticElf = (head: Uint8Array): boolean | null => {
  const view = new DataView(head.buffer, head.byteOffset, head.byteLength);
  if (head.length < 64 || view.getUint32(0) !== 0x7f454c46 || head[4] !== 2 || head[5] !== 1) return null;
  const [offset, size, count] = [
    Number(view.getBigUint64(32, true)),
    view.getUint16(54, true),
    view.getUint16(56, true),
  ];
  if (size < 56 || offset + size * count > head.length) return null;
  const types = Array.from({ length: count }, (_, index) => view.getUint32(offset + index * size, true));
  return !types.includes(3);
};

const readHead = async (path: string): Promise<Uint8Array> => {
  const file = await open(path, "r");
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(ELF_HEAD_BYTES), 0, ELF_HEAD_BYTES, 0);
    return buffer.subarray(0, bytesRead);
  } finally {
    await file.close();
  }
};

type Examined = { version: string; isStatic: boolean };

const isExamined = (value: unknown): value is Examined =>
  typeof value === "object" &&
  value !== null &&
  "version" in value &&
  typeof value.version === "string" &&
  "isStatic" in value &&
  typeof value.isStatic === "boolean";

/** What tells this file from another at the same path. */
export const identityOf = async (path: string): Promise<string> => {
  const { mtimeMs, size, ino } = await stat(path);
  return `${path} ${ino} ${size} ${mtimeMs}`;
};

/** Asks the program for its version, once for each file that lay there. */
export const examineFirecracker = async (
  path: string,
  options: Pick<ProbeOptions, "cacheDir" | "processes" | "signal">,
): Promise<VmmBinary | { reason: string }> => {
  const { cacheDir, processes, signal } = options;
  const key = await identityOf(path);
  const memory = memoryOf({ cacheDir, name: "firecracker-binary", key, isValue: isExamined });
  const known = await memory.recall();
  if (known) return { path, firmwareDir: null, ...known };
  const result = await processes
    .runCommand({ argv: [path, "--version"], timeoutMs: VERSION_TIMEOUT_MS, signal })
    .catch((error: unknown) => ({ stdout: "", stderr: describeUnknown(error), exitCode: -1 }));
  signal.throwIfAborted();
  const version = parseFirecrackerVersion(result.stdout);
  if (!version) {
    const said = result.stderr.trim().split("\n").at(-1) || "it printed no version";
    return { reason: `${path} --version failed: ${said}` };
  }
  // A script around it is asked for nothing special.
  const isStatic = isStaticElf(await readHead(path)) ?? true;
  await memory.keep({ version, isStatic });
  return { path, version, firmwareDir: null, isStatic };
};
