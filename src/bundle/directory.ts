// Decides which directory is the runtime bundle, and why.
import { existsSync } from "node:fs";
import { basename, dirname, resolve } from "node:path";

export type BundlePlace = {
  directory: string;
  /** Who decided it: what is missing there is mended in another way each time. */
  kind: "environment" | "config" | "checkout" | "installed";
  /** A sentence without its end. */
  reason: string;
};

type Surroundings = {
  env: Readonly<Record<string, string | undefined>>;
  /** `bundle.dir` of the configuration; null when it is not set. */
  configured: string | null;
  /** The running program: the executable, or a file of the source tree when the runtime itself is the executable. */
  executable: string;
  /** Whether a file exists; for tests. */
  exists?: (path: string) => boolean;
};

/** BANGER_RUNTIME_DIR, then the configuration, then `runtime` of the source tree, then `../lib/banger` beside the executable's `bin`. */
export const resolveBundle = (surroundings: Surroundings): BundlePlace => {
  const { env, configured, executable, exists = existsSync } = surroundings;
  const named = env.BANGER_RUNTIME_DIR;
  if (named?.startsWith("/")) return { directory: named, kind: "environment", reason: "BANGER_RUNTIME_DIR names it" };
  if (configured !== null) return { directory: configured, kind: "config", reason: "the setting bundle.dir names it" };
  const sourceTree = [resolve(dirname(executable), ".."), resolve(dirname(executable), "../..")].find(
    (root) => exists(`${root}/runtime-bundle.toml`) && exists(`${root}/package.json`),
  );
  if (sourceTree !== undefined) {
    return {
      directory: `${sourceTree}/runtime`,
      kind: "checkout",
      reason: `banger runs from the source tree ${sourceTree}`,
    };
  }
  const directory = resolve(dirname(executable), "../lib/banger");
  return { directory, kind: "installed", reason: `it belongs to the installed ${executable}` };
};

/** What `resolveBundle` takes the program to be. */
export const runningExecutable = (): string =>
  basename(process.execPath) === "bun" ? resolve(import.meta.dir, "../main.ts") : process.execPath;

/** What mends a file that is missing or wrong there. */
export const repairOf = (place: BundlePlace, artifact: { madeBy: string | null; name: string }): string => {
  if (artifact.madeBy === null) return `banger bundle fetch ${artifact.name}`;
  if (place.kind === "checkout") return `${artifact.madeBy}   # in the source tree`;
  return "install banger again: its package brings this file";
};
