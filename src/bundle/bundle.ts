// The runtime bundle as others use it: where it is, what is in it, and the program of a name that may be run.
import { stat } from "node:fs/promises";
import manifestText from "../../runtime-bundle.toml" with { type: "text" };
import { type BangerError, fail } from "../spec/errors.ts";
import { assembleBundle, type Built } from "./assemble.ts";
import { type BundlePlace, repairOf, resolveBundle, runningExecutable } from "./directory.ts";
import { type FetchRequest, fetchArtifacts } from "./fetch.ts";
import { type ArtifactState, inspectArtifact } from "./inspect.ts";
import { type BundleArtifact, hostArchitecture, parseManifest } from "./manifest.ts";
import { forgetOwn, type OwnProgram, readOwn, recordOwn } from "./own.ts";
import { type PackedBundle, packBundle } from "./package.ts";
import { hashFile, readRecord } from "./record.ts";

/** A program that was found and verified, or why the one that is there may not be run. */
export type BundledProgram = { path: string; isOwn: boolean } | { reason: string };

export type Bundle = {
  place: BundlePlace;
  artifacts: readonly BundleArtifact[];
  list(options: { isDeep: boolean }): Promise<ArtifactState[]>;
  /** Errors: bundle.fetch_failed, bundle.incomplete, bundle.unknown_artifact. */
  fetch(names: readonly string[], options: Pick<FetchRequest, "from" | "signal" | "onEvent">): Promise<ArtifactState[]>;
  assemble(built: Built, version: string): Promise<string[]>;
  pack(target: string): Promise<PackedBundle>;
  /** The user's own, else the bundle's; null when neither is there. */
  program(name: string): Promise<BundledProgram | null>;
  /** The archive of the default image, when it is there and right. A source tree builds its own, of its own sources. */
  readyImage(): Promise<string | null>;
  /** The kernel that `make kernel` made; `key` changes when it does. Or why it cannot be had, and the error for whoever insists. */
  ownKernel(): Promise<{ directory: string; key: string } | { absence: string; error: BangerError }>;
  own(name: string): Promise<OwnProgram | null>;
  /** Null forgets the user's own. Errors: bundle.own_unusable, bundle.unknown_artifact. */
  use(name: string, path: string | null): Promise<OwnProgram | null>;
};

export type BundleOptions = {
  env: Readonly<Record<string, string | undefined>>;
  /** Settings `bundle.dir` and `bundle.mirror`. */
  configured: { dir: string | null; mirror: string | null };
  /** Where what is the user's own is recorded. */
  dataDir: string;
  tryLock: FetchRequest["tryLock"];
  readVersion: (path: string) => Promise<string>;
  now: () => Date;
  /** For tests: another manifest, and other bounds. */
  manifest?: string;
  limits?: FetchRequest["limits"];
};

/** Programs that a user may replace. */
const replaceable: readonly string[] = ["firecracker", "jailer"];

