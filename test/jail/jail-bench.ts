// A workbench for jails: programs that root owns, a VM's files of some user, and the removal of all of it.
import { chownSync, cpSync, existsSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { prepareJail, removeJail } from "../../src/host/jail.ts";
import type { HostOp } from "../../src/spec/host-op.ts";
import { builtNative, runTool } from "../native.ts";

export const INSTANCE = "jailt";
export const VM = "0123456789ab";

/** Only root makes jails, and root runs nothing that lies where others may write: /tmp will not do. */
const BASE = "/root";

export type Programs = { dir: string; jail: string; jailer: string; vmm: string; isReal: boolean; close(): void };

const compile = (source: string, to: string): void => {
  const flags = "-std=c11 -Os -Wall -Wextra -Werror -static -s -o".split(" ");
  runTool([process.env.CC ?? "musl-gcc", ...flags, to, join(import.meta.dir, source)]);
};

/** banger-jail as built here, with Firecracker's own programs where BANGER_FIRECRACKER names them, else what stands in for them. */
export const buildPrograms = (real: string | null): Programs => {
  const dir = mkdtempSync(join(BASE, ".bgr-jail-"));
  const [jailer, vmm] = [join(dir, "jailer"), join(dir, "firecracker")];
  if (real === null) {
    compile("stand-in-jailer.c", jailer);
    compile("stand-in-vmm.c", vmm);
  } else {
    cpSync(real, vmm);
    cpSync(join(dirname(real), "jailer"), jailer);
  }
  return {
    ...{ dir, jail: builtNative("jail"), jailer, vmm, isReal: real !== null },
    close: () => rmSync(dir, { recursive: true, force: true }),
  };
};

/** The programs to be had here, or what keeps them away. */
export const findRealFirecracker = (): string | null => {
  const named = process.env.BANGER_FIRECRACKER;
  return named && existsSync(named) && existsSync(join(dirname(named), "jailer")) ? named : null;
};

export const obstacle = (): string | null =>
  process.getuid?.() !== 0 ? "only root makes jails" : existsSync(BASE) ? null : `there is no ${BASE}`;

export const openJailBench = (programs: Programs, caller: number) => {
  const dir = mkdtempSync("/tmp/bgr-jail-");
  const path = (name: string) => join(dir, name);
  const own = (name: string) => chownSync(path(name), caller, caller);
  chownSync(dir, caller, caller);
  mkdirSync(path("jail"), { mode: 0o700 });
  own("jail");
  for (const name of ["kernel", "root.img", "document", "firecracker.json"]) {
    writeFileSync(path(name), name, { mode: 0o600 });
    own(name);
  }
  const op: Extract<HostOp, { op: "jail.prepare" }> = {
    op: "jail.prepare",
    instance: INSTANCE,
    vm: VM,
    program: programs.vmm,
    args: ["--api-sock", "/s/api.sock", "--log-path", "/log", "--level", "Warn"],
    againArgs: ["--config-file", "/f/config"],
    jailer: programs.jailer,
    sockets: path("jail"),
    pidFile: path("vmm.pid"),
    files: [
      { name: "kernel", path: path("kernel"), access: "shared" },
      { name: "root", path: path("root.img"), access: "disk" },
      { name: "document", path: path("document"), access: "own" },
      { name: "config", path: path("firecracker.json"), access: "own" },
    ],
  };
  const env = caller === 0 ? {} : { SUDO_UID: String(caller) };
  const remove = (uid = caller) => removeJail({ op: "jail.remove", instance: INSTANCE, vm: VM }, uid);
  return {
    dir,
    path,
    op,
    env,
    prepare: (changes: Partial<typeof op> = {}, uid = caller) => prepareJail({ ...op, ...changes }, uid),
    remove,
    /** banger-jail itself, as a shim by sudo would start it. */
    spawn: (args: readonly string[] = [], more: Record<string, string> = {}) =>
      Bun.spawn(["/bin/sh", "-c", 'umask 077; exec "$0" "$@"', programs.jail, INSTANCE, VM, ...args], {
        env: { ...env, ...more },
        stdio: ["pipe", "pipe", "pipe"],
      }),
    rights: (name: string) => {
      const { uid, gid, mode } = statSync(path(name));
      return { uid, gid, mode: mode & 0o7777 };
    },
    async close() {
      await remove();
      rmSync(dir, { recursive: true, force: true });
    },
  };
};

export type JailBench = ReturnType<typeof openJailBench>;
