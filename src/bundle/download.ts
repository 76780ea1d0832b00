// Fetches one file of known hash: into a part that is named by the hash, so that it can be gone on with, and never more than allowed.
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { type FileHandle, open, rm, stat } from "node:fs/promises";
import { describeUnknown, fail, isBangerError } from "../spec/errors.ts";

export type FetchReason = "hash" | "size" | "redirects" | "slow" | "http" | "space" | "place" | "archive";

/** What went wrong, for whoever knows the name of the artifact. */
export const fetchFailure = (artifact: string, reason: FetchReason, detail: string, cause?: unknown) =>
  fail("bundle.fetch_failed", { artifact, reason, detail }, cause);

export type DownloadLimits = {
  redirects: number;
  /** In each such span at least `leastBytes` must come. */
  stallMs: number;
  leastBytes: number;
};

export const ordinaryLimits: DownloadLimits = { redirects: 5, stallMs: 30_000, leastBytes: 16 * 1024 };

export type DownloadProgress = {
  /** Bytes that are there, those of an earlier try included. */
  doneBytes: number;
  /** Null where the server does not say. */
  totalBytes: number | null;
  /** Of this try. */
  bytesPerSecond: number;
};

export type DownloadRequest = {
  artifact: string;
  /** http, https, or an absolute path. Tried in this order. */
  places: readonly string[];
  sha256: string;
  maxBytes: number;
  /** Exact length, where it is known. */
  size: number | null;
  /** Where it grows; what is there already is gone on with. */
  part: string;
  limits: DownloadLimits;
  signal: AbortSignal;
  onProgress: (progress: DownloadProgress) => void;
};

/**
 * Leaves the whole, verified file in `part`. A part that does not become right is removed; one that was cut stays for the
 * next try. Errors: bundle.fetch_failed.
 */
export const download = async (request: DownloadRequest): Promise<{ from: string }> => {
  const failures: string[] = [];
  let last: unknown = null;
  for (const place of request.places) {
    try {
      // What an earlier try left may be another file's, or an older one's: then it is fetched from its beginning, once.
      await fetchFrom(place, request).catch(async (error: unknown) => {
        if (!isWrongAfterResuming(error)) throw error;
        await fetchFrom(place, request);
      });
      return { from: place };
    } catch (error) {
      request.signal.throwIfAborted();
      last = error;
      if (isBangerError(error) && isReason(error.data, "space")) throw error;
      failures.push(detailOf(error));
    }
  }
  if (failures.length < 2) throw last;
  throw fetchFailure(request.artifact, "http", failures.join("; "), last);
};

const isReason = (data: unknown, reason: FetchReason): boolean =>
  typeof data === "object" && data !== null && "reason" in data && data.reason === reason;
const detailOf = (error: unknown): string =>
  isBangerError(error) && "detail" in error.data ? String(error.data.detail) : describeUnknown(error);

class WrongAfterResuming extends Error {
  override readonly name = "WrongAfterResuming";
}
const isWrongAfterResuming = (error: unknown): boolean => error instanceof WrongAfterResuming;

const lengthOf = (path: string): Promise<number> =>
  stat(path).then(
    ({ size }) => size,
    () => 0,
  );

const fetchFrom = async (place: string, request: DownloadRequest): Promise<void> => {
  const { artifact, part, sha256, maxBytes, size } = request;
  const already = await lengthOf(part);
  const isResumable = already > 0 && already <= (size ?? maxBytes);
  if (already > 0 && !isResumable) await rm(part, { force: true });
  const source = await openSource(place, isResumable ? already : 0, request);
  const hash = createHash("sha256");
  const offset = source.offset;
  const file = await openPart(part, offset === 0, artifact);
  try {
    if (offset > 0) for await (const chunk of createReadStream(part, { end: offset - 1 })) hash.update(chunk as Buffer);
    await copy({ source, file, offset, hash, request });
    await file.sync();
  } catch (error) {
    throw isNoSpace(error) ? fetchFailure(artifact, "space", `there is no space left for ${part}`, error) : error;
  } finally {
    await file.close();
  }
  const found = hash.digest("hex");
  if (found === sha256) return;
  await rm(part, { force: true });
  if (offset > 0) throw new WrongAfterResuming();
  throw fetchFailure(artifact, "hash", `${place} has the SHA-256 ${found}, and ${sha256} is wanted`);
};

const openPart = async (part: string, isNew: boolean, artifact: string): Promise<FileHandle> => {
  try {
    return await open(part, isNew ? "w" : "a", 0o644);
  } catch (error) {
    if (isNoSpace(error)) throw fetchFailure(artifact, "space", `there is no space left for ${part}`, error);
    throw fetchFailure(artifact, "place", `${part} cannot be written: ${describeUnknown(error)}`, error);
  }
};

const isNoSpace = (error: unknown): boolean =>
  ["ENOSPC", "EDQUOT"].includes(String((error as { code?: string } | null)?.code));

type Source = {
  body: AsyncIterable<Uint8Array>;
  /** Where the body begins. */
  offset: number;
  totalBytes: number | null;
  cancel: (reason: unknown) => void;
  /** Aborted when nothing more is to be waited for. */
  signal: AbortSignal;
};

