// Gathers how banger's own files stand: directories, space, sharing of blocks, records, images, what belongs to the executable.
import { access, lstat } from "node:fs/promises";
import { dirname } from "node:path";
import { fail, hasCode, isBangerError } from "../spec/errors.ts";
import type { DoctorFacts, DoctorPorts } from "./facts.ts";
import type { Gatherers } from "./gather.ts";

const W_OK = 2;
const SAMPLE_MIB = 1;

const isThere = (path: string): Promise<boolean> =>
  lstat(path).then(
    () => true,
    () => false,
  );

/** What is wrong with a directory of ours; null when nothing is, or when it can be made. */
const findFault = async (path: string, uid: number) => {
  let at = path;
  while (!(await isThere(at)) && at !== "/") at = dirname(at);
  const seen = await lstat(at);
  const unusable = (detail: string) => fail("instance.unusable", { path: at, detail });
  if (at === path) {
    if (seen.isSymbolicLink()) return unusable("it is a symbolic link");
    if (!seen.isDirectory()) return unusable("it is no directory");
    if (seen.uid !== uid) return unusable(`it belongs to uid ${seen.uid}, and this is uid ${uid}`);
  }
  const mayWrite = await access(at, W_OK).then(
    () => true,
    () => false,
  );
  return mayWrite ? null : unusable("this user may not write there");
};

/** People and screens may ask one daemon at once, and each tries with a file of its own. */
let triesMade = 0;

/** How a copy of a disk is made where VMs' disks lie: tried with a small file. */
const tryClone = async ({ host, paths }: DoctorPorts): Promise<DoctorFacts["clone"]> => {
  const { files } = host;
  await files.makeDir(paths.dataDir);
  triesMade += 1;
  const from = `${paths.dataDir}/.doctor-${process.pid}-${triesMade}`;
  try {
    await Bun.write(from, new Uint8Array(SAMPLE_MIB * 1024 * 1024).fill(1));
    const { method } = await files.cloneDisk({ from, to: `${from}.copy`, sizeMiB: SAMPLE_MIB });
    return { path: paths.dataDir, method };
  } finally {
    for (const path of [`${from}.copy`, from]) await files.removeFile(path).catch(() => {});
  }
};

type FileFacts = "disk" | "clone" | "directories" | "database" | "images" | "guestKernel" | "native";

export const gatherFiles: Pick<Gatherers, FileFacts> = {
  disk: async ({ host, paths }) => ({ path: paths.dataDir, freeMiB: await host.files.freeMiB(paths.dataDir) }),
  clone: async (ports) => {
    try {
      return await tryClone(ports);
    } catch (error) {
      // A full disk has a row of its own.
      if (hasCode(error, "host.no_space")) return { path: ports.paths.dataDir, method: null };
      throw error;
    }
  },
  directories: async ({ host, paths }) => {
    const { uid } = await host.facts();
    const directories = [paths.dataDir, paths.stateDir, paths.configDir, paths.runtimeDir];
    const faults = await Promise.all(directories.map((path) => findFault(path, uid)));
    return {
      failures: faults.filter((fault) => fault !== null),
      count: directories.length,
      runtimeDir: paths.runtimeDir,
    };
  },
  database: async ({ paths, openDatabase }) => {
    const path = paths.database;
    const exists = await isThere(path);
    try {
      if (exists) openDatabase();
      return { path, exists, failure: null };
    } catch (error) {
      if (!isBangerError(error)) throw error;
      return { path, exists, failure: error };
    }
  },
  images: ({ images }) => images(),
  guestKernel: ({ guestKernel }) => guestKernel(),
  native: async ({ native }) => {
    const needed = [
      native.shim,
      native.tsc,
      ...["banger-init", "banger-initramfs-init", "banger-vsock-pingd"].map((name) => `${native.guestHelpers}/${name}`),
      ...["customize.sh", "debian-kernel.sh"].map((name) => `${native.imageScripts}/${name}`),
    ];
    const there = await Promise.all(needed.map(isThere));
    return { directory: dirname(native.shim), missing: needed.filter((_, index) => !there[index]) };
  },
};
