// Takes the ready default image out of the runtime bundle: unpacked instead of built, and kept like one that was built.
import { z } from "zod";
import { runSteps } from "../engine/step.ts";
import { describeUnknown, fail } from "../spec/errors.ts";
import type { ImageRecord } from "../spec/records.ts";
import type { ImageCaller } from "./image-service.ts";
import type { ImageContext } from "./images.ts";
import { enterImage, requireName } from "./keep.ts";
import { keepKernel } from "./kernels.ts";

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
  const { store, host, paths, clock } = context;
  const { name, archive } = input;
  requireName(store, input);
  await host.files.makeDir(paths.imagesDir);
  await host.files.makeDir(paths.kernelsDir);
  const freeMiB = await host.files.freeMiB(paths.imagesDir);
  if (freeMiB < NEEDED_MIB) throw fail("host.no_space", { path: paths.imagesDir, neededMiB: NEEDED_MIB, freeMiB });
  const imageId = context.randomHex(12);
  // The plan and the names of the steps are a build's, so that a crash is undone as one.
  const plan = {
    ...{ version: 1, imageId, imageDir: `${paths.imagesDir}/${imageId}` },
    workDir: `${paths.imagesDir}/.building-${imageId}`,
  };
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
  const keep = async () => {
    const made = ReadyImage.parse(JSON.parse((await host.files.read(`${plan.workDir}/made.json`)) ?? "{}"));
    const kernel = await keepKernel(context, `${plan.workDir}/kernel`);
    const sizeMiB = await host.files.sizeMiB(`${plan.workDir}/rootfs.ext4`);
    if (sizeMiB === null)
      throw fail("image.build_failed", { image: name, step: "unpacking", detail: "it has no root" });
    await host.files.makeDir(plan.imageDir);
    await host.files.rename(`${plan.workDir}/rootfs.ext4`, `${plan.imageDir}/rootfs.ext4`);
    const record: ImageRecord = {
      ...{ id: imageId, name, aliases: [...input.aliases], dir: plan.imageDir, sizeMiB, kernelId: kernel.id },
      usedMiB: await host.files.diskUsedMiB(plan.imageDir),
      helperVersion: made.helperVersion,
      createdAt: context.now().toISOString(),
      origin: { how: "built", details: { ...made.details, source: archive } },
    };
    enterImage(store, record);
    await host.files.removeTree(plan.workDir);
  };
  const operation = store.journal.beginOperation({
    ...{ kind: "image.build", subject: imageId, plan, requestedBy: caller.requestedBy },
  });
  const journal = store.journal.journalFor(operation);
  const removeWork = () => host.files.removeTree(plan.workDir);
  try {
    await runSteps({
      steps: [
        { name: "work.make", run: () => host.files.makeDir(plan.workDir), undo: removeWork },
        { name: "parts.build", run: unpack, undo: async () => {} },
        { name: "image.keep", run: keep, undo: () => host.files.removeTree(plan.imageDir) },
      ],
      journal,
      signal: caller.signal,
      clock,
      observe: (event) => caller.emit({ kind: "step", operation: "image.build", ...event }),
    });
  } catch (error) {
    if (journal.standing().length === 0) store.journal.close(operation, "undone", describeUnknown(error));
    if (caller.signal.aborted) throw fail("operation.cancelled", { operation: "The build" }, error);
    throw error;
  }
  store.journal.close(operation, "done");
  const kept = store.images.get(imageId);
  if (!kept) throw fail("internal.bug", { detail: "an image that was kept is not in the records" });
  return kept;
};
