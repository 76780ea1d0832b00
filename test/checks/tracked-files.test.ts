// What may be in the repository: text, of no machine in particular, executable where a shell runs it.
import { describe, expect, test } from "bun:test";
import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";

const root = join(import.meta.dir, "../..");
const listing = Bun.spawnSync(["git", "-C", root, "ls-files", "-z"]);
const tracked = listing.stdout.toString().split("\0").filter(Boolean);

/** Files that are listed and still there: a deletion that is not committed yet is no finding. */
const contents = new Map(
  tracked.flatMap((path) => {
    const isFile = statSync(join(root, path), { throwIfNoEntry: false })?.isFile() ?? false;
    return isFile ? [[path, readFileSync(join(root, path))] as const] : [];
  }),
);

const thisFile = "test/checks/tracked-files.test.ts";
const find = (pattern: RegExp): string[] =>
  [...contents].flatMap(([path, bytes]) =>
    path === thisFile
      ? []
      : bytes
          .toString("utf8")
          .split("\n")
          .flatMap((line, index) => (pattern.test(line) ? [`${path}:${index + 1}: ${line.trim().slice(0, 100)}`] : [])),
  );

/** A file that needs its size says why. */
const largeFiles: Readonly<Record<string, string>> = {
  "docs/reference/openrpc.json": "generated: the whole schema of every method, for programs that read one at a time",
};
const LARGE_BYTES = 200 * 1024;

describe("tracked files", () => {
  test("git lists them", () => {
    expect(listing.exitCode).toBe(0);
    expect(tracked).toContain("package.json");
    expect(contents.size).toBeGreaterThan(100);
  });

  test("none is a binary", () => {
    expect([...contents].filter(([, bytes]) => bytes.includes(0)).map(([path]) => path)).toEqual([]);
  });

  test("none is large without a listed reason", () => {
    const large = [...contents].filter(([, bytes]) => bytes.length > LARGE_BYTES).map(([path]) => path);
    expect(large.filter((path) => !(path in largeFiles))).toEqual([]);
    expect(Object.keys(largeFiles).filter((path) => !large.includes(path))).toEqual([]);
  });

  test("nothing that is built or installed is among them", () => {
    const pattern = /^(build|node_modules|runtime|\.tools)\/|^banger$|\.(o|a|so|ext4|qcow2|img|gz|xz|zst|sqlite|log)$/;
    expect(tracked.filter((path) => pattern.test(path))).toEqual([]);
  });

  test("none names a path of the machine it was written on", () => {
    expect(find(/(^|[^\w./~-])\/(work|home\/(?!you\b|dev\b|ada\b|me\b|user\b|NAME\b|\$)[a-z]\w*|Users)\//)).toEqual([]);
  });

  test("none holds a private key", () => {
    expect(find(/^-----BEGIN [A-Z ]*PRIVATE KEY-----/)).toEqual([]);
  });

  test("none holds a mark of an unfinished merge", () => {
    expect(find(/^(<{7}|>{7}) /)).toEqual([]);
  });

  test("what is executable says in its first line what runs it", () => {
    const modes = Bun.spawnSync(["git", "-C", root, "ls-files", "-s", "-z"]).stdout.toString().split("\0");
    const executable = modes.filter((line) => line.startsWith("100755")).map((line) => line.split("\t")[1] ?? "");
    const without = executable.filter((path) => (contents.get(path)?.subarray(0, 2).toString() === "#!") === false);
    expect(without).toEqual([]);
  });
});
