// Fetching the bundle from servers that fail in every way there is: told as what it was, and what was there stays as it was.
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openBundle } from "../../src/bundle/bundle.ts";
import type { FetchEvent } from "../../src/bundle/fetch.ts";
import { tryLockFile } from "../../src/host/lock.ts";
import { type ErrorCode, isBangerError } from "../../src/spec/errors.ts";
import {
  archiveOf,
  type Described,
  manifestOf,
  noise,
  type Origin,
  openOrigin,
  sha256,
  stuckAfter,
  wellServed,
} from "./origin.ts";

let origin: Origin;
let directory: string;

beforeEach(() => {
  origin = openOrigin();
  directory = mkdtempSync(join(tmpdir(), "banger-bundle-"));
});
afterEach(() => {
  origin.stop();
  rmSync(directory, { recursive: true, force: true });
});

/** So short that nobody waits, so long that a busy machine does not fall into it. */
const quickLimits = { redirects: 5, stallMs: 1500, leastBytes: 1 };

const bundleOf = (artifacts: readonly Described[], more: { limits?: typeof quickLimits; mirror?: string } = {}) =>
  openBundle({
    env: { BANGER_RUNTIME_DIR: `${directory}/runtime` },
    configured: { dir: null, mirror: more.mirror ?? null },
    dataDir: `${directory}/data`,
    tryLock: tryLockFile,
    readVersion: async (path) => Bun.spawnSync([path, "--version"]).stdout.toString(),
    now: () => new Date("2026-11-22T12:00:00Z"),
    manifest: manifestOf(artifacts),
    ...(more.limits ? { limits: more.limits } : {}),
  });

const fetchAll = async (bundle: ReturnType<typeof bundleOf>, from: string | null = null) => {
  const events: FetchEvent[] = [];
  const onEvent = (event: FetchEvent) => void events.push(event);
  const files = await bundle.fetch([], { from, signal: new AbortController().signal, onEvent });
  return { files, events };
};

const failureOf = async (
  work: Promise<unknown>,
): Promise<{ code: ErrorCode; reason: unknown; detail: string; fix: string | null }> => {
  const error = await work.then(
    () => null,
    (thrown: unknown) => thrown,
  );
  if (!isBangerError(error)) throw error ?? new TypeError("it did not fail");
  const { reason = null, detail = "" } = error.data as { reason?: string; detail?: string };
  return { code: error.code, reason, detail, fix: error.fix };
};

const content = noise(300_000);
const plain = (name = "tool"): Described => ({ name, url: `${origin.url}/${name}`, sha256: sha256(content) });
const at = (name: string) => `${directory}/runtime/bin/${name}`;

/** An older one, which must outlive every failure. */
const putOld = (name = "tool") => {
  mkdirSync(`${directory}/runtime/bin`, { recursive: true });
  writeFileSync(at(name), "old");
};

describe("a good server", () => {
  test("a file is fetched, verified, executable and recorded; a second time nothing is asked", async () => {
    origin.serve("/tool", wellServed(content));
    const bundle = bundleOf([plain()]);
    const { files, events } = await fetchAll(bundle);
    expect(files.map(({ state, from }) => [state, from])).toEqual([["ok", `${origin.url}/tool`]]);
    expect(sha256(readFileSync(at("tool")))).toBe(sha256(content));
    expect(statSync(at("tool")).mode & 0o777).toBe(0o755);
    const progress = events.flatMap((event) => (event.kind === "progress" ? [event.progress] : []));
    expect(progress.at(-1)).toMatchObject({ doneBytes: content.length, totalBytes: content.length });
    expect(progress.at(-1)?.bytesPerSecond).toBeGreaterThan(0);
    expect(readdirSync(`${directory}/runtime/.fetch`)).toEqual(["lock"]);
    await fetchAll(bundle);
    expect(origin.asked.length).toBe(1);
  });

  test("members of one archive are taken out of one download, and nothing else of it is", async () => {
    const archive = await archiveOf([
      { name: "release/", type: "directory" },
      { name: "release/one", body: "#one", mode: 0o755 },
      { name: "release/two", body: "#two", mode: 0o755 },
      { name: "release/other", body: "not wanted" },
    ]);
    origin.serve("/all.tgz", wellServed(archive));
    const member = (name: string): Described => ({
      ...{ name, url: `${origin.url}/all.tgz`, sha256: sha256(archive), member: `release/${name}` },
      memberSha256: sha256(Buffer.from(`#${name}`)),
    });
    await fetchAll(bundleOf([member("one"), member("two")]));
    expect(origin.asked.length).toBe(1);
    expect(readdirSync(`${directory}/runtime/bin`).sort()).toEqual(["one", "two"]);
    expect(readFileSync(at("two"), "utf8")).toBe("#two");
  });

  test("a mirror is asked first, and the official address when the mirror has nothing", async () => {
    origin.serve("/tool", wellServed(content));
    await fetchAll(bundleOf([plain()], { mirror: `${origin.url}/mirror/` }));
    expect(origin.asked.map(({ path }) => path)).toEqual(["/mirror/tool", "/tool"]);
  });

  test("a directory serves without a network", async () => {
    mkdirSync(`${directory}/offline`);
    writeFileSync(`${directory}/offline/tool`, content);
    await fetchAll(bundleOf([plain()]), `${directory}/offline`);
    expect(sha256(readFileSync(at("tool")))).toBe(sha256(content));
    expect(origin.asked).toEqual([]);
  });

  test("of two at once, one downloads and the other waits for it", async () => {
    origin.serve("/tool", wellServed(content));
    const both = await Promise.all([fetchAll(bundleOf([plain()])), fetchAll(bundleOf([plain()]))]);
    expect(origin.asked.length).toBe(1);
    const outcomes = both.flatMap(({ events }) =>
      events.flatMap((event) => (event.kind === "done" ? [event.outcome] : [])),
    );
    expect(outcomes.sort()).toEqual(["fetched", "present"]);
  });
});

