// Assembles the runtime bundle of this source tree in runtime/: what was built here, what can be downloaded, and the default image, ready.
// usage: bun scripts/bundle.ts [--kernel] [--without-image] [--package FILE] [--image TEMPLATE]; `make bundle` and `make bundle-package`
// call it, and `make kernel` does with --kernel, which puts in the kernel alone.
import { existsSync, mkdirSync, mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Bundle, openBundle } from "../src/bundle/bundle.ts";
import { tryLockFile } from "../src/host/lock.ts";
import { describeUnknown } from "../src/spec/errors.ts";
import { openStore } from "../src/store/store.ts";
import { prepareTestImage } from "./test/image.ts";

const root = join(import.meta.dir, "..");
const say = (line: string): void => console.log(line);
const flagValue = (flag: string): string | null => {
  const index = process.argv.indexOf(flag);
  return index === -1 ? null : (process.argv[index + 1] ?? null);
};
const { version } = (await Bun.file(join(root, "package.json")).json()) as { version: string };

const openHere = (): Bundle =>
  openBundle({
    env: { BANGER_RUNTIME_DIR: process.env.BANGER_RUNTIME_DIR ?? join(root, "runtime") },
    configured: { dir: null, mirror: process.env.BANGER_BUNDLE_MIRROR || null },
    dataDir: join(root, "build/none"),
    tryLock: tryLockFile,
    readVersion: async () => "",
    now: () => new Date(),
  });

/** The kernel that `make kernel` made of these very inputs; null when it did not. */
const findOwnKernel = async (): Promise<{ from: string; version: string } | null> => {
  const script = join(root, "images/build-kernel.sh");
  const done = Bun.spawnSync([script, "--print-cached", "--cache", join(root, "build/kernel")], { stderr: "ignore" });
  if (!done.success) return null;
  const from = done.stdout.toString().trim();
  return { from, version: /^version=(.*)$/m.exec(await Bun.file(join(from, "kernel.env")).text())?.[1] ?? version };
};

/** An image that banger built, as one archive without the time or the owner of anything. */
const packImage = (template: string, target: string): void => {
  const store = openStore({ path: join(template, "state/banger/banger.db"), readOnly: true });
  const image = store.images.byName("debian-13");
  const kernel = image && store.kernels.get(image.kernelId);
  store.close();
  if (!image || !kernel) throw new Error(`${template} has no image debian-13`);
  // Beside the target: the links in it must be on a file system that has room for nothing but them.
  const stage = mkdtempSync(join(tmpdir(), "banger-image-"));
  try {
    symlinkSync(join(image.dir, "rootfs.ext4"), join(stage, "rootfs.ext4"));
    symlinkSync(kernel.dir, join(stage, "kernel"));
    const made = { version: 1, helperVersion: image.helperVersion ?? "unknown", details: image.origin.details };
    writeFileSync(join(stage, "made.json"), `${JSON.stringify(made, null, 2)}\n`);
    const tar =
      "tar --dereference --sparse --format=gnu --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner --mode=u=rwX,go=rX";
    const line = `set -eu; ${tar} -C "$1" -cf - made.json kernel rootfs.ext4 | zstd -q -T2 -6 -f -o "$2.new"; mv "$2.new" "$2"`;
    const done = Bun.spawnSync(["sh", "-c", line, "sh", stage, target], { stderr: "inherit" });
    if (!done.success) throw new Error("the image could not be packed");
  } finally {
    rmSync(stage, { recursive: true, force: true });
  }
};

const readyImage = async (): Promise<string> => {
  const template = flagValue("--image") ?? (await prepareTestImage(root, process.env, say));
  const target = join(root, "build/bundle/debian-13.tar.zst");
  mkdirSync(join(root, "build/bundle"), { recursive: true });
  const database = join(template, "state/banger/banger.db");
  // Packed once for each image: it takes a while.
  if (!existsSync(target) || statSync(target).mtimeMs < statSync(database).mtimeMs) {
    say("==> the default image, packed");
    packImage(template, target);
  }
  return target;
};

const bundle = openHere();
const kernel = await findOwnKernel();
if (process.argv.includes("--kernel")) {
  if (kernel === null) throw new Error("there is no kernel of our own: make kernel builds it");
  await bundle.assemble({ kernel }, version);
  say(`==> the guest kernel ${kernel.version} is in ${bundle.place.directory}`);
  process.exit(0);
}
const image = process.argv.includes("--without-image") ? null : await readyImage();
const put = await bundle.assemble(
  {
    shim: join(root, "build/banger-shim"),
    proxy: join(root, "build/banger-proxy"),
    "dns-front": join(root, "build/banger-dns-front"),
    holder: join(root, "build/banger-holder"),
    jail: join(root, "build/banger-jail"),
    "tsc-meter": join(root, "build/banger-tsc"),
    "guest-init": join(root, "build/guest/banger-init"),
    "guest-initramfs-init": join(root, "build/guest/banger-initramfs-init"),
    "guest-helper": join(root, "build/guest/banger-vsock-pingd"),
    "guest-units": join(root, "guest/units"),
    "image-scripts": join(root, "images"),
    ...(kernel === null ? {} : { kernel }),
    ...(image === null ? {} : { "default-image": image }),
  },
  version,
);
say(`==> built here: ${put.join(", ")}`);
if (kernel === null) say("    without the kernel of our own, which make kernel builds: the distribution's serves");
try {
  await bundle.fetch([], {
    from: process.env.BANGER_BUNDLE_FROM || null,
    signal: AbortSignal.timeout(600_000),
    onEvent: () => {},
  });
  say("==> downloaded and verified: firecracker");
} catch (error) {
  // QEMU of the distribution does without it.
  say(`    without Firecracker: ${describeUnknown(error)}`);
}
const target = flagValue("--package");
if (target !== null) {
  const packed = await bundle.pack(target);
  say(`${packed.sha256}  ${packed.path}`);
}
say(`the bundle is in ${bundle.place.directory}`);
