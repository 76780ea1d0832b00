// Puts what was built here into a bundle, with its hashes recorded.
import { chmod, cp, mkdir, rename, rm, stat } from "node:fs/promises";
import { dirname } from "node:path";
import type { BundleArtifact } from "./manifest.ts";
import { entryFor, hashFile, hashTree, readRecord, writeRecord } from "./record.ts";

/** What was built, by the artifact's name: the file or directory that it is copied from, and its version where it has one of its own. */
export type Built = Readonly<Record<string, string | { from: string; version: string }>>;

/** Answers the names of those that were put in; what was not built is left as it is. */
export const assembleBundle = async (
  directory: string,
  artifacts: readonly BundleArtifact[],
  given: { built: Built; version: string; now: Date },
): Promise<string[]> => {
  await mkdir(directory, { recursive: true });
  const record = await readRecord(directory);
  const done: string[] = [];
  for (const artifact of artifacts) {
    const built = given.built[artifact.name];
    if (built === undefined) continue;
    const { from, version } = typeof built === "string" ? { from: built, version: given.version } : built;
    if (!(await stat(from).catch(() => null))) continue;
    const target = `${directory}/${artifact.path}`;
    const ready = `${target}.new`;
    await rm(ready, { recursive: true, force: true });
    await mkdir(dirname(target), { recursive: true });
    await cp(from, ready, { recursive: true, preserveTimestamps: true });
    if (!artifact.isTree) await chmod(ready, artifact.mode);
    await rm(target, { recursive: true, force: true });
    await rename(ready, target);
    const sha256 = await (artifact.isTree ? hashTree(target) : hashFile(target));
    record.artifacts[artifact.name] = await entryFor(target, {
      ...{ sha256, from: "built here", at: given.now },
      version: artifact.version ?? version,
    });
    done.push(artifact.name);
  }
  await writeRecord(directory, record);
  return done;
};
