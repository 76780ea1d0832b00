// A web server on loopback that serves files well or badly, remembers what it was asked, and the manifest of what it serves.
import { createHash } from "node:crypto";
import { gzipSync } from "node:zlib";
import { pack, type Header as TarHeader } from "tar-stream";

export type Asked = { path: string; range: string | null };

type Behaviour = (request: Request, asked: Asked) => Response | Promise<Response>;

export type Origin = {
  url: string;
  asked: Asked[];
  serve: (path: string, behaviour: Behaviour) => void;
  stop: () => void;
};

export const openOrigin = (): Origin => {
  const behaviours = new Map<string, Behaviour>();
  const asked: Asked[] = [];
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    idleTimeout: 0,
    fetch: (request) => {
      const path = new URL(request.url).pathname;
      const what = { path, range: request.headers.get("range") };
      asked.push(what);
      return behaviours.get(path)?.(request, what) ?? new Response("no", { status: 404 });
    },
  });
  return {
    url: `http://127.0.0.1:${server.port}`,
    asked,
    serve: (path, behaviour) => void behaviours.set(path, behaviour),
    stop: () => void server.stop(true),
  };
};

/** As ordinary servers do: whole, or the rest from where it was asked. */
export const wellServed =
  (bytes: Uint8Array): Behaviour =>
  (_, { range }) => {
    const from = Number(/^bytes=(\d+)-$/.exec(range ?? "")?.[1] ?? Number.NaN);
    if (Number.isNaN(from)) return new Response(bytes);
    if (from >= bytes.length) return new Response(null, { status: 416 });
    return new Response(bytes.subarray(from), {
      status: 206,
      headers: { "content-range": `bytes ${from}-${bytes.length - 1}/${bytes.length}` },
    });
  };

/** Sends the beginning, tells so, and then nothing more until the client has gone or `more` is settled. */
export const stuckAfter =
  (bytes: Uint8Array, count: number, onSent: () => void, more: Promise<unknown> = new Promise(() => {})): Behaviour =>
  () => {
    let isBegun = false;
    return new Response(
      new ReadableStream({
        async pull(controller) {
          if (!isBegun) {
            isBegun = true;
            controller.enqueue(bytes.subarray(0, count));
            onSent();
            return;
          }
          await more;
          controller.close();
        },
      }),
    );
  };

export const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

/** Bytes that no compression makes small, the same each time. */
export const noise = (count: number, seed = 1): Uint8Array => {
  const bytes = new Uint8Array(count);
  let state = seed;
  for (let index = 0; index < count; index++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    bytes[index] = state >>> 24;
  }
  return bytes;
};

export type Described = {
  name: string;
  url: string;
  sha256: string;
  maxMib?: number;
  size?: number;
  member?: string;
  memberSha256?: string;
};

/** The manifest of these artifacts, each at bin/NAME, for both architectures. */
export const manifestOf = (artifacts: readonly Described[]): string =>
  [
    "version = 1",
    ...artifacts.map(({ name, url, sha256: hash, maxMib = 8, size, member, memberSha256 }) => {
      const lines = [
        `url = "${url}"`,
        `sha256 = "${hash}"`,
        `max_mib = ${maxMib}`,
        ...(size === undefined ? [] : [`size = ${size}`]),
        ...(member === undefined ? [] : [`member = "${member}"`]),
        ...(memberSha256 === undefined ? [] : [`member_sha256 = "${memberSha256}"`]),
      ].join("\n");
      return `[[artifact]]\nname = "${name}"\nsummary = "a test's"\npath = "bin/${name}"\nmode = "755"\nversion = "1.0.0"\n[artifact.x86_64]\n${lines}\n[artifact.aarch64]\n${lines}`;
    }),
  ].join("\n\n");

/** A tar.gz of entries, good or bad: what tar-stream writes is what it was told. */
export const archiveOf = async (
  entries: readonly (Partial<TarHeader> & { name: string } & { body?: Uint8Array | string })[],
): Promise<Uint8Array> => {
  const stream = pack();
  for (const { body, ...header } of entries) stream.entry(header, body === undefined ? "" : Buffer.from(body));
  stream.finalize();
  const parts: Uint8Array[] = [];
  for await (const part of stream) parts.push(part as Uint8Array);
  return gzipSync(Buffer.concat(parts));
};