describe("a bad server", () => {
  const expectRefusal = async (given: { reason: string; described?: Described; says: RegExp }) => {
    putOld();
    const failure = await failureOf(fetchAll(bundleOf([given.described ?? plain()], { limits: quickLimits })));
    expect(failure).toMatchObject({ code: "bundle.fetch_failed", reason: given.reason });
    expect(failure.detail).toMatch(given.says);
    expect(failure.fix).toContain("banger bundle fetch");
    expect(readFileSync(at("tool"), "utf8")).toBe("old");
  };

  test("other bytes than the manifest names are refused and thrown away", async () => {
    origin.serve("/tool", wellServed(noise(300_000, 2)));
    await expectRefusal({ reason: "hash", says: new RegExp(sha256(content)) });
    expect(readdirSync(`${directory}/runtime/.fetch`)).toEqual(["lock"]);
  });

  test("a file that ends too early is refused, and gone on with the next time", async () => {
    origin.serve(
      "/tool",
      stuckAfter(content, 100_000, () => {}, Promise.resolve()),
    );
    await expectRefusal({
      reason: "http",
      described: { ...plain(), size: content.length },
      says: /100000 of 300000 bytes/,
    });
    origin.serve("/tool", wellServed(content));
    await fetchAll(bundleOf([plain()]));
    expect(origin.asked.at(-1)?.range).toBe("bytes=100000-");
    expect(sha256(readFileSync(at("tool")))).toBe(sha256(content));
  });

  test("a beginning that is another file's is found out, and the whole is fetched anew", async () => {
    origin.serve("/tool", wellServed(content));
    mkdirSync(`${directory}/runtime/.fetch`, { recursive: true });
    writeFileSync(`${directory}/runtime/.fetch/${sha256(content)}.part`, noise(50_000, 3));
    await fetchAll(bundleOf([plain()]));
    expect(origin.asked.map(({ range }) => range)).toEqual(["bytes=50000-", null]);
    expect(sha256(readFileSync(at("tool")))).toBe(sha256(content));
  });

  test("a server that goes on and on is stopped at the size that is allowed", async () => {
    origin.serve("/tool", wellServed(noise(2 * 1024 * 1024)));
    await expectRefusal({
      reason: "size",
      described: { ...plain(), maxMib: 1 },
      says: /longer than the 1048576 bytes/,
    });
  });

  test("redirects are followed so often and no further", async () => {
    origin.serve("/tool", () => new Response(null, { status: 302, headers: { location: "/tool" } }));
    await expectRefusal({ reason: "redirects", says: /more than 5 times/ });
    expect(origin.asked.length).toBe(6);
  });

  test("a redirect to something that is no web address is not followed", async () => {
    origin.serve("/tool", () => new Response(null, { status: 302, headers: { location: "file:///etc/passwd" } }));
    await expectRefusal({ reason: "redirects", says: /file:/ });
  });

  test("a server that sends nothing any more is given up", async () => {
    origin.serve(
      "/tool",
      stuckAfter(content, 100_000, () => {}),
    );
    await expectRefusal({ reason: "slow", says: /only \d+ bytes came in 1.5 s/ });
  });

  test("a server that does not answer at all is given up", async () => {
    origin.serve("/tool", () => new Promise(() => {}));
    await expectRefusal({ reason: "slow", says: /did not answer within 1.5 s/ });
  });

  test("a refusal is told with its number", async () => {
    origin.serve("/tool", () => new Response("no", { status: 503 }));
    await expectRefusal({ reason: "http", says: /answered 503/ });
  });

  test("the others are fetched all the same, and each failure is told", async () => {
    origin.serve("/good", wellServed(content));
    const bundle = bundleOf([plain("bad"), plain("good"), plain("worse")]);
    const failure = await failureOf(fetchAll(bundle));
    expect(failure.code).toBe("bundle.incomplete");
    expect((await bundle.list({ isDeep: true })).map(({ name, state }) => [name, state])).toEqual([
      ["bad", "missing"],
      ["good", "ok"],
      ["worse", "missing"],
    ]);
  });

  test("a member that is not the one the manifest names is not put in place", async () => {
    const archive = await archiveOf([{ name: "tool", body: "changed" }]);
    origin.serve("/a.tgz", wellServed(archive));
    await expectRefusal({
      ...{ reason: "hash", says: /tool has the SHA-256/ },
      described: {
        name: "tool",
        url: `${origin.url}/a.tgz`,
        sha256: sha256(archive),
        member: "tool",
        memberSha256: sha256(content),
      },
    });
  });
});