export const openBundle = (options: BundleOptions): Bundle => {
  const { env, configured, dataDir, now } = options;
  const place = resolveBundle({ env, configured: configured.dir, executable: runningExecutable() });
  const artifacts = parseManifest(options.manifest ?? manifestText, {
    path: "runtime-bundle.toml",
    architecture: hostArchitecture(),
  });
  const verified = new Map<string, string>();

  /** Hashes a file once for each state of it. */
  const hashOf = async (path: string): Promise<string> => {
    const { ino, size, mtimeMs } = await stat(path);
    const key = `${path} ${ino} ${size} ${mtimeMs}`;
    const sha256 = verified.get(key) ?? (await hashFile(path));
    verified.set(key, sha256);
    return sha256;
  };

  const inspectAll = async (which: readonly BundleArtifact[], isDeep: boolean): Promise<ArtifactState[]> => {
    const record = await readRecord(place.directory);
    return Promise.all(which.map((artifact) => inspectArtifact(place, artifact, { record, isDeep })));
  };

  const known = (names: readonly string[], among: readonly BundleArtifact[]): BundleArtifact[] =>
    names.map((name) => {
      const found = among.find((artifact) => artifact.name === name);
      if (found) return found;
      throw fail("bundle.unknown_artifact", { artifact: name, known: among.map((artifact) => artifact.name) });
    });

  return {
    place,
    artifacts,
    list: ({ isDeep }) => inspectAll(artifacts, isDeep),
    fetch: async (names, { from, signal, onEvent }) => {
      const downloads = artifacts.filter(({ download }) => download !== null);
      const wanted = names.length > 0 ? known(names, downloads) : downloads.filter(({ isOptional }) => !isOptional);
      await fetchArtifacts({
        ...{ place, artifacts: wanted, from, mirror: configured.mirror, signal, onEvent, now },
        tryLock: options.tryLock,
        ...(options.limits ? { limits: options.limits } : {}),
      });
      return inspectAll(wanted, false);
    },
    assemble: (built, version) => assembleBundle(place.directory, artifacts, { built, version, now: now() }),
    pack: (target) => packBundle(place.directory, target),
    program: async (name) => {
      const own = await readOwn(dataDir, name);
      if (own) return judgeOwn(own, name, hashOf);
      const [artifact] = artifacts.filter((one) => one.name === name);
      if (!artifact) return null;
      const path = `${place.directory}/${artifact.path}`;
      if (!(await stat(path).catch(() => null))) return null;
      const state = await inspectArtifact(place, artifact, { record: await readRecord(place.directory), isDeep: true });
      if (state.state === "ok") return { path, isOwn: false };
      return { reason: staleSentence(place, artifact, state.detail ?? "") };
    },
    readyImage: async () => {
      if (place.kind === "checkout") return null;
      const [state] = await inspectAll(
        artifacts.filter(({ name }) => name === "default-image"),
        true,
      );
      return state?.state === "ok" ? state.path : null;
    },
    ownKernel: async () => {
      const [artifact] = known(["kernel"], artifacts);
      if (!artifact) throw fail("internal.bug", { detail: "the manifest has no kernel" });
      const directory = `${place.directory}/${artifact.path}`;
      const repair = repairOf(place, artifact);
      const key = await stateOf([`${directory}/vmlinux`, `${directory}/kernel.env`]);
      if (key === null) {
        const absence = place.kind === "checkout" ? "nobody has built it: make kernel" : "this bundle came without it";
        return { absence, error: fail("bundle.missing", { artifact: artifact.name, directory, repair }) };
      }
      if (!verified.has(key)) {
        const [state] = await inspectAll([artifact], true);
        if (state?.state !== "ok") {
          const detail = state?.detail ?? "it is not there";
          const error = fail("bundle.stale", { artifact: artifact.name, directory: place.directory, detail, repair });
          return { absence: `the bundle's is not right: ${detail}`, error };
        }
        verified.set(key, state.sha256 ?? "");
      }
      return { directory, key };
    },
    own: (name) => readOwn(dataDir, name),
    use: async (name, path) => {
      known(
        [name],
        artifacts.filter((artifact) => replaceable.includes(artifact.name)),
      );
      if (path === null) return forgetOwn(dataDir, name).then(() => null);
      return recordOwn(dataDir, name, { path, readVersion: options.readVersion, now: now() });
    },
  };
};

/** Changes when any of these files does; null when one of them is missing. */
const stateOf = async (paths: readonly string[]): Promise<string | null> => {
  const seen = await Promise.all(paths.map((path) => stat(path).catch(() => null)));
  if (seen.includes(null)) return null;
  return seen.map((one, index) => `${paths[index]} ${one?.ino} ${one?.size} ${one?.mtimeMs}`).join(" ");
};

const staleSentence = (place: BundlePlace, artifact: BundleArtifact, detail: string): string => {
  const repair = repairOf(place, artifact);
  const error = fail("bundle.stale", { artifact: artifact.name, directory: place.directory, detail, repair });
  return `${error.message} Try: ${repair}`;
};

const judgeOwn = async (
  own: OwnProgram,
  name: string,
  hashOf: (path: string) => Promise<string>,
): Promise<BundledProgram> => {
  const again = `banger bundle use ${name} ${own.path}`;
  const sha256 = await hashOf(own.path).catch(() => null);
  if (sha256 === null) return { reason: `your own ${own.path} is gone; banger bundle use ${name} forgets it` };
  if (sha256 !== own.sha256)
    return { reason: `your own ${own.path} has changed since you recorded it; ${again} takes it as it is now` };
  return { path: own.path, isOwn: true };
};
