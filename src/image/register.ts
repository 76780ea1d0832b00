// Registers a root file system that somebody else made: looked into without mounting it, then copied in as one.
import { fail } from "../spec/errors.ts";
import type { ImageRecord } from "../spec/records.ts";
import type { ImageCaller } from "./image-service.ts";
import type { ImageContext } from "./images.ts";
import { inspectRoot } from "./inspect.ts";
import { makeImage, planImage } from "./make-image.ts";

/** ext4's s_magic lies 56 bytes into the superblock, which begins at byte 1024 (kernel: Documentation/filesystems/ext4). */
const EXT4_MAGIC = { offset: 1024 + 56, bytes: [0x53, 0xef] };

export const registerImage = async (
  context: ImageContext,
  input: { name: string; path: string; findKernel: () => string },
  caller: ImageCaller,
): Promise<ImageRecord> => {
  const { store, host, paths } = context;
  if (store.images.byName(input.name)) throw fail("image.name_taken", { name: input.name });
  const sizeMiB = await checkRoot(context, input.path);
  const { helperVersion, packages } = await inspectRoot(host, input.path);
  if (helperVersion === null) throw fail("image.without_helper", { image: input.name });
  const kernelId = input.findKernel();
  await host.files.makeDir(paths.imagesDir);
  const plan = planImage(context);
  const { imageDir } = plan;
  let record: ImageRecord | null = null;
  const keep = async (signal: AbortSignal) => {
    await host.files.makeDir(imageDir);
    await host.files.cloneDisk({ from: input.path, to: `${imageDir}/rootfs.ext4`, sizeMiB, signal });
    record = {
      ...{ id: plan.imageId, name: input.name, aliases: [], dir: imageDir, sizeMiB, kernelId, helperVersion },
      usedMiB: await host.files.diskUsedMiB(imageDir),
      createdAt: context.now().toISOString(),
      origin: { how: "registered", details: { source: input.path, packages } },
    };
  };
  const steps = [{ name: "image.keep", run: keep, undo: () => host.files.removeTree(imageDir) }];
  return makeImage(context, { kind: "image.register", plan, steps, record: () => record, caller });
};

const notARoot = (path: string, detail: string) => fail("image.not_a_root", { path, detail });

/** The size of the file, when it is an ext4 file system without a partition table around it. */
const checkRoot = async ({ host }: ImageContext, path: string): Promise<number> => {
  const sizeMiB = await host.files.sizeMiB(path);
  if (sizeMiB === null) throw notARoot(path, "there is no such file");
  const isFile = await Bun.file(path)
    .stat()
    .then((seen) => seen.isFile());
  // Reading a directory fails, and reading a pipe may never end.
  if (!isFile) throw notARoot(path, "it is no ordinary file");
  const head = new Uint8Array(
    await Bun.file(path)
      .slice(EXT4_MAGIC.offset, EXT4_MAGIC.offset + 2)
      .arrayBuffer(),
  );
  if (head[0] !== EXT4_MAGIC.bytes[0] || head[1] !== EXT4_MAGIC.bytes[1])
    throw notARoot(path, "it does not begin with an ext4 superblock");
  return sizeMiB;
};
