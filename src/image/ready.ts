// Takes the ready default image out of the runtime bundle: unpacked instead of built, and kept like one that was built.
import { z } from "zod";
import { fail } from "../spec/errors.ts";
import type { ImageRecord } from "../spec/records.ts";
import { buildSteps } from "./build.ts";
import type { ImageCaller } from "./image-service.ts";
import type { ImageContext } from "./images.ts";
import { requireName } from "./keep.ts";
import { keepKernel } from "./kernels.ts";
import { makeImage, planImage } from "./make-image.ts";

const UNPACK_TIMEOUT_MS = 10 * 60_000;
/** The file system's data, once. */
const NEEDED_MIB = 1500;

/** `made.json` in the archive: what the image's record says of how it was made. Written by scripts/bundle.ts. */
export const ReadyImage = z.object({
  version: z.literal(1),
  helperVersion: z.string(),
  details: z.record(z.string(), z.unknown()),
});

/** The image that `archive` holds: `made.json`, `rootfs.ext4` and `kernel/`. Errors: image.name_taken, image.build_failed, host.no_space. */
export const takeReadyImage = async (
  context: ImageContext,
  input: { name: string; replace: boolean; aliases: readonly string[]; archive: string },
  caller: ImageCaller,
): Promise<ImageRecord> => {
  const { store, host, paths } = context;
  const { name, archive } = input;
  requireName(store, input);
  await host.files.makeDir(paths.imagesDir);
  await host.files.makeDir(paths.kernelsDir);
  const freeMiB = await host.files.freeMiB(paths.imagesDir);
  if (freeMiB < NEEDED_MIB) throw fail("host.no_space", { path: paths.imagesDir, neededMiB: NEEDED_MIB, freeMiB });
  const plan = planImage(context);
  const unpack = async (signal: AbortSignal) => {
    caller.emit({ kind: "note", text: "unpack the image of the runtime bundle" });
    const { exitCode, stderr } = await host.processes.runCommand({
      argv: ["/usr/bin/tar", "--zstd", "--sparse", "--no-same-owner", "-xf", archive, "-C", plan.workDir],
      timeoutMs: UNPACK_TIMEOUT_MS,
      signal,
      package: "tar and zstd",
    });
    if (exitCode !== 0) throw fail("image.build_failed", { image: name, step: "unpacking", detail: stderr.trim() });
  };
  let record: ImageRecord | null = null;
  const keep = async () => {
    const made = ReadyImage.parse(JSON.parse((await host.files.read(`${plan.workDir}/made.json`)) ?? "{}"));
    const kernel = await keepKernel(context, `${plan.workDir}/kernel`);
    const sizeMiB = await host.files.sizeMiB(`${plan.workDir}/rootfs.ext4`);
    if (sizeMiB === null)
      throw fail("image.build_failed", { image: name, step: "unpacking", detail: "it has no root" });
    await host.files.makeDir(plan.imageDir);
    await host.files.rename(`${plan.workDir}/rootfs.ext4`, `${plan.imageDir}/rootfs.ext4`);
    record = {
      ...{ id: plan.imageId, name, aliases: [...input.aliases], dir: plan.imageDir, sizeMiB, kernelId: kernel.id },
      usedMiB: await host.files.diskUsedMiB(plan.imageDir),
      helperVersion: made.helperVersion,
      createdAt: context.now().toISOString(),
      origin: { how: "built", details: { ...made.details, source: archive } },
    };
    await host.files.removeTree(plan.workDir);
  };
  const steps = buildSteps(context, plan, { parts: unpack, keep });
  return makeImage(context, { kind: "image.build", plan, steps, record: () => record, caller });
};
