// What the database keeps besides VMs: images, kernels and the operations of the journal, as everyone outside the store sees them.
import { z } from "zod";
import { ImageName } from "./names.ts";

/** An image on this host; `name` and `aliases` are what people call it by. */
export const ImageRecord = z.object({
  id: z.string().min(1),
  name: ImageName,
  aliases: z.array(ImageName),
  dir: z.string().describe("absolute directory that holds the image's files"),
  sizeMiB: z.number().nonnegative().describe("nominal size of the root file system, MiB"),
  usedMiB: z.number().nonnegative().describe("what the files really occupy on this host, MiB"),
  kernelId: z.string().describe("hash of the kernel object that new VMs of this image pin"),
  helperVersion: z.string().nullable().describe("version of the guest helper inside; null when unknown"),
  createdAt: z.string(),
  origin: z.object({ how: z.enum(["built", "registered"]), details: z.record(z.string(), z.unknown()) }),
});
export type ImageRecord = z.infer<typeof ImageRecord>;

/** Kernel, initramfs and modules, one object named by its hash. */
export const KernelRecord = z.object({
  id: z.string().min(1).describe("hash over the object's files"),
  dir: z.string(),
  release: z.string().describe("what `uname -r` says under it"),
  cmdline: z.array(z.string()).describe("what this kernel wants on its command line besides the boot contract's"),
  createdAt: z.string(),
});
export type KernelRecord = z.infer<typeof KernelRecord>;

/** How an operation was closed. `lost`: its effects went away by themselves, as after a reboot of the host. */
export const OperationOutcome = z.enum(["done", "undone", "failed", "cancelled", "lost"]);
export type OperationOutcome = z.infer<typeof OperationOutcome>;

export const OperationStep = z.object({
  name: z.string(),
  phase: z.enum(["begun", "done", "undone", "undo_failed"]),
  ms: z.number().nullable().describe("how long `run` took; null until it was done"),
  detail: z.string().nullable().describe("why undoing failed"),
});
export type OperationStep = z.infer<typeof OperationStep>;

/** One run of a list of steps. It is open while anything of it exists: a start stands as long as its VM runs. */
export const Operation = z.object({
  id: z.number().int().positive(),
  kind: z.string().describe("noun.verb, for example vm.start"),
  subject: z.string().describe("id of what it is about: a VM's or an image's"),
  planVersion: z.number().int(),
  plan: z.unknown().describe("as it was stored; the reader of `kind` and `planVersion` validates it"),
  requestedBy: z.string(),
  startedAt: z.string(),
  doneAt: z.string().nullable().describe("when the last step was done; null while running and after a failure"),
  endedAt: z.string().nullable().describe("when it was closed; null while it is open"),
  outcome: OperationOutcome.nullable(),
  detail: z.string().nullable(),
  steps: z.array(OperationStep).describe("in the order they were begun"),
});
export type Operation = z.infer<typeof Operation>;
