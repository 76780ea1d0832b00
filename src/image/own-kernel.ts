// Takes the runtime bundle's kernel into the kernels of this instance, where VMs pin it, once for each state of it.
import type { FilePort } from "../host/host.ts";
import { type BangerError, fail } from "../spec/errors.ts";
import type { KernelRecord } from "../spec/records.ts";
import type { ImageContext } from "./images.ts";
import { keepKernel, kernelIdOf, parseKernelEnvironment } from "./kernels.ts";

const COPY_TIMEOUT_MS = 60_000;

/** The kernel in the bundle, verified; or why there is none, as a sentence without its end, and the error for whoever insists. */
export type BundledKernel = { directory: string; key: string } | { absence: string; error: BangerError };

export type GuestKernel = { release: string } | { absence: string; error: BangerError };

export type OwnKernel = {
  find(): Promise<KernelRecord | { absence: string; error: BangerError }>;
  peek(): Promise<GuestKernel>;
  /** The one that the next VM would get: in use, although no VM may pin it yet. */
  currentId(): string | null;
};

const nowhere = {
  absence: "there is no runtime bundle",
  error: fail("bundle.missing", { artifact: "kernel", directory: "no bundle at all" }),
};

/** What `uname -r` says in the bundle's kernel, for reading alone: nothing is taken in. */
export const releaseInBundle = async (files: Pick<FilePort, "read">, found: BundledKernel): Promise<GuestKernel> => {
  if ("absence" in found) return found;
  const environment = parseKernelEnvironment((await files.read(`${found.directory}/kernel.env`)) ?? "");
  return { release: environment.get("release") ?? "unknown" };
};

export const createOwnKernel = (context: ImageContext): OwnKernel => {
  const { store, host, paths } = context;
  let taken: { key: string; id: string } | null = null;
  let taking: Promise<KernelRecord> | null = null;

  const look = async (): Promise<BundledKernel> => (await context.ownKernel?.()) ?? nowhere;

  const isWhole = (kernel: KernelRecord) => host.files.exists(`${kernel.dir}/vmlinux`);

  const take = async (directory: string): Promise<KernelRecord> => {
    const known = store.kernels.get(await kernelIdOf(directory));
    if (known && (await isWhole(known))) return known;
    await host.files.makeDir(paths.kernelsDir);
    // A name that no record has: whatever a crash leaves of it is pruned.
    const copy = `${paths.kernelsDir}/.taking-${context.randomHex(12)}`;
    try {
      const { exitCode, stderr } = await host.processes.runCommand({
        argv: ["/bin/cp", "-R", "--reflink=auto", "--no-preserve=mode", "--", directory, copy],
        timeoutMs: COPY_TIMEOUT_MS,
        package: "coreutils",
      });
      if (exitCode !== 0) throw fail("host.file_failed", { path: copy, operation: "copy", detail: stderr.trim() });
      return await keepKernel(context, copy);
    } finally {
      await host.files.removeTree(copy);
    }
  };

  return {
    currentId: () => taken?.id ?? null,
    peek: async () => releaseInBundle(host.files, await look()),
    find: async () => {
      const found = await look();
      if ("absence" in found) return found;
      const known = taken?.key === found.key ? store.kernels.get(taken.id) : null;
      if (known && (await isWhole(known))) return known;
      // VMs made side by side wait for one copy, not for one each.
      taking ??= take(found.directory).finally(() => {
        taking = null;
      });
      const kernel = await taking;
      taken = { key: found.key, id: kernel.id };
      return kernel;
    },
  };
};
