// The bundle's kernel on its way to VMs: taken in once, again when it changes, never when it is not what was recorded.
import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Bundle, openBundle } from "../../src/bundle/bundle.ts";
import { findNative } from "../../src/host/native.ts";
import { createImageService } from "../../src/image/images.ts";
import { BangerError } from "../../src/spec/errors.ts";
import { openStore, type Store } from "../../src/store/store.ts";
import { makeWorld } from "../crash/harness.ts";
import type { FakeWorld } from "../fakes/fake-host.ts";

let world: FakeWorld;
let store: Store;
let bundle: Bundle;
beforeEach(() => {
  world = makeWorld();
  store = openStore({ path: world.paths.database });
  bundle = openBundle({
    env: { BANGER_RUNTIME_DIR: join(world.dir, "runtime") },
    configured: { dir: null, mirror: null },
    dataDir: world.paths.dataDir,
    tryLock: () => null,
    readVersion: async () => "",
    now: () => new Date(),
  });
});
afterEach(() => {
  store.close();
  world.close();
});

/** A daemon's image service; each remembers for itself. */
const serve = () => {
  let digits = 0;
  return createImageService({
    store,
    host: world.host(),
    paths: world.paths,
    native: findNative(),
    version: "0.1.0",
    now: () => new Date(),
    clock: () => performance.now(),
    randomHex: (count) => String(++digits).padStart(count, "0"),
    ownKernel: bundle.ownKernel,
  });
};

/** As `make kernel` leaves it in the bundle. */
const putKernel = async (release: string, content = release) => {
  const built = join(world.dir, "built");
  rmSync(built, { recursive: true, force: true });
  mkdirSync(built);
  writeFileSync(join(built, "vmlinux"), content);
  writeFileSync(join(built, "kernel.env"), `release=${release}\ncmdline=one two\ncmdline_emulated=\n`);
  await bundle.assemble({ kernel: { from: built, version: release } }, "0.1.0");
};

const codeOf = (error: unknown) => (error instanceof BangerError ? error.code : String(error));

test("a VM gets it as soon as it is in the bundle, and the same files make no second copy, whichever daemon asks", async () => {
  const images = serve();
  const image = images.resolve("debian");
  expect(await images.kernelFor(image, null)).toMatchObject({ choice: "image", id: image.kernelId });
  await putKernel("6.12-banger");
  const [one, other] = await Promise.all([images.kernelFor(image, null), images.kernelFor(image, null)]);
  expect(one).toMatchObject({ choice: "banger", release: "6.12-banger" });
  expect(other.id).toBe(one.id);
  expect((await serve().kernelFor(image, null)).id).toBe(one.id);
  expect(readdirSync(world.paths.kernelsDir).sort()).toEqual([image.kernelId, one.id].sort());
  const files = await images.kernelOf(one.id, "debian");
  expect(files).toMatchObject({ initramfs: null, modules: null, cmdline: ["one", "two"], cmdlineEmulated: [] });
  expect(readFileSync(files.kernel, "utf8")).toBe("6.12-banger");
});

test("another one in the bundle is another kernel; the old one goes with a prune, the one of the next VM does not", async () => {
  const images = serve();
  const image = images.resolve("debian");
  await putKernel("6.12-banger", "the first");
  const first = await images.kernelFor(image, null);
  await putKernel("6.12-banger", "the second");
  const second = await images.kernelFor(image, null);
  expect(second.id).not.toBe(first.id);
  const { removed } = await images.prune({ dryRun: false });
  // No VM pins the first, and the second is what the next VM gets.
  expect(removed).toEqual([`${world.paths.kernelsDir}/${first.id}`]);
  expect((await images.kernelOf(second.id, "debian")).kernel).toContain(second.id);
});

test("one that was pruned under the daemon, or left half by a crash, is taken in again", async () => {
  const images = serve();
  const image = images.resolve("debian");
  await putKernel("6.12-banger");
  const { id } = await images.kernelFor(image, null);
  rmSync(join(world.paths.kernelsDir, id), { recursive: true });
  mkdirSync(join(world.paths.kernelsDir, ".taking-00"));
  expect((await images.kernelFor(image, null)).id).toBe(id);
  expect((await images.prune({ dryRun: false })).removed).toEqual([`${world.paths.kernelsDir}/.taking-00`]);
});

test("one that is not what was recorded serves nobody: the image's is taken, with the reason, and a wish fails", async () => {
  const images = serve();
  const image = images.resolve("debian");
  await putKernel("6.12-banger");
  writeFileSync(join(world.dir, "runtime/kernel/vmlinux"), "something else");
  const found = await images.kernelFor(image, null);
  expect(found).toMatchObject({ choice: "image", id: image.kernelId });
  expect(found.hint).toContain("SHA-256");
  expect(await images.kernelFor(image, "banger").catch(codeOf)).toBe("bundle.stale");
});

test("a wish for it where there is none names the command that makes it", async () => {
  const images = serve();
  const failure = await images.kernelFor(images.resolve("debian"), "banger").catch((error) => error);
  expect(codeOf(failure)).toBe("bundle.missing");
});

test("an image says which kernel its VMs get and what the other would bring", async () => {
  const images = serve();
  expect((await images.show("debian")).newVms).toMatchObject({ choice: "image", release: "6.0" });
  await putKernel("6.12-banger");
  const { newVms } = await images.show("debian");
  expect(newVms).toMatchObject({ choice: "banger", release: "6.12-banger" });
  expect(newVms.hint).toContain("--kernel image");
});
