// The methods on images.
import { z } from "zod";
import { ProgressEvent } from "../events.ts";
import { Image, ImageOrigin, KernelForVms } from "../image.ts";
import { ImageName, ImageRef } from "../names.ts";
import { method } from "./method.ts";

const image = ImageRef.describe("image name, alias or id");

export const imageMethods = {
  "image.build": method({
    summary: "Build an image of Debian with the guest helper in it",
    description:
      "Needs mmdebstrap, and no root where the host allows user namespaces; where the runtime bundle has the default image ready, that is unpacked instead. " +
      "With --from it is made out of an image that is there: a temporary VM named banger-build-… boots from it, the scripts run in it as root, one after the other, and its disk is the new image. " +
      "A build that fails or is interrupted leaves nothing.",
    input: z.object({
      name: ImageName.default("debian-13").describe("name of the image"),
      mirror: z
        .url({ protocol: /^(https?|file)$/ })
        .optional()
        .describe("Debian mirror to use"),
      package: z
        .array(z.string().regex(/^[a-z0-9][a-z0-9.+-]+$/, "that is no Debian package name"))
        .default([])
        .describe("package to put in besides the default ones"),
      from: ImageRef.optional().describe("image to start from, in a temporary VM, instead of from packages"),
      script: z
        .array(z.string())
        .max(100)
        .default([])
        .describe("script to run in it as root; the first that fails ends the build")
        .meta({ path: "file" }),
      replace: z.boolean().default(false).describe("build it anew when it exists; VMs keep what they have"),
      fresh: z.boolean().default(false).describe("build it from packages even where the bundle has it ready"),
    }),
    output: Image.extend({ newVms: KernelForVms }),
    events: ProgressEvent,
    errors: [
      "image.tools_missing",
      "image.no_user_namespace",
      "image.name_taken",
      "image.build_failed",
      "image.script_failed",
      "image.not_found",
      "image.broken",
      "image.without_helper",
      "guest.too_old",
      "host.command_missing",
      "host.file_failed",
      "host.no_space",
      "bundle.missing",
      "input.invalid",
      "operation.cancelled",
      "operation.timeout",
    ],
    positional: ["name"],
    onDisconnect: "cancel",
    command: {
      path: ["image", "build"],
      examples: [
        { command: "banger image build", shows: "make the default image, debian-13" },
        { command: "banger image build --package git --package build-essential dev", shows: "one with more in it" },
        {
          command: "banger image build --from debian --script ./tools.sh --script ./team.sh dev",
          shows: "one out of another, by scripts that run in a temporary VM",
        },
      ],
    },
  }),
  "image.register": method({
    summary: "Register a root file system as an image",
    input: z.object({
      name: ImageName.describe("name of the image"),
      path: z.string().describe("raw ext4 file without a partition table; it is copied").meta({ path: "file" }),
      kernelOf: ImageRef.optional().describe("image whose kernel it uses (default: the default image's)"),
    }),
    output: Image,
    events: ProgressEvent,
    errors: ["image.name_taken", "image.not_a_root", "image.without_helper", "image.not_found", "host.no_space"],
    positional: ["name", "path"],
    command: {
      path: ["image", "register"],
      aliases: [["image", "import"]],
      examples: [{ command: "banger image register mine ./rootfs.ext4", shows: "copy a file system in" }],
    },
  }),
  "image.list": method({
    summary: "List the images",
    input: z.object({}),
    output: z.array(Image),
    errors: [],
    command: {
      path: ["image", "list"],
      aliases: [["image", "ls"], ["images"]],
      examples: [{ command: "banger image list", shows: "images, their size on disk and who uses them" }],
    },
  }),
  "image.show": method({
    summary: "Show an image and how it was made",
    input: z.object({ image }),
    output: Image.extend({
      made: ImageOrigin,
      newVms: KernelForVms,
      rootPath: z
        .string()
        .describe("its root file system on this host; VMs are cloned from it, so nothing may change it"),
      kernelDir: z.string().nullable().describe("directory of its kernel object"),
    }),
    errors: ["image.not_found"],
    positional: ["image"],
    command: {
      path: ["image", "show"],
      aliases: [["image", "inspect"]],
      examples: [{ command: "banger image show debian", shows: "its kernel, packages and users" }],
    },
  }),
  "image.delete": method({
    summary: "Delete an image",
    input: z.object({ image }),
    output: z.object({ id: z.string(), name: z.string(), deleted: z.literal(true) }),
    errors: ["image.not_found", "image.in_use"],
    positional: ["image"],
    command: {
      path: ["image", "delete"],
      aliases: [["image", "rm"]],
      isMulti: true,
      examples: [{ command: "banger image rm old", shows: "delete one that no VM uses" }],
    },
  }),
  "image.prune": method({
    summary: "Delete kernels and leftovers of builds that nothing uses",
    input: z.object({ dryRun: z.boolean().default(false).describe("only say what would go") }),
    output: z.object({ removed: z.array(z.string()), freedMiB: z.number() }),
    errors: [],
    command: {
      path: ["image", "prune"],
      examples: [{ command: "banger image prune --dry-run", shows: "what would be freed" }],
    },
  }),
};
