// The jails of this host as root prepares and removes them: what banger-jail may run for a VM, and its user's way to that VM's files.
import {
  chmodSync,
  constants,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { open, readdir, readFile, rmdir } from "node:fs/promises";
import { describeUnknown, fail } from "../spec/errors.ts";
import type { HostOp, JailedFile } from "../spec/host-op.ts";
import { jailUid, PREFIX } from "../spec/names.ts";
import { findWeakness, readComponents } from "./root-launch.ts";

type Prepare = Extract<HostOp, { op: "jail.prepare" }>;
type Remove = Extract<HostOp, { op: "jail.remove" }>;

/** Root's own: a file for each jail, and the mount point that each covers with a root of its own (native/jail). Gone with the boot. */
const PLANS_DIR = "/run/banger/jails";
const BASE_DIR = "/run/banger/jail";
const CGROUPS = "/sys/fs/cgroup";
const ENDING_MS = 5000;
const LOOK_MS = 20;

const planPath = ({ instance, vm }: { instance: string; vm: string }): string => `${PLANS_DIR}/${instance}-${vm}`;
const refuse = (operation: string, detail: string) => fail("root.refused", { operation, detail });

/** The plan as banger-jail reads it: NUL-ended items. Pure. */
export const renderJail = (op: Prepare, host: { callerUid: number; hasCgroups: boolean }): string =>
  [
    ["caller", host.callerUid],
    ["uid", jailUid(op.vm)],
    ["jailer", op.jailer],
    ["exec", op.program],
    ["sockets", op.sockets],
    ["pid_file", op.pidFile],
    ...(host.hasCgroups ? [["cgroup", `${PREFIX}${op.instance}`]] : []),
    ...op.files.map(({ name, path, access }) => ["file", `${access === "disk" ? "rw" : "ro"}:${name}:${path}`]),
    ...op.args.map((word) => ["arg", word]),
    ...op.againArgs.map((word) => ["again_arg", word]),
  ]
    .map(([key, value]) => `${key}=${value}\0`)
    .join("");

/** The jailer counts processes in the unified hierarchy; on a host with the old ones there is no group, and all else is the same. */
const findCgroups = (): boolean => {
  try {
    return readFileSync(`${CGROUPS}/cgroup.controllers`, "utf8").trim().split(" ").includes("pids");
  } catch {
    return false;
  }
};

const checkProgram = (path: string): void => {
  const components = readComponents(path);
  const weakness = components === null ? `${path} is missing` : findWeakness(components);
  if (weakness !== null) throw refuse("jail.prepare", weakness);
};

type Rights = { group: number; mode: (seen: number) => number };

/** Changes group and mode of what the caller owns, and of nothing else. */
const give = async (path: string, caller: number, rights: Rights): Promise<void> => {
  const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK).catch((error) => {
    throw refuse("jail.prepare", describeUnknown(error));
  });
  try {
    const seen = await file.stat();
    if (seen.uid !== caller || !(seen.isFile() || seen.isDirectory()))
      throw refuse("jail.prepare", `${path} is no file of uid ${caller}`);
    if (seen.gid !== rights.group) await file.chown(seen.uid, rights.group);
    await file.chmod(rights.mode(seen.mode & 0o777));
  } finally {
    await file.close();
  }
};

/** The VM's own files are opened to its jail's group, which has no other member; a shared one to all who get as far as its directory. */
const openFile = async (file: JailedFile, who: { caller: number; uid: number }): Promise<void> => {
  const { path, access } = file;
  if (access !== "shared")
    return give(path, who.caller, { group: who.uid, mode: () => (access === "disk" ? 0o660 : 0o640) });
  const seen = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
    .then((opened) => opened.stat().finally(() => opened.close()))
    .catch((error) => {
      throw refuse("jail.prepare", describeUnknown(error));
    });
  if ((seen.mode & 0o004) === 0) await give(path, who.caller, { group: seen.gid, mode: (mode) => mode | 0o444 });
};

