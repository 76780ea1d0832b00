// Fetches what a bundle lacks: one process at a time, each file verified before it takes its place, and on past a file that fails.
import { chmod, mkdir, readdir, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { describeUnknown, fail, isBangerError } from "../spec/errors.ts";
import { type ArchiveLimits, extractMember, ordinaryArchive } from "./archive.ts";
import type { BundlePlace } from "./directory.ts";
import { type DownloadLimits, type DownloadProgress, download, fetchFailure, ordinaryLimits } from "./download.ts";
import { inspectArtifact } from "./inspect.ts";
import { type BundleArtifact, type Download, pinnedHash } from "./manifest.ts";
import { entryFor, hashFile, readRecord, syncDirectory, writeRecord } from "./record.ts";

const LOCK_POLL_MS = 100;

export type FetchEvent =
  | { kind: "waiting" }
  | { kind: "progress"; artifact: string; progress: DownloadProgress }
  | { kind: "done"; artifact: string; outcome: "present" | "fetched"; from: string | null };

export type FetchRequest = {
  place: BundlePlace;
  artifacts: readonly BundleArtifact[];
  /** A directory, a file's address without its name, or null: where the manifest says. */
  from: string | null;
  /** Asked before the manifest's own address. */
  mirror: string | null;
  /** Takes the lock on a file at once, or answers null: `host/lock.ts`. */
  tryLock: (path: string) => { release(): void } | null;
  signal: AbortSignal;
  onEvent: (event: FetchEvent) => void;
  now: () => Date;
  limits?: DownloadLimits;
  archiveLimits?: ArchiveLimits;
};

/** Errors: bundle.fetch_failed for one, bundle.incomplete for several; the others are fetched all the same. */
export const fetchArtifacts = async (request: FetchRequest): Promise<void> => {
  const work = `${request.place.directory}/.fetch`;
  await mkdir(work, { recursive: true }).catch((error: unknown) => {
    throw fetchFailure("the bundle", "place", `${work} cannot be made (${describeUnknown(error)})`, error);
  });
  const lock = await waitForLock(`${work}/lock`, request);
  const failures: { artifact: string; error: unknown }[] = [];
  try {
    for (const artifact of request.artifacts) {
      if (artifact.download === null) continue;
      try {
        await fetchOne(artifact, artifact.download, request, work);
      } catch (error) {
        request.signal.throwIfAborted();
        failures.push({ artifact: artifact.name, error });
      }
    }
    if (failures.length === 0) await clearParts(work);
  } finally {
    lock.release();
  }
  const [first] = failures;
  if (first === undefined) return;
  if (failures.length === 1) throw first.error;
  throw fail("bundle.incomplete", {
    directory: request.place.directory,
    failed: failures.map(({ artifact, error }) => ({
      artifact,
      detail: describeUnknown(error),
      repair: (isBangerError(error) ? error.fix : null) ?? `banger bundle fetch ${artifact}`,
    })),
  });
};

/** Two at once download once: the second waits, and then finds everything there. */
const waitForLock = async (path: string, { tryLock, signal, onEvent }: FetchRequest) => {
  for (let isTold = false; ; isTold = true) {
    const lock = tryLock(path);
    if (lock) return lock;
    if (!isTold) onEvent({ kind: "waiting" });
    signal.throwIfAborted();
    await Bun.sleep(LOCK_POLL_MS);
  }
};

const clearParts = async (work: string): Promise<void> => {
  for (const name of await readdir(work)) if (name !== "lock") await rm(`${work}/${name}`, { force: true });
};

const fetchOne = async (
  artifact: BundleArtifact,
  wanted: Download,
  request: FetchRequest,
  work: string,
): Promise<void> => {
  const { place, signal, onEvent, now } = request;
  const { name, path, mode, version } = artifact;
  const record = await readRecord(place.directory);
  const state = await inspectArtifact(place, artifact, { record, isDeep: true });
  if (state.state === "ok") {
    onEvent({ kind: "done", artifact: name, outcome: "present", from: null });
    return;
  }
  const part = `${work}/${wanted.sha256}.part`;
  const isThere = (await hashFile(part).catch(() => null)) === wanted.sha256;
  const { from } = isThere
    ? { from: wanted.url }
    : await download({
        artifact: name,
        places: placesOf(wanted, request),
        sha256: wanted.sha256,
        maxBytes: wanted.max_mib * 1024 * 1024,
        size: wanted.size ?? null,
        part,
        limits: request.limits ?? ordinaryLimits,
        signal,
        onProgress: (progress) => onEvent({ kind: "progress", artifact: name, progress }),
      });
  const ready = `${work}/${name}.new`;
  await rm(ready, { force: true });
  const sha256 = wanted.member
    ? await extractMember({
        ...{ artifact: name, archive: part, member: wanted.member, to: ready, mode, signal },
        limits: request.archiveLimits ?? ordinaryArchive,
      })
    : wanted.sha256;
  const pinned = pinnedHash(artifact);
  if (pinned !== null && sha256 !== pinned) {
    await rm(ready, { force: true });
    throw fetchFailure(name, "hash", `${wanted.member} has the SHA-256 ${sha256}, and ${pinned} is wanted`);
  }
  if (!wanted.member) {
    await chmod(part, mode);
    await rename(part, ready);
  }
  const target = `${place.directory}/${path}`;
  await mkdir(dirname(target), { recursive: true });
  await rename(ready, target);
  await syncDirectory(dirname(target));
  record.artifacts[name] = await entryFor(target, { sha256, version, from, at: now() });
  await writeRecord(place.directory, record);
  onEvent({ kind: "done", artifact: name, outcome: "fetched", from });
};

const placesOf = (wanted: Download, { from, mirror }: FetchRequest): string[] => {
  const name = wanted.url.slice(wanted.url.lastIndexOf("/") + 1);
  const below = (base: string) => `${base.replace(/\/+$/, "")}/${name}`;
  if (from !== null) return [below(from)];
  return [...(mirror === null ? [] : [below(mirror)]), wanted.url];
};
