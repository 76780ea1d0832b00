// The default image in the bundle: packed once, and never taken for that of another template.
import { afterEach, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { packedImage } from "../../scripts/packed-image.ts";
import { openStore } from "../../src/store/store.ts";

const directories: string[] = [];
afterEach(() => {
  for (const directory of directories.splice(0)) rmSync(directory, { recursive: true });
});
const makeDirectory = (): string => {
  const directory = mkdtempSync(join(tmpdir(), "banger-packed-"));
  directories.push(directory);
  return directory;
};

const LONG_AGO = new Date("2026-01-01T00:00:00Z");

/** What `image build` leaves, small, and all of it from long ago. */
const makeTemplate = (content: string): string => {
  const template = makeDirectory();
  const [dir, kernelDir] = [join(template, "image"), join(template, "kernel")];
  for (const made of [dir, kernelDir, join(template, "state/banger")]) mkdirSync(made, { recursive: true });
  writeFileSync(join(dir, "rootfs.ext4"), content);
  writeFileSync(join(kernelDir, "vmlinux"), "a kernel");
  const path = join(template, "state/banger/banger.db");
  const store = openStore({ path });
  const createdAt = LONG_AGO.toISOString();
  store.kernels.insert({ id: "fedcba9876543210", dir: kernelDir, release: "6.0", cmdline: [], createdAt });
  store.images.insert({
    ...{ id: "0123456789ab", name: "debian-13", aliases: [], dir, sizeMiB: 1, usedMiB: 1 },
    ...{ kernelId: "fedcba9876543210", helperVersion: "0.1.0", createdAt, origin: { how: "built", details: {} } },
  });
  store.close();
  for (const old of [path, join(dir, "rootfs.ext4"), join(kernelDir, "vmlinux")]) utimesSync(old, LONG_AGO, LONG_AGO);
  return template;
};

/** The root file system in an archive, read by the tools that read it on other machines. */
const rootIn = (archive: string): string => {
  const done = Bun.spawnSync(["tar", "--zstd", "-xOf", archive, "rootfs.ext4"]);
  expect(done.success).toBe(true);
  return done.stdout.toString();
};

const isHere = Bun.which("zstd") !== null && Bun.which("tar") !== null;
const when = test.skipIf(!isHere);
const suffix = isHere ? "" : " (skipped: no zstd or no tar here)";

when(`an image is packed once, and another one, however old, instead of it${suffix}`, () => {
  const place = makeDirectory();
  const said: string[] = [];
  const pack = (template: string): string => packedImage(template, place, (line) => said.push(line));
  const [one, other] = [makeTemplate("the one"), makeTemplate("another")];
  const archive = pack(one);
  expect(rootIn(archive)).toBe("the one");
  const { ino } = statSync(archive);
  expect(statSync(pack(one)).ino).toBe(ino);
  expect(said).toHaveLength(1);
  expect(rootIn(pack(other))).toBe("another");
  expect(rootIn(pack(one))).toBe("the one");
});

when(`an image that was made anew in its place, with the times that it had, is packed anew${suffix}`, () => {
  const place = makeDirectory();
  const template = makeTemplate("before");
  const pack = (): string => packedImage(template, place, () => {});
  expect(rootIn(pack())).toBe("before");
  const path = join(template, "image/rootfs.ext4");
  writeFileSync(path, "behind");
  utimesSync(path, LONG_AGO, LONG_AGO);
  expect(rootIn(pack())).toBe("behind");
});