const copy = async (given: {
  source: Source;
  file: FileHandle;
  offset: number;
  hash: ReturnType<typeof createHash>;
  request: DownloadRequest;
}): Promise<void> => {
  const { source, file, hash, request } = given;
  const { artifact, maxBytes, size, limits } = request;
  const startedMs = performance.now();
  let done = given.offset;
  let seen = done;
  const watch = setInterval(() => {
    const came = done - seen;
    seen = done;
    if (came < limits.leastBytes) {
      const detail = `only ${came} bytes came in ${limits.stallMs / 1000} s`;
      source.cancel(fetchFailure(artifact, "slow", detail));
    }
  }, limits.stallMs);
  try {
    for await (const chunk of source.body) {
      source.signal.throwIfAborted();
      done += chunk.length;
      if (done > (size ?? maxBytes)) {
        throw fetchFailure(artifact, "size", `it is longer than the ${size ?? maxBytes} bytes it may have`);
      }
      hash.update(chunk);
      await writeWhole(file, chunk);
      request.onProgress({
        doneBytes: done,
        totalBytes: size ?? source.totalBytes,
        bytesPerSecond: ((done - given.offset) * 1000) / Math.max(1, performance.now() - startedMs),
      });
    }
    source.signal.throwIfAborted();
  } catch (error) {
    if (isBangerError(source.signal.reason)) throw source.signal.reason;
    request.signal.throwIfAborted();
    if (isBangerError(error) || isNoSpace(error)) throw error;
    throw fetchFailure(artifact, "http", `the connection broke after ${done} bytes (${describeUnknown(error)})`, error);
  } finally {
    clearInterval(watch);
    source.cancel(null);
  }
  const expected = size ?? source.totalBytes;
  if (expected !== null && done < expected) {
    throw fetchFailure(artifact, "http", `it ended after ${done} of ${expected} bytes`);
  }
};

const writeWhole = async (file: FileHandle, chunk: Uint8Array): Promise<void> => {
  for (let offset = 0; offset < chunk.length; ) {
    const { bytesWritten } = await file.write(chunk, offset, chunk.length - offset);
    offset += bytesWritten;
  }
};

const openSource = (place: string, from: number, request: DownloadRequest): Promise<Source> =>
  place.startsWith("/") ? openFile(place, request) : openAddress(place, from, request);

/** A file of an offline directory is read from its beginning: that is quick, and it may have changed. */
const openFile = async (path: string, { artifact, signal }: DownloadRequest): Promise<Source> => {
  const found = await stat(path).catch(() => null);
  if (!found?.isFile()) throw fetchFailure(artifact, "http", `there is no file ${path}`);
  const stop = new AbortController();
  return {
    body: createReadStream(path, { signal: AbortSignal.any([signal, stop.signal]) }) as AsyncIterable<Uint8Array>,
    offset: 0,
    totalBytes: found.size,
    cancel: (reason) => stop.abort(reason),
    signal: stop.signal,
  };
};

const openAddress = async (address: string, from: number, request: DownloadRequest): Promise<Source> => {
  const { artifact, limits } = request;
  const stop = new AbortController();
  const signal = AbortSignal.any([request.signal, stop.signal]);
  const timer = setTimeout(
    () => stop.abort(fetchFailure(artifact, "slow", `${address} did not answer within ${limits.stallMs / 1000} s`)),
    limits.stallMs,
  );
  try {
    const response = await follow(address, { from, signal, request });
    const length = Number(response.headers.get("content-length") ?? Number.NaN);
    const isRest =
      response.status === 206 && new RegExp(`^bytes ${from}-`).test(response.headers.get("content-range") ?? "");
    if (response.status === 206 && !isRest)
      throw fetchFailure(artifact, "http", `${address} answered with another part`);
    const offset = isRest ? from : 0;
    return {
      body: (response.body ?? new Blob([]).stream()) as unknown as AsyncIterable<Uint8Array>,
      offset,
      totalBytes: Number.isNaN(length) ? null : length + offset,
      cancel: (reason) => stop.abort(reason),
      signal: stop.signal,
    };
  } catch (error) {
    request.signal.throwIfAborted();
    if (isBangerError(stop.signal.reason)) throw stop.signal.reason;
    stop.abort();
    if (isBangerError(error)) throw error;
    throw fetchFailure(artifact, "http", `${address} cannot be reached (${describeUnknown(error)})`, error);
  } finally {
    clearTimeout(timer);
  }
};

/** Follows redirects itself: so many, and never from https to http. */
const follow = async (
  address: string,
  options: { from: number; signal: AbortSignal; request: DownloadRequest },
): Promise<Response> => {
  const { from, signal, request } = options;
  const { artifact, limits } = request;
  let url = new URL(address);
  for (let hop = 0; ; hop++) {
    const headers: Record<string, string> = { "accept-encoding": "identity", "user-agent": "banger" };
    if (from > 0) headers.range = `bytes=${from}-`;
    const response = await fetch(url, { redirect: "manual", headers, signal });
    if (response.status === 416 && from > 0) {
      // Nothing is left to be sent: what is there is whole, or wrong.
      await response.body?.cancel();
      return new Response(null, { status: 206, headers: { "content-range": `bytes ${from}-`, "content-length": "0" } });
    }
    if (response.status === 200 || response.status === 206) return response;
    await response.body?.cancel();
    const next = response.headers.get("location");
    if (response.status < 300 || response.status > 399 || next === null) {
      throw fetchFailure(artifact, "http", `${url} answered ${response.status}`);
    }
    if (hop >= limits.redirects) {
      throw fetchFailure(artifact, "redirects", `${address} leads on more than ${limits.redirects} times`);
    }
    const target = new URL(next, url);
    const isDowngrade = url.protocol === "https:" && target.protocol !== "https:";
    if (isDowngrade || !/^https?:$/.test(target.protocol)) {
      throw fetchFailure(artifact, "redirects", `${url} leads to ${target.protocol}//, which is not trusted`);
    }
    url = target;
  }
};