describe("a bundle that was changed", () => {
  test("is noticed by its size or time, and by its bytes when looked at deeply", async () => {
    origin.serve("/tool", wellServed(content));
    const bundle = bundleOf([plain()]);
    await fetchAll(bundle);
    const { atime, mtime } = statSync(at("tool"));
    const changed = Buffer.from(content);
    changed[1000] = (changed[1000] ?? 0) ^ 1;
    writeFileSync(at("tool"), changed);
    const { utimesSync } = await import("node:fs");
    utimesSync(at("tool"), atime, mtime);
    const [deep] = await bundle.list({ isDeep: true });
    expect(deep?.state).toBe("stale");
    expect(deep?.detail).toContain(sha256(content));
    expect(deep?.repair).toBe("banger bundle fetch tool");
    writeFileSync(at("tool"), "short");
    expect((await bundle.list({ isDeep: false }))[0]?.state).toBe("stale");
    await fetchAll(bundle);
    expect((await bundle.list({ isDeep: true }))[0]?.state).toBe("ok");
  });

  test("has no program that may be run", async () => {
    const bundle = bundleOf([plain("firecracker")]);
    expect(await bundle.program("firecracker")).toBeNull();
    putOld("firecracker");
    const program = await bundle.program("firecracker");
    expect(program).toMatchObject({ reason: expect.stringContaining("is not the one that belongs there") });
    origin.serve("/firecracker", wellServed(content));
    await fetchAll(bundle);
    expect(await bundle.program("firecracker")).toEqual({ path: at("firecracker"), isOwn: false });
  });
});

describe("a program of one's own", () => {
  const own = () => `${directory}/mine`;
  const write = (text: string) => writeFileSync(own(), `#!/bin/sh\necho "${text}"\n`, { mode: 0o755 });

  test("is used instead of the bundle's until it changes", async () => {
    const bundle = bundleOf([plain("firecracker")]);
    write("Firecracker v9.8.7-dev");
    const recorded = await bundle.use("firecracker", own());
    expect(recorded).toMatchObject({ version: "9.8.7-dev", sha256: sha256(readFileSync(own())) });
    expect(await bundle.program("firecracker")).toEqual({ path: own(), isOwn: true });
    write("Firecracker v9.8.8");
    expect(await bundle.program("firecracker")).toMatchObject({ reason: expect.stringContaining("has changed since") });
    await bundle.use("firecracker", null);
    expect(await bundle.program("firecracker")).toBeNull();
  });

  test("must be a program that says its version, and one that banger knows", async () => {
    const bundle = bundleOf([plain("firecracker"), plain("tool")]);
    write("nothing");
    expect(await failureOf(bundle.use("firecracker", own()))).toMatchObject({ code: "bundle.own_unusable" });
    expect(await failureOf(bundle.use("firecracker", `${directory}/none`))).toMatchObject({
      code: "bundle.own_unusable",
    });
    expect(await failureOf(bundle.use("tool", own()))).toMatchObject({ code: "bundle.unknown_artifact" });
    expect(existsSync(`${directory}/data/own`)).toBe(false);
  });
});
