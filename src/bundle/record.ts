// The file bundle.json in a bundle: what was put there, with hash, size and time, so that a change is noticed without reading everything.
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { open, readdir, readFile, rename, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { z } from "zod";
import { describeUnknown, fail } from "../spec/errors.ts";

const Entry = z.object({
  sha256: z.string(),
  size: z.number(),
  mtimeMs: z.number(),
  version: z.string().nullable(),
  from: z.string(),
  at: z.string(),
});
export type RecordEntry = z.infer<typeof Entry>;

const BundleRecord = z.object({ version: z.literal(1), artifacts: z.record(z.string(), Entry) });
export type BundleRecord = z.infer<typeof BundleRecord>;

const recordPath = (directory: string): string => `${directory}/bundle.json`;

/** What is known of a bundle; nothing when there is no record or it cannot be understood: it only saves reading. */
export const readRecord = async (directory: string): Promise<BundleRecord> => {
  const text = await readFile(recordPath(directory), "utf8").catch(() => "");
  try {
    return BundleRecord.parse(JSON.parse(text));
  } catch {
    return { version: 1, artifacts: {} };
  }
};

export const writeRecord = (directory: string, record: BundleRecord): Promise<void> =>
  writeDurably(recordPath(directory), `${JSON.stringify(record, null, 2)}\n`);

/** All of it or none, whatever happens meanwhile. Errors: host.file_failed. */
export const writeDurably = async (path: string, text: string): Promise<void> => {
  const part = `${path}.${process.pid}.new`;
  try {
    const file = await open(part, "w", 0o644);
    try {
      await file.writeFile(text);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(part, path);
    await syncDirectory(dirname(path));
  } catch (error) {
    throw fail("host.file_failed", { path, operation: "write", detail: describeUnknown(error) }, error);
  }
};

/** A rename is on the disk when its directory is (fsync(2)). */
export const syncDirectory = async (directory: string): Promise<void> => {
  const handle = await open(directory, "r");
  await handle.sync().finally(() => handle.close());
};

export const hashFile = async (path: string): Promise<string> => {
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) hash.update(chunk as Uint8Array);
  return hash.digest("hex");
};

/** The entry for a file that is where it belongs. */
export const entryFor = async (
  path: string,
  known: { sha256: string; version: string | null; from: string; at: Date },
): Promise<RecordEntry> => {
  const { size, mtimeMs } = await stat(path);
  return { sha256: known.sha256, size, mtimeMs, version: known.version, from: known.from, at: known.at.toISOString() };
};

/** SHA-256 over every file below a directory with its name and whether it may be run, in the order of the names. */
export const hashTree = async (directory: string): Promise<string> => {
  const hash = createHash("sha256");
  const names = (await readdir(directory, { recursive: true, withFileTypes: true }))
    .filter((entry) => entry.isFile())
    .map((entry) => `${entry.parentPath}/${entry.name}`.slice(directory.length + 1))
    .sort();
  for (const name of names) {
    const { mode } = await stat(`${directory}/${name}`);
    hash.update(`${name}\0${mode & 0o100 ? "x" : "-"}\0${await hashFile(`${directory}/${name}`)}\n`);
  }
  return hash.digest("hex");
};
