// Assembles the runtime bundle of this source tree in runtime/: what was built here, what can be downloaded, and the default image, ready.
// usage: bun scripts/bundle.ts [--kernel] [--without-image] [--package FILE] [--image TEMPLATE]; `make bundle` and `make bundle-package`
// call it, and `make kernel` does with --kernel, which puts in the kernel alone.
import { join } from "node:path";
import { type Bundle, openBundle } from "../src/bundle/bundle.ts";
import { tryLockFile } from "../src/host/lock.ts";
import { describeUnknown } from "../src/spec/errors.ts";
import { packedImage } from "./packed-image.ts";
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

const readyImage = async (): Promise<string> => {
  const template = flagValue("--image") ?? (await prepareTestImage(root, process.env, say));
  return packedImage(template, join(root, "build/bundle"), say);
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