const makeRootDirs = (): void => {
  for (const path of ["/run/banger", PLANS_DIR, BASE_DIR]) {
    mkdirSync(path, { recursive: true, mode: 0o755 });
    const components = readComponents(path);
    const weakness = components && findWeakness(components);
    if (weakness) throw refuse("jail.prepare", weakness);
  }
  chmodSync(PLANS_DIR, 0o711);
};

export const prepareJail = async (op: Prepare, callerUid: number): Promise<void> => {
  for (const program of [op.program, op.jailer]) checkProgram(program);
  makeRootDirs();
  const uid = jailUid(op.vm);
  // First, so that what is opened from here on is known to whoever removes it.
  writeFileSync(planPath(op), renderJail(op, { callerUid, hasCgroups: findCgroups() }), { mode: 0o600 });
  for (const file of op.files) await openFile(file, { caller: callerUid, uid });
  // Sockets made in it get its group, so that each side can reach what the other makes.
  await give(op.sockets, callerUid, { group: uid, mode: () => 0o2770 });
};

/** Processes of the jail: its user's, which nothing else on this host is run as, and which say that they are this VM. */
const findProcesses = async (vm: string): Promise<number[]> => {
  const uid = jailUid(vm);
  const found = await Promise.all(
    (await readdir("/proc"))
      .filter((name) => /^\d+$/.test(name))
      .map(async (name) => {
        const status = await readFile(`/proc/${name}/status`, "utf8").catch(() => "");
        if (!new RegExp(`^Uid:\\t${uid}\\t${uid}\\t`, "m").test(status) || /^State:\tZ/m.test(status)) return [];
        const words = (await readFile(`/proc/${name}/cmdline`, "utf8").catch(() => "")).split("\0");
        return words[words.indexOf("--id") + 1] === vm ? [Number(name)] : [];
      }),
  );
  return found.flat();
};

const endProcesses = async (vm: string): Promise<void> => {
  const until = performance.now() + ENDING_MS;
  for (;;) {
    const pids = await findProcesses(vm);
    if (pids.length === 0) return;
    if (performance.now() > until) throw refuse("jail.remove", `process ${pids[0]} does not end`);
    for (const pid of pids) {
      try {
        process.kill(pid, "SIGKILL");
      } catch {
        // It has ended by itself.
      }
    }
    await Bun.sleep(LOOK_MS);
  }
};

/** The owner's alone again; a file that went away meanwhile needs nothing. */
const takeBack = async (plan: string, callerUid: number): Promise<void> => {
  const own = [...plan.matchAll(/(?:^|\0)file=(rw|ro):([a-z0-9]+):([^\0]+)/g)];
  for (const [, , , path = ""] of own) {
    const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK).catch(() => null);
    if (file === null) continue;
    try {
      const seen = await file.stat();
      const isOpened = seen.uid === callerUid && seen.isFile() && plan.includes(`\0uid=${seen.gid}\0`);
      if (!isOpened) continue;
      await file.chown(seen.uid, callerUid === 0 ? 0 : await groupOf(callerUid));
      await file.chmod(0o600);
    } finally {
      await file.close();
    }
  }
};

/** A user's own group, by /etc/passwd, else nobody's business but root's. */
const groupOf = async (uid: number): Promise<number> => {
  const line = (await readFile("/etc/passwd", "utf8")).split("\n").find((entry) => entry.split(":")[2] === `${uid}`);
  return Number(line?.split(":")[3] ?? 0);
};

export const removeJail = async (op: Remove, callerUid: number): Promise<void> => {
  await endProcesses(op.vm);
  const path = planPath(op);
  if (existsSync(path)) await takeBack(readFileSync(path, "utf8"), callerUid);
  // banger-jail has done this where it was not killed.
  for (const group of [`${PREFIX}${op.instance}/${op.vm}`, `${PREFIX}${op.instance}`])
    await rmdir(`${CGROUPS}/${group}`).catch(() => {});
  if (existsSync(path)) unlinkSync(path);
};

/** The VMs of an instance whose jail is prepared. */
export const listJails = (instance: string): string[] => {
  try {
    return readdirSync(PLANS_DIR)
      .filter((name) => name.startsWith(`${instance}-`))
      .map((name) => name.slice(instance.length + 1))
      .sort();
  } catch {
    return [];
  }
};
