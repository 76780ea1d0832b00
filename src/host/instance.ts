// Opens the instance of this user, or makes it: one id for ever, directories that nobody else can enter.
import { chmodSync, linkSync, lstatSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import {
  type BasePaths,
  findLongSocketPath,
  type InstancePaths,
  type PathEnvironment,
  planBasePaths,
  planPaths,
  planRuntimeDir,
} from "../core/paths.ts";
import { describeUnknown, fail } from "../spec/errors.ts";

// No zod here: the CLI reads this file at each start, and zod alone costs more than all of it (STACK §1).

type InstanceFile = { version: 1; id: string; runtimeDir: string };

const codeOf = (error: unknown): string | undefined => (error as { code?: string }).code;

/** Makes `path` with 0700 when it is missing, and refuses what is a link, another user's, or open to others. */
export const ensurePrivateDir = (path: string, uid: number): void => {
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 });
  } catch (error) {
    throw fail("instance.unusable", { path, detail: describeUnknown(error) }, error);
  }
  const seen = lstatSync(path);
  if (seen.isSymbolicLink()) throw fail("instance.unusable", { path, detail: "it is a symbolic link" });
  if (!seen.isDirectory()) throw fail("instance.unusable", { path, detail: "it is no directory" });
  if (seen.uid !== uid) {
    throw fail("instance.unusable", { path, detail: `it belongs to uid ${seen.uid}, and this is uid ${uid}` });
  }
  // Ours but open, as a careless umask or a copy leaves it: closing it takes nothing from its owner.
  if ((seen.mode & 0o077) !== 0) chmodSync(path, 0o700);
};

const readInstance = (path: string): InstanceFile | null => {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    if (codeOf(error) === "ENOENT") return null;
    throw fail("instance.unusable", { path, detail: describeUnknown(error) }, error);
  }
  let value: Partial<InstanceFile>;
  try {
    value = JSON.parse(text) as Partial<InstanceFile>;
  } catch {
    throw fail("instance.unusable", { path, detail: "it is not valid JSON" });
  }
  if (value.version !== 1) throw fail("instance.unusable", { path, detail: "it was written by a newer banger" });
  if (!/^[a-z0-9]{5}$/.test(value.id ?? "") || !value.runtimeDir?.startsWith("/")) {
    throw fail("instance.unusable", { path, detail: "it names no instance" });
  }
  return value as InstanceFile;
};

/** Five characters of [a-z0-9] without bias: bytes of 252 and over are thrown away (7 × 36 = 252). */
const randomId = (): string => {
  let id = "";
  while (id.length < 5) {
    for (const byte of crypto.getRandomValues(new Uint8Array(16))) {
      if (byte < 252 && id.length < 5) id += "abcdefghijklmnopqrstuvwxyz0123456789"[byte % 36];
    }
  }
  return id;
};

const isPrivateDirOf = (path: string | undefined, uid: number): boolean => {
  if (!path?.startsWith("/")) return false;
  try {
    const seen = lstatSync(path);
    return seen.isDirectory() && seen.uid === uid && (seen.mode & 0o077) === 0;
  } catch {
    return false;
  }
};

const isExisting = (path: string): boolean => {
  try {
    lstatSync(path);
    return true;
  } catch {
    return false;
  }
};

type Opening = { env: PathEnvironment; home: string; uid: number; userName: string };

/** Writes a new instance file unless another process was quicker: link(2) never replaces, and never shows half a file. */
const createInstance = (base: BasePaths, opening: Opening): InstanceFile => {
  const id = randomId();
  const runtimeDir = planRuntimeDir({
    env: opening.env,
    stateDir: base.stateDir,
    instance: id,
    isUsable: isPrivateDirOf(opening.env.XDG_RUNTIME_DIR, opening.uid),
    isLingering: isExisting(`/var/lib/systemd/linger/${opening.userName}`),
  });
  const instance: InstanceFile = { version: 1, id, runtimeDir };
  const long = findLongSocketPath(planPaths({ base, instance: id, runtimeDir }));
  if (long) throw fail("instance.path_too_long", long);
  const temporary = `${base.instanceFile}.${process.pid}.${id}`;
  try {
    writeFileSync(temporary, `${JSON.stringify(instance)}\n`, { mode: 0o600, flag: "wx" });
    linkSync(temporary, base.instanceFile);
  } catch (error) {
    if (codeOf(error) !== "EEXIST") {
      throw fail("instance.unusable", { path: base.stateDir, detail: describeUnknown(error) }, error);
    }
  } finally {
    rmSync(temporary, { force: true });
  }
  return readInstance(base.instanceFile) ?? instance;
};

/**
 * The paths of this user's instance, with state and runtime directory there and private. The first call makes the instance;
 * twenty processes at once agree on one. Errors: instance.unusable, instance.path_too_long.
 */
export const openInstance = (opening: Opening): InstancePaths => {
  const base = planBasePaths({ env: opening.env, home: opening.home });
  ensurePrivateDir(base.stateDir, opening.uid);
  const instance = readInstance(base.instanceFile) ?? createInstance(base, opening);
  const paths = planPaths({ base, instance: instance.id, runtimeDir: instance.runtimeDir });
  const long = findLongSocketPath(paths);
  if (long) throw fail("instance.path_too_long", long);
  ensurePrivateDir(paths.runtimeDir, opening.uid);
  return paths;
};

/** The instance when there is one, without making anything; null when nobody has used banger here. */
export const findInstance = (opening: Pick<Opening, "env" | "home">): InstancePaths | null => {
  const base = planBasePaths({ env: opening.env, home: opening.home });
  const instance = readInstance(base.instanceFile);
  return instance && planPaths({ base, instance: instance.id, runtimeDir: instance.runtimeDir });
};

/** Who and where: HOME and the user of this process, as `openInstance` wants it. */
export const openingOfProcess = (): Opening => {
  const uid = process.getuid?.() ?? 0;
  const home = process.env.HOME?.startsWith("/") ? process.env.HOME : uid === 0 ? "/root" : `/home/${process.env.USER}`;
  return { env: process.env, home, uid, userName: process.env.USER ?? process.env.LOGNAME ?? String(uid) };
};
