// What an image is: a managed root file system together with the kernel object that boots it.
import { z } from "zod";
import { KernelChoice } from "./vm.ts";

export const Image = z.object({
  id: z.string(),
  name: z.string(),
  aliases: z.array(z.string()),
  isDefault: z.boolean(),
  sizeMiB: z.number().int().describe("size of the file system, MiB"),
  usedMiB: z.number().int().describe("what it really occupies on this host, MiB"),
  kernel: z.string().describe("id of the kernel object"),
  kernelRelease: z.string(),
  helperVersion: z.string().nullable(),
  origin: z.enum(["built", "registered"]),
  usedBy: z.array(z.string()).describe("names of the VMs made from it"),
  createdAt: z.string(),
});
export type Image = z.infer<typeof Image>;

/** Which kernel new VMs of an image get where nobody says otherwise. */
export const KernelForVms = z.object({
  choice: KernelChoice,
  release: z.string(),
  hint: z.string().describe("what the other kernel would bring, and how to get it"),
});
export type KernelForVms = z.infer<typeof KernelForVms>;

/** How an image was made; printed by `image show`. */
export const ImageOrigin = z.object({
  how: z.enum(["built", "registered"]),
  suite: z.string().nullable(),
  mirror: z.string().nullable(),
  packages: z.array(z.string()).describe("name=version"),
  scripts: z.record(z.string(), z.string()).describe("banger's own scripts: path → sha256"),
  source: z.string().nullable(),
  base: z
    .object({ id: z.string(), name: z.string() })
    .nullable()
    .describe("the image it was made from, by the name that one had then"),
  provisioned: z
    .array(z.object({ script: z.string(), sha256: z.string() }))
    .describe("the user's own scripts that ran in it, in their order, those of its base first"),
  kernel: z
    .object({ id: z.string(), release: z.string(), package: z.string().nullable(), version: z.string().nullable() })
    .nullable(),
});
export type ImageOrigin = z.infer<typeof ImageOrigin>;
