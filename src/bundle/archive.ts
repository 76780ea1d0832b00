// Takes one named file out of a tar.gz archive, and refuses archives that hold anything an honest release has no use for.
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { open, rm } from "node:fs/promises";
import { createGunzip } from "node:zlib";
import { extract } from "tar-stream";
import { describeUnknown, isBangerError } from "../spec/errors.ts";
import { fetchFailure } from "./download.ts";

export type ArchiveLimits = { entries: number; unpackedBytes: number };

export const ordinaryArchive: ArchiveLimits = { entries: 10_000, unpackedBytes: 1024 * 1024 * 1024 };

type Header = { name: string; type?: string | null; size?: number };

/** Why an entry is not accepted; null when it is. Every entry is judged, wanted or not: one bad one spoils the archive. Pure. */
export const findArchiveFault = (header: Header, seen: ReadonlySet<string>): string | null => {
  const { name, type } = header;
  const shown = JSON.stringify(name.slice(0, 80));
  if (type !== "file" && type !== "directory") return `${shown} is a ${type ?? "thing of unknown kind"}`;
  if (name.startsWith("/") || name.includes("\\") || name.includes("\0")) return `${shown} is no relative path`;
  const parts = name.split("/");
  if (parts.includes("..")) return `${shown} leads out of the archive`;
  if (
    name === "" ||
    parts.some((part, index) => (part === "" && index < parts.length - 1) || (part === "." && index > 0))
  )
    return `${shown} is spelled strangely`;
  if (seen.has(plainName(name))) return `${shown} is there twice`;
  return null;
};

const plainName = (name: string): string => name.replace(/^\.\//, "").replace(/\/$/, "");

/**
 * Writes `member` to the new file `to` and answers its SHA-256. Nothing is left of it when the archive is refused.
 * Errors: bundle.fetch_failed with the reason archive or size.
 */
export const extractMember = async (options: {
  artifact: string;
  archive: string;
  member: string;
  to: string;
  mode: number;
  limits: ArchiveLimits;
  signal: AbortSignal;
}): Promise<string> => {
  const { artifact, archive, member, to, mode, limits, signal } = options;
  const refuse = (detail: string, cause?: unknown) =>
    fetchFailure(artifact, "archive", `the archive is refused: ${detail}`, cause);
  const reader = extract();
  const packed = createReadStream(archive, { signal });
  const unpacked = packed.pipe(createGunzip());
  let total = 0;
  unpacked.on("data", (chunk: Buffer) => {
    total += chunk.length;
    if (total > limits.unpackedBytes) reader.destroy(refuse(`it unpacks to more than ${limits.unpackedBytes} bytes`));
  });
  packed.on("error", (error) => reader.destroy(error));
  unpacked.on("error", (error) => reader.destroy(error));
  unpacked.pipe(reader);
  const seen = new Set<string>();
  let found: string | null = null;
  try {
    for await (const entry of reader) {
      const { header } = entry;
      const fault = findArchiveFault(header, seen);
      if (fault !== null) throw refuse(fault);
      if (seen.size >= limits.entries) throw refuse(`it has more than ${limits.entries} entries`);
      if ((header.size ?? 0) > limits.unpackedBytes)
        throw refuse(`${JSON.stringify(header.name)} says it is too large`);
      seen.add(plainName(header.name));
      if (plainName(header.name) === member && header.type === "file")
        found = await writeEntry(entry as AsyncIterable<Uint8Array>, { to, mode });
      else for await (const _ of entry) signal.throwIfAborted();
    }
    if (found === null) throw refuse(`it has no ${member}`);
    return found;
  } catch (error) {
    await rm(to, { force: true });
    signal.throwIfAborted();
    if (isBangerError(error)) throw error;
    if ((error as { code?: string }).code === "ENOSPC") {
      throw fetchFailure(artifact, "space", `there is no space left for ${to}`, error);
    }
    throw refuse(describeUnknown(error), error);
  } finally {
    packed.destroy();
    unpacked.destroy();
    reader.destroy();
  }
};

const writeEntry = async (entry: AsyncIterable<Uint8Array>, target: { to: string; mode: number }): Promise<string> => {
  const hash = createHash("sha256");
  const file = await open(target.to, "wx", 0o600);
  try {
    for await (const chunk of entry) {
      hash.update(chunk);
      for (let offset = 0; offset < chunk.length; ) {
        offset += (await file.write(chunk, offset, chunk.length - offset)).bytesWritten;
      }
    }
    await file.chmod(target.mode);
    await file.sync();
  } finally {
    await file.close();
  }
  return hash.digest("hex");
};
