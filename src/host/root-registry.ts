// Which user an instance belongs to, as root remembers it: /run/banger/instances/ID holds the uid, made at first use.
import { chmodSync, linkSync, lstatSync, mkdirSync, readFileSync, unlinkSync, writeFileSync } from "node:fs";
import { fail } from "../spec/errors.ts";

/** Gone with the boot, as all that it speaks of is. */
export const REGISTRY_DIR = "/run/banger/instances";

export type InstanceRegistry = {
  /** Makes `instance` the caller's when it is nobody's yet, and answers whether it was; root.refused when it is another's. */
  claim(instance: string, uid: number): "known" | "new";
  /** Forgets an instance of which nothing is left. */
  release(instance: string): void;
};

const refuse = (detail: string) => fail("root.refused", { operation: "any operation", detail });

const makeRootDir = (path: string, uid: number) => {
  mkdirSync(path, { recursive: true, mode: 0o755 });
  const seen = lstatSync(path);
  if (!seen.isDirectory() || seen.uid !== uid) throw refuse(`${path} is not root's own directory`);
  if ((seen.mode & 0o022) !== 0) chmodSync(path, 0o755);
};

/** The registry of this host. `ownerUid` is root's, save in tests. */
export const openRegistry = (directory = REGISTRY_DIR, ownerUid = 0): InstanceRegistry => {
  const fileOf = (instance: string) => `${directory}/${instance}`;
  const readOwner = (instance: string): number | null => {
    try {
      return Number.parseInt(readFileSync(fileOf(instance), "utf8"), 10);
    } catch (error) {
      if ((error as { code?: string }).code === "ENOENT") return null;
      throw error;
    }
  };
  return {
    claim(instance, uid) {
      const known = readOwner(instance);
      if (known === uid) return "known";
      if (known === null) {
        makeRootDir(directory.slice(0, directory.lastIndexOf("/")), ownerUid);
        makeRootDir(directory, ownerUid);
        const temporary = `${fileOf(instance)}.${process.pid}`;
        writeFileSync(temporary, `${uid}\n`, { mode: 0o644 });
        try {
          // link(2) makes the whole file appear at once and never replaces one that a rival made.
          linkSync(temporary, fileOf(instance));
        } catch (error) {
          if ((error as { code?: string }).code !== "EEXIST") throw error;
        } finally {
          unlinkSync(temporary);
        }
      }
      if (readOwner(instance) !== uid) throw refuse(`instance ${instance} belongs to another user of this host`);
      return "new";
    },
    release(instance) {
      try {
        unlinkSync(fileOf(instance));
      } catch (error) {
        if ((error as { code?: string }).code !== "ENOENT") throw error;
      }
    },
  };
};

/** In a user namespace there is but one user and no /run of root's: everything in it is the caller's. */
export const unregistered: InstanceRegistry = { claim: () => "known", release: () => {} };

/** Whether the uid map of a process (/proc/PID/uid_map) is that of the host itself (user_namespaces(7)). */
export const isHostUidMap = (uidMap: string): boolean => /^\s*0\s+0\s+4294967295\s*$/.test(uidMap);
