// What `banger setup` does as root, as a list that a person can read first: the root-owned helper and its one sudoers line.
import { createHash } from "node:crypto";
import { constants, createReadStream } from "node:fs";
import { chown, copyFile, lstat, mkdir, open, readdir, readFile, rename, rm, rmdir } from "node:fs/promises";
import { dirname } from "node:path";
import { describeUnknown, fail } from "../spec/errors.ts";
import { requireCommand } from "./command.ts";
import { findNative } from "./native.ts";
import { findWeakness, INSTALLED_HELPER, INSTALLED_JAIL, readComponents } from "./root-launch.ts";

/** A user as sudoers names one: by name where it is plain, else `#uid`, which needs no quoting (sudoers(5)). */
const sudoersUser = (user: string, uid: number): string => (/^[a-z_][a-z0-9_-]*$/i.test(user) ? user : `#${uid}`);

/**
 * The sudoers file of one user: the helper without arguments, and the one that runs what the helper has prepared for this user, in an environment of which nothing is the user's.
 * `!env_keep` matters: an administrator's list could let BUN_BE_BUN through, which makes a script runner of the helper (FACTS §7).
 */
export const renderSudoers = (options: { user: string; uid: number; helper?: string }): string => {
  const { user, uid, helper = INSTALLED_HELPER } = options;
  return [
    "# Made by `banger setup`; `banger setup --undo` removes it.",
    `Defaults!${helper} env_reset, !setenv, !env_keep, !env_check, !use_pty`,
    `Defaults!${INSTALLED_JAIL} env_reset, !setenv, !env_keep, !env_check, !use_pty`,
    `${sudoersUser(user, uid)} ALL=(root) NOPASSWD: ${helper} "", ${INSTALLED_JAIL}`,
    "",
  ].join("\n");
};

/** sudo reads no file of sudoers.d whose name has a dot or ends in a tilde. */
export const sudoersPathFor = (user: string, uid: number): string =>
  `/etc/sudoers.d/banger-${/^[a-z_][a-z0-9_-]*$/i.test(user) ? user : uid}`;

export type SetupFacts = {
  user: string;
  uid: number;
  /** The executable that is to be copied. */
  executable: string;
  executableHash: string;
  /** SHA-256 of the installed helper, null when there is none. */
  installedHash: string | null;
  /** Why the installed helper cannot be trusted, null when it can or is missing. */
  weakness: string | null;
  /** The program that runs jailed VMMs; left out where none was built. */
  jail?: { from: string; hash: string; installedHash: string | null; weakness: string | null } | undefined;
  /** What the sudoers file says; null when it is missing or cannot be read by this user. */
  sudoers: string | null;
};

export type SetupAction =
  | { kind: "install-helper"; from: string; to: string; sentence: string }
  | { kind: "write-sudoers"; path: string; content: string; sentence: string };

/** What is still to be done, in order; nothing when all is as it should be. Pure. */
export const planSetup = (facts: SetupFacts): SetupAction[] => {
  const { user, uid, executable, executableHash, installedHash, weakness, jail, sudoers } = facts;
  if (uid === 0) return [];
  const path = sudoersPathFor(user, uid);
  const content = renderSudoers({ user, uid });
  const actions: SetupAction[] = [];
  if (installedHash !== executableHash || weakness !== null) {
    actions.push({
      kind: "install-helper",
      from: executable,
      to: INSTALLED_HELPER,
      sentence: `copy ${executable} to ${INSTALLED_HELPER}, owned by root, so that nobody else can change what root runs`,
    });
  }
  if (jail && (jail.installedHash !== jail.hash || jail.weakness !== null)) {
    actions.push({
      kind: "install-helper",
      from: jail.from,
      to: INSTALLED_JAIL,
      sentence: `copy ${jail.from} to ${INSTALLED_JAIL}, which runs VMMs in a jail where vmm.jail asks for it`,
    });
  }
  if (sudoers !== content) {
    actions.push({
      kind: "write-sudoers",
      path,
      content,
      sentence: `write ${path}, so that ${user} may start these, and nothing else, without a password`,
    });
  }
  return actions;
};

