// Decides how the privileged helper is started, and refuses to let root run what somebody else could have written.
import { lstatSync } from "node:fs";
import { dirname } from "node:path";

/** Where `banger setup` puts the root-owned copy of the executable. */
export const INSTALLED_HELPER = "/usr/local/lib/banger/banger-root";

/** … and the program that runs the jailer, which is small enough to stay as long as its VM. */
export const INSTALLED_JAIL = "/usr/local/lib/banger/banger-jail";

/** One component of a path, as lstat saw it. */
export type PathComponent = { path: string; uid: number; mode: number; isLink: boolean };

/** What lets someone but root replace the file at the end of these components; null when nothing does. */
export const findWeakness = (components: readonly PathComponent[]): string | null => {
  for (const { path, uid, mode, isLink } of components) {
    if (isLink) return `${path} is a symbolic link`;
    if (uid !== 0) return `${path} belongs to uid ${uid}, not to root`;
    if ((mode & 0o022) !== 0) return `${path} can be written by others than root`;
  }
  return null;
};

export type RootLaunchFacts = {
  uid: number;
  /** How the program that runs now starts itself as the helper. */
  own: { argv: readonly string[]; argv0: string | null };
  /** The root-owned copy with all its parents, from `/` down; null when it is not installed. */
  installed: readonly PathComponent[] | null;
  /** Absolute path of sudo, null when it is not installed. */
  sudo: string | null;
};

export type RootLaunch =
  | { kind: "launch"; argv: readonly string[]; argv0: string | null }
  | { kind: "refusal"; detail: string; lacks?: "sudo" | "helper" };

/**
 * Root starts the executable it already runs, which gives it nothing new to trust. Anyone else starts the root-owned copy through
 * sudo, and that copy alone. Pure.
 */
export const planRootLaunch = ({ uid, own, installed, sudo }: RootLaunchFacts): RootLaunch => {
  const refusal = (detail: string, lacks: "sudo" | "helper" = "helper"): RootLaunch => ({
    kind: "refusal",
    detail,
    lacks,
  });
  if (uid === 0) return { kind: "launch", ...own };
  if (sudo === null) return refusal("sudo is not installed", "sudo");
  const last = installed?.at(-1);
  if (!installed || !last) return refusal(`${INSTALLED_HELPER} is not installed`);
  const weakness = findWeakness(installed);
  if (weakness !== null) return refusal(weakness);
  return { kind: "launch", argv: [sudo, "-n", "--", last.path], argv0: null };
};

/** `path` and its parents from `/` down, null when it does not exist. */
export const readComponents = (path: string): PathComponent[] | null => {
  const parents: string[] = [];
  for (let at = path; ; at = dirname(at)) {
    parents.unshift(at);
    if (at === "/") break;
  }
  try {
    return parents.map((parent) => {
      const seen = lstatSync(parent);
      return { path: parent, uid: seen.uid, mode: seen.mode & 0o7777, isLink: seen.isSymbolicLink() };
    });
  } catch {
    return null;
  }
};
