// Archives of somebody who means harm: nothing of them is written anywhere, and the reason is told.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { type ArchiveLimits, extractMember, findArchiveFault, ordinaryArchive } from "../../src/bundle/archive.ts";
import { isBangerError } from "../../src/spec/errors.ts";
import { archiveOf, sha256 } from "./origin.ts";

let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "banger-archive-"));
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const take = async (archive: Uint8Array, limits: ArchiveLimits = ordinaryArchive): Promise<string> => {
  const path = `${directory}/archive.tgz`;
  writeFileSync(path, archive);
  const signal = new AbortController().signal;
  return extractMember({
    ...{ artifact: "tool", archive: path, member: "dir/tool", to: `${directory}/out`, mode: 0o755, limits, signal },
  });
};

const good = { name: "dir/tool", body: "#!/bin/sh\n", mode: 0o755 };

const hostile: readonly [claim: string, entry: Parameters<typeof archiveOf>[0][number], says: RegExp][] = [
  ["a path out of the archive", { name: "dir/../../evil", body: "x" }, /leads out/],
  ["an absolute path", { name: "/etc/evil", body: "x" }, /no relative path/],
  ["a symbolic link", { name: "dir/link", type: "symlink", linkname: "/etc/passwd" }, /symlink/],
  ["a hard link", { name: "dir/hard", type: "link", linkname: "dir/tool" }, /link/],
  ["a device", { name: "dir/dev", type: "character-device", devmajor: 1, devminor: 3 }, /character-device/],
  ["a block device", { name: "dir/disk", type: "block-device", devmajor: 8, devminor: 0 }, /block-device/],
  ["a fifo", { name: "dir/fifo", type: "fifo" }, /fifo/],
  ["a second file of the name", { name: "./dir/tool", body: "other" }, /there twice/],
];

const refusalOf = async (work: Promise<unknown>): Promise<string> => {
  const error = await work.then(
    () => null,
    (thrown: unknown) => thrown,
  );
  if (!isBangerError(error)) throw error ?? new TypeError("it was accepted");
  expect(error.code).toBe("bundle.fetch_failed");
  expect(readdirSync(directory)).toEqual(["archive.tgz"]);
  return error.message;
};

describe("an archive", () => {
  test("that is honest gives the one file", async () => {
    const archive = await archiveOf([{ name: "dir/", type: "directory" }, good, { name: "dir/more", body: "y" }]);
    expect(await take(archive)).toBe(sha256(Buffer.from(good.body)));
    expect(readFileSync(`${directory}/out`, "utf8")).toBe(good.body);
    expect(readdirSync(directory).sort()).toEqual(["archive.tgz", "out"]);
    rmSync(`${directory}/out`);
  });

  for (const [claim, entry, says] of hostile) {
    test(`with ${claim} is refused, before or after the file that is wanted`, async () => {
      expect(await refusalOf(take(await archiveOf([good, entry])))).toMatch(says);
      expect(await refusalOf(take(await archiveOf([entry, good])))).toMatch(says);
    });
  }

  test("that unpacks to more than it may is stopped", async () => {
    const bomb = await archiveOf([{ name: "dir/zeros", body: new Uint8Array(4 * 1024 * 1024) }, good]);
    expect(bomb.length).toBeLessThan(20_000);
    const limits = { ...ordinaryArchive, unpackedBytes: 1024 * 1024 };
    expect(await refusalOf(take(bomb, limits))).toMatch(/unpacks to more|too large/);
    // … also when the size that it names is a small one.
    const zeros = gzipSync(new Uint8Array(4 * 1024 * 1024));
    await refusalOf(take(zeros, limits));
  });

  test("with entries without end is stopped", async () => {
    const many = await archiveOf(Array.from({ length: 50 }, (_, index) => ({ name: `dir/${index}`, body: "" })));
    expect(await refusalOf(take(many, { ...ordinaryArchive, entries: 20 }))).toMatch(/more than 20 entries/);
  });

  test("that is cut, garbage, or without the file is refused", async () => {
    const archive = await archiveOf([good]);
    await refusalOf(take(archive.subarray(0, archive.length - 12)));
    await refusalOf(take(new TextEncoder().encode("no archive at all")));
    expect(await refusalOf(take(await archiveOf([{ name: "dir/other", body: "x" }])))).toMatch(/has no dir\/tool/);
  });

  test("names are judged one by one", () => {
    const fault = (name: string, type = "file") => findArchiveFault({ name, type }, new Set(["seen"]));
    expect(["a", "a/b", "./a", "a/", "a..b/c"].map((name) => fault(name))).toEqual([null, null, null, null, null]);
    for (const name of ["..", "../a", "a/..", "/a", "", "a//b", "a/./b", "seen", "./seen", "seen/", "a\\b", "a\0b"])
      expect({ name, fault: fault(name) }).not.toEqual({ name, fault: null });
    for (const type of ["symlink", "link", "fifo", "character-device", "contiguous-file", "pax-header"])
      expect(fault("a", type)).not.toBeNull();
  });
});
