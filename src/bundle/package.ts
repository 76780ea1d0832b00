// Packs a bundle into one archive: the same files give the same bytes, whoever packs them and when.
import { createReadStream, createWriteStream } from "node:fs";
import { mkdir, readdir, rename, rm, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { pipeline } from "node:stream/promises";
import { createGzip } from "node:zlib";
import { type Pack, pack } from "tar-stream";
import { hashFile, readRecord } from "./record.ts";

/** Nobody's time, so that it is everybody's. */
const NO_TIME = new Date(0);

type PackedFile = { name: string; mode: number; size: number; sha256: string };

export type PackedBundle = { path: string; sha256: string; sizeBytes: number; files: readonly PackedFile[] };

/** Everything in the archive lies below `banger/`, to be unpacked in a `lib` directory; `banger/MANIFEST` lists the hashes as sha256sum does. */
export const packBundle = async (directory: string, target: string): Promise<PackedBundle> => {
  const files = await listFiles(directory);
  const part = `${target}.${process.pid}.new`;
  await mkdir(dirname(target), { recursive: true });
  try {
    const stream = pack();
    const written = pipeline(stream, createGzip({ level: 6 }), createWriteStream(part));
    // What goes wrong with the target ends the filling too.
    written.catch((error: Error) => stream.destroy(error));
    await fill(stream, directory, files);
    await written;
    await rename(part, target);
  } finally {
    await rm(part, { force: true });
  }
  return { path: target, sha256: await hashFile(target), sizeBytes: (await stat(target)).size, files };
};

const listFiles = async (directory: string): Promise<PackedFile[]> => {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true });
  const names = entries
    .filter((entry) => entry.isFile())
    .map((entry) => `${entry.parentPath}/${entry.name}`.slice(directory.length + 1))
    .filter((name) => !name.startsWith(".fetch/") && !name.endsWith(".new") && name !== "bundle.json")
    .sort();
  return Promise.all(
    names.map(async (name) => {
      const path = `${directory}/${name}`;
      const { size, mode } = await stat(path);
      return { name, size, mode: mode & 0o100 ? 0o755 : 0o644, sha256: await hashFile(path) };
    }),
  );
};

const fill = async (stream: Pack, directory: string, files: readonly PackedFile[]): Promise<void> => {
  const plain = { mtime: NO_TIME, uid: 0, gid: 0, uname: "root", gname: "root" };
  const text = (name: string, content: string) => {
    stream.entry({ ...plain, name: `banger/${name}`, mode: 0o644, size: Buffer.byteLength(content) }, content);
  };
  const folders = new Set(files.flatMap(({ name }) => ancestors(name)));
  for (const folder of ["", ...[...folders].sort()]) {
    stream.entry({ ...plain, name: `banger/${folder}`, mode: 0o755, type: "directory" });
  }
  text("MANIFEST", files.map(({ sha256, name }) => `${sha256}  ${name}\n`).join(""));
  const record = await readRecord(directory);
  const artifacts = Object.entries(record.artifacts)
    .sort(([one], [other]) => (one < other ? -1 : 1))
    .map(([name, entry]) => [name, { ...entry, mtimeMs: 0, at: NO_TIME.toISOString() }]);
  text("bundle.json", `${JSON.stringify({ version: 1, artifacts: Object.fromEntries(artifacts) }, null, 2)}\n`);
  for (const { name, mode, size } of files) {
    const entry = stream.entry({ ...plain, name: `banger/${name}`, mode, size });
    await pipeline(createReadStream(`${directory}/${name}`), entry as unknown as NodeJS.WritableStream);
  }
  stream.finalize();
};

const ancestors = (name: string): string[] => {
  const parts = name.split("/").slice(0, -1);
  return parts.map((_, index) => parts.slice(0, index + 1).join("/"));
};
