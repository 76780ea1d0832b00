// A fetch that is killed, or whose disk is full, leaves the bundle as it was; the next one goes on from there.
import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { manifestOf, noise, type Origin, openOrigin, sha256, stuckAfter, wellServed } from "./origin.ts";

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

const child = join(import.meta.dir, "fetch-child.ts");
const content = noise(3 * 1024 * 1024);

const writeManifest = (): string => {
  const path = `${directory}/manifest.toml`;
  writeFileSync(path, manifestOf([{ name: "tool", url: `${origin.url}/tool`, sha256: sha256(content) }]));
  return path;
};

const putOld = (runtime: string): string => {
  mkdirSync(`${runtime}/bin`, { recursive: true });
  writeFileSync(`${runtime}/bin/tool`, "old");
  return `${runtime}/bin/tool`;
};

const run = (argv: readonly string[]) => Bun.spawn([...argv], { stdout: "pipe", stderr: "inherit", timeout: 50_000 });

/** Waits for something that another process does. */
const until = async (isTrue: () => boolean): Promise<void> => {
  while (!isTrue()) await Bun.sleep(20);
};

test("kill -9 in the middle: the old file stays, and the next fetch asks for the rest only", async () => {
  const runtime = `${directory}/runtime`;
  const tool = putOld(runtime);
  const manifest = writeManifest();
  const half = 2 * 1024 * 1024;
  origin.serve(
    "/tool",
    stuckAfter(content, half, () => {}),
  );
  const first = run([process.execPath, child, runtime, manifest]);
  const part = `${runtime}/.fetch/${sha256(content)}.part`;
  await until(() => statSync(part, { throwIfNoEntry: false })?.size === half);
  first.kill("SIGKILL");
  await first.exited;
  expect(readFileSync(tool, "utf8")).toBe("old");

  origin.serve("/tool", wellServed(content));
  const second = run([process.execPath, child, runtime, manifest]);
  expect((await new Response(second.stdout).text()).trim()).toBe("whole");
  expect(origin.asked.map(({ range }) => range)).toEqual([null, `bytes=${half}-`]);
  expect(sha256(readFileSync(tool))).toBe(sha256(content));
});

/** A file system of one MiB that is gone with the process: no root, where the kernel lets users have namespaces. */
const inSmallSpace = (script: string, words: readonly string[]) => [
  ...["unshare", "--user", "--map-root-user", "--mount", "sh", "-euc"],
  `mount -t tmpfs -o size=1m none "$1"; ${script}`,
  "sh",
  ...words,
];

const canHaveSpace = () => {
  const place = mkdtempSync(join(tmpdir(), "banger-space-"));
  const done = Bun.spawnSync(inSmallSpace("true", [place]), { stderr: "ignore" });
  rmSync(place, { recursive: true });
  return done.exitCode === 0;
};

test("a full disk is told as that, and the old file stays", async () => {
  if (!canHaveSpace()) {
    console.log("skipped: this host lets users have no mount namespace");
    return;
  }
  const runtime = `${directory}/runtime`;
  mkdirSync(runtime);
  const manifest = writeManifest();
  origin.serve("/tool", wellServed(content));
  const script = 'mkdir "$1/bin"; printf old >"$1/bin/tool"; "$2" "$3" "$1" "$4"; cat "$1/bin/tool"';
  const done = run(inSmallSpace(script, [runtime, process.execPath, child, manifest]));
  const [line, tool] = (await new Response(done.stdout).text()).split("\n");
  const failure = JSON.parse(line ?? "") as { code: string; data: { reason: string; detail: string }; fix: string };
  expect(failure).toMatchObject({ code: "bundle.fetch_failed", data: { reason: "space" } });
  expect(failure.data.detail).toContain("no space left");
  expect(failure.fix).toContain("free some space");
  expect(tool).toBe("old");
});
