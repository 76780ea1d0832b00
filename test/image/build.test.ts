// Images made on the modelled host, by small scripts in place of those in images/ or of a file system: what is kept, and what is left of a build that is cancelled in its last moment.
import { afterEach, expect, test } from "bun:test";
import { mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { createImageService } from "../../src/image/images.ts";
import { openStore, type Store } from "../../src/store/store.ts";
import { IMAGE_ID, makeWorld } from "../crash/harness.ts";
import type { FakeWorld } from "../fakes/fake-host.ts";

const worlds: FakeWorld[] = [];
const stores: Store[] = [];
afterEach(() => {
  for (const store of stores.splice(0)) store.close();
  for (const world of worlds.splice(0)) world.close();
});

/** `--output` of both scripts is their first argument. */
const SCRIPTS = {
  "debian-kernel.sh": 'mkdir "$2" && echo a kernel >"$2/vmlinux" && echo release=6.1 >"$2/kernel.env"',
  "customize.sh": 'truncate -s 4M "$2" && echo bash=5.2 >"$4"',
} as const;

const begin = () => {
  const world = makeWorld();
  worlds.push(world);
  const store = openStore({ path: world.paths.database });
  stores.push(store);
  const parts = `${world.dir}/parts`;
  mkdirSync(parts);
  for (const [name, text] of Object.entries(SCRIPTS)) writeFileSync(`${parts}/${name}`, `set -e\n${text}\n`);
  for (const name of ["banger-init", "banger-initramfs-init", "banger-vsock-pingd"])
    writeFileSync(`${parts}/${name}`, "");
  const host = world.host();
  // A real build needs room; these need none, wherever temporary files lie here.
  host.files = { ...host.files, freeMiB: async () => 10_000 };
  let ids = 0;
  const images = createImageService({
    ...{ store, host, paths: world.paths, version: "0.1.0" },
    native: { imageScripts: parts, guestHelpers: parts } as never,
    ...{ now: () => new Date(1000), clock: () => performance.now() },
    randomHex: (digits) => String(++ids).padStart(digits, "0"),
  });
  const abort = new AbortController();
  const build = (replace: boolean) =>
    images.build(
      { name: "debian-13", package: [], script: [], replace, fresh: true },
      { signal: abort.signal, emit: () => {}, requestedBy: "test" },
    );
  return { world, store, host, images, abort, build };
};

test("what the scripts made is an image, and the one that had its name keeps another", async () => {
  const { world, store, build } = begin();
  const made = await build(true);
  expect(made).toMatchObject({ name: "debian-13", aliases: ["debian"], sizeMiB: 4, kernelRelease: "6.1" });
  expect(store.images.get(IMAGE_ID)?.name).toBe(`debian-13-${IMAGE_ID.slice(0, 6)}`);
  expect(readdirSync(world.paths.imagesDir).sort()).toEqual([made.id, IMAGE_ID].sort());
  expect(store.journal.open()).toEqual([]);
});

test("a build that is cancelled when all is done but the tidying leaves no image, no file, and the name to who had it", async () => {
  const { world, store, host, abort, build } = begin();
  const before = store.images.all();
  const { removeTree } = host.files;
  host.files.removeTree = async (path) => {
    if (path.includes(".building-")) abort.abort();
    await removeTree(path);
  };
  await expect(build(true)).rejects.toMatchObject({ code: "operation.cancelled" });
  expect(store.images.all()).toEqual(before);
  expect(readdirSync(world.paths.imagesDir)).toEqual([IMAGE_ID]);
  expect(store.journal.open()).toEqual([]);
});

test("a file system that has the helper is registered, and one without is not", async () => {
  const { world, store, images } = begin();
  const caller = { signal: new AbortController().signal, emit: () => {}, requestedBy: "test" };
  const tree = `${world.dir}/tree`;
  mkdirSync(`${tree}/usr/lib/banger`, { recursive: true });
  const register = (name: string) => {
    const path = `${world.dir}/${name}.ext4`;
    const ran = Bun.spawnSync(["/sbin/mkfs.ext4", "-q", "-d", tree, path, "16M"], { stderr: "pipe" });
    expect(ran.stderr.toString()).toBe("");
    return images.register({ name, path }, caller);
  };
  await expect(register("bare")).rejects.toMatchObject({ code: "image.without_helper" });
  for (const name of ["init", "banger-vsock-pingd"]) writeFileSync(`${tree}/usr/lib/banger/${name}`, "");
  writeFileSync(`${tree}/usr/lib/banger/version`, "0.1.0\n");
  const made = await register("mine");
  expect(made).toMatchObject({ name: "mine", origin: "registered", sizeMiB: 16, helperVersion: "0.1.0" });
  expect(readdirSync(`${world.paths.imagesDir}/${made.id}`)).toEqual(["rootfs.ext4"]);
  expect(store.journal.open()).toEqual([]);
});

test("KVM is proved by the newest kernel that is there, and by none where all are gone", async () => {
  const { store, images, build } = begin();
  const [older] = store.kernels.all();
  await build(true);
  const newer = store.kernels.all().at(-1);
  for (const kernel of [newer, older]) {
    expect(images.anyKernel()).toBe(`${kernel?.dir}/vmlinux`);
    rmSync(`${kernel?.dir}/vmlinux`);
  }
  expect(images.anyKernel()).toBe(null);
});

test("a build of before that cannot be undone is told, hinders no other, and stays open", async () => {
  const { world, store, host, images } = begin();
  const { removeTree } = host.files;
  const workDir = (name: string) => `${world.paths.imagesDir}/.building-${name}`;
  host.files.removeTree = async (path) => {
    if (path === workDir("stuck")) throw new Error("it is somebody else's");
    await removeTree(path);
  };
  for (const name of ["stuck", "gone"]) {
    mkdirSync(workDir(name));
    // As an earlier banger left it that was killed behind its last step.
    const plan = { version: 1, workDir: workDir(name) };
    store.journal.beginOperation({ kind: "image.build", subject: IMAGE_ID, plan, requestedBy: "test" });
  }
  expect(await images.recover()).toEqual([`image.build of ${IMAGE_ID}: it is somebody else's`]);
  expect(readdirSync(world.paths.imagesDir).sort()).toEqual([".building-stuck", IMAGE_ID]);
  expect(store.journal.open()).toHaveLength(1);
  host.files.removeTree = removeTree;
  expect(await images.recover()).toEqual([]);
  expect(store.journal.open()).toEqual([]);
});
