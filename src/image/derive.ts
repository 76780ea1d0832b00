// Makes a copy of a VM's disk the root file system of a new image: looked into first, and described with what it was made from.
import { fail } from "../spec/errors.ts";
import type { ImageRecord } from "../spec/records.ts";
import type { ImageContext } from "./images.ts";
import { inspectRoot } from "./inspect.ts";
import { aliasesFor } from "./keep.ts";
import { readOrigin } from "./origin.ts";
import { provisionedOf, type UserScript } from "./scripts.ts";

export type DerivedDisk = {
  imageId: string;
  name: string;
  base: ImageRecord;
  /** Of a VM that is stopped. */
  disk: string;
  helperVersion: string;
  scripts: readonly UserScript[];
};

export const derivedDir = ({ paths }: Pick<ImageContext, "paths">, imageId: string): string =>
  `${paths.imagesDir}/${imageId}`;

/** Answers the record of the image, which makes it one when it is entered. Errors: image.build_failed, image.without_helper, host.no_space. */
export const keepDisk = async (
  context: ImageContext,
  { imageId, name, base, disk, helperVersion, scripts }: DerivedDisk,
  signal: AbortSignal,
): Promise<ImageRecord> => {
  const { files } = context.host;
  const unfit = (detail: string) => fail("image.build_failed", { image: name, step: "saving the disk", detail });
  const sizeMiB = await files.sizeMiB(disk);
  if (sizeMiB === null) throw unfit(`${disk} is gone`);
  const found = await inspectRoot(context.host, disk);
  if (!found.isClean) throw unfit("the temporary VM did not unmount it");
  if (found.helperVersion === null) throw fail("image.without_helper", { image: name });
  if (found.identity.length > 0)
    throw unfit(`${found.identity.join(", ")} came back after tidying up, and every VM would share it`);
  const dir = derivedDir(context, imageId);
  await files.makeDir(dir);
  await files.cloneDisk({ from: disk, to: `${dir}/rootfs.ext4`, sizeMiB, signal });
  const { suite, mirror, scripts: tools, provisioned } = readOrigin(base, null);
  return {
    ...{ id: imageId, name, aliases: aliasesFor(name), dir, sizeMiB, kernelId: base.kernelId, helperVersion },
    usedMiB: await files.diskUsedMiB(dir),
    createdAt: context.now().toISOString(),
    origin: {
      how: "built",
      details: {
        ...{ suite, mirror, scripts: tools, packages: found.packages },
        base: { id: base.id, name: base.name },
        provisioned: [...provisioned, ...provisionedOf(scripts)],
      },
    },
  };
};
