// Says of each file of a bundle whether it is there and the right one.
import { stat } from "node:fs/promises";
import type { BundlePlace } from "./directory.ts";
import { repairOf } from "./directory.ts";
import { type BundleArtifact, pinnedHash } from "./manifest.ts";
import { type BundleRecord, hashFile, hashTree, type RecordEntry } from "./record.ts";

export type ArtifactState = {
  name: string;
  summary: string;
  /** Absolute path. */
  path: string;
  version: string | null;
  state: "ok" | "missing" | "stale";
  /** What is wrong; null when nothing is. */
  detail: string | null;
  isOptional: boolean;
  sizeBytes: number | null;
  sha256: string | null;
  from: string | null;
  /** What to type when it is not there or not right. */
  repair: string;
};

/** Size and time of a file are as recorded: nobody wrote it since, as far as one can tell without reading it. */
const isUntouched = (entry: RecordEntry | undefined, seen: { size: number; mtimeMs: number }): entry is RecordEntry =>
  entry !== undefined && entry.size === seen.size && Math.abs(entry.mtimeMs - seen.mtimeMs) < 1;

export const inspectArtifact = async (
  place: BundlePlace,
  artifact: BundleArtifact,
  options: { record: BundleRecord; isDeep: boolean },
): Promise<ArtifactState> => {
  const path = `${place.directory}/${artifact.path}`;
  const { name, summary, version, isOptional, isTree } = artifact;
  const entry = options.record.artifacts[name];
  const base = {
    ...{ name, summary, path, isOptional, version: version ?? entry?.version ?? null },
    ...{ from: entry?.from ?? null, repair: repairOf(place, artifact) },
  };
  const seen = await stat(path).catch(() => null);
  if (seen === null || seen.isDirectory() !== isTree) {
    return { ...base, state: "missing", detail: "it is not there", sizeBytes: null, sha256: null };
  }
  const isKnown = !options.isDeep && !isTree && isUntouched(entry, seen);
  const sha256 = isKnown ? entry.sha256 : await (isTree ? hashTree(path) : hashFile(path));
  const wanted = pinnedHash(artifact) ?? entry?.sha256 ?? null;
  const detail =
    wanted === null
      ? "nobody recorded its SHA-256"
      : sha256 === wanted
        ? null
        : `its SHA-256 is ${sha256}, and ${wanted} is wanted`;
  const sizeBytes = isTree ? null : seen.size;
  return { ...base, state: detail === null ? "ok" : "stale", detail, sizeBytes, sha256 };
};