export const hashFile = async (path: string): Promise<string | null> => {
  const hash = createHash("sha256");
  try {
    for await (const chunk of createReadStream(path)) hash.update(chunk as Uint8Array);
  } catch (error) {
    if ((error as { code?: string }).code === "ENOENT") return null;
    throw fail("host.file_failed", { path, operation: "read", detail: describeUnknown(error) }, error);
  }
  return hash.digest("hex");
};

/** The facts for `planSetup`. The sudoers file can be read by root only: to anyone else it looks missing. */
export const readSetupFacts = async (who: { user: string; uid: number; executable: string }): Promise<SetupFacts> => {
  const [executableHash, installedHash] = await Promise.all([hashFile(who.executable), hashFile(INSTALLED_HELPER)]);
  if (executableHash === null) {
    throw fail("host.file_failed", { path: who.executable, operation: "read", detail: "there is no such file" });
  }
  const installed = readComponents(INSTALLED_HELPER);
  const sudoers = await readFile(sudoersPathFor(who.user, who.uid), "utf8").catch(() => null);
  const weakness = installed && findWeakness(installed);
  return { ...who, executableHash, installedHash, weakness, jail: await readJailFacts(), sudoers };
};

const readJailFacts = async (): Promise<SetupFacts["jail"]> => {
  const { jail } = findNative();
  const [hash, installedHash] = await Promise.all([hashFile(jail), hashFile(INSTALLED_JAIL)]);
  const installed = readComponents(INSTALLED_JAIL);
  return hash === null
    ? undefined
    : { from: jail, hash, installedHash, weakness: installed && findWeakness(installed) };
};

const installHelper = async (from: string, to: string) => {
  const directory = dirname(to);
  await mkdir(directory, { recursive: true, mode: 0o755 });
  const parents = readComponents(directory);
  const weakness = parents && findWeakness(parents);
  if (weakness) throw fail("root.unavailable", { detail: `the helper cannot be put there: ${weakness}` });
  const part = `${to}.new`;
  await rm(part, { force: true });
  try {
    await copyFile(from, part, constants.COPYFILE_EXCL);
    await chown(part, 0, 0);
    const file = await open(part, constants.O_RDONLY | constants.O_NOFOLLOW);
    await file.chmod(0o755);
    await file.sync().finally(() => file.close());
    await rename(part, to);
  } finally {
    await rm(part, { force: true });
  }
};

const writeSudoers = async (path: string, content: string) => {
  // With a dot in its name sudo does not read it before it is checked and renamed.
  const part = `${path}.new`;
  try {
    const file = await open(
      part,
      constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC | constants.O_NOFOLLOW,
      0o440,
    );
    try {
      await file.writeFile(content);
      await file.chown(0, 0);
      await file.chmod(0o440);
      await file.sync();
    } finally {
      await file.close();
    }
    await requireCommand({ argv: ["/usr/sbin/visudo", "-cqf", part], timeoutMs: 10_000, package: "sudo" });
    await rename(part, path);
  } finally {
    await rm(part, { force: true });
  }
};

/** Does what was planned, as root. Each action is atomic, so that a setup that is cut off can be run again. */
export const runSetup = async (actions: readonly SetupAction[]): Promise<void> => {
  for (const action of actions) {
    if (action.kind === "install-helper") await installHelper(action.from, action.to);
    else await writeSudoers(action.path, action.content);
  }
};

/** Takes the user's line away, and the helper when no other user's line is left. Succeeds when nothing is there. */
export const undoSetup = async (who: { user: string; uid: number }): Promise<void> => {
  await rm(sudoersPathFor(who.user, who.uid), { force: true });
  const others = await readdir(dirname(sudoersPathFor(who.user, who.uid))).catch(() => []);
  if (others.some((name) => name.startsWith("banger-"))) return;
  for (const program of [INSTALLED_HELPER, INSTALLED_JAIL]) await rm(program, { force: true });
  const directory = dirname(INSTALLED_HELPER);
  const isOurs = await lstat(directory).catch(() => null);
  if (isOurs?.isDirectory()) await rmdir(directory).catch(() => {});
};
