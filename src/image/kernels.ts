// Keeps kernel objects: kernel, initramfs and modules in one directory named by the hash of all of them.
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { fail } from "../spec/errors.ts";
import type { KernelRecord } from "../spec/records.ts";
import type { ImageContext } from "./images.ts";

/** In this order, so that the hash of an object depends on nothing else. */
const parts = ["vmlinux", "vmlinuz", "initramfs", "modules.squashfs", "kernel.env"];
const ID_DIGITS = 16;

/** Moves a directory that a kernel script made to its place; the same kernel is kept once. */
export const keepKernel = async (context: ImageContext, built: string): Promise<KernelRecord> => {
  const { store, host, paths } = context;
  const environment = parseKernelEnvironment((await host.files.read(`${built}/kernel.env`)) ?? "");
  const release = environment.get("release");
  if (release === undefined) throw fail("vmm.kernel_unusable", { path: built, detail: "kernel.env names no release" });
  const id = await kernelIdOf(built);
  const known = store.kernels.get(id);
  if (known && (await host.files.exists(known.dir))) return known;
  const record: KernelRecord = {
    id,
    dir: `${paths.kernelsDir}/${id}`,
    release,
    cmdline: (environment.get("cmdline") ?? "").split(" ").filter(Boolean),
    createdAt: context.now().toISOString(),
  };
  await host.files.removeTree(record.dir);
  await host.files.rename(built, record.dir);
  store.kernels.insert(record);
  return record;
};

/** What a kernel object is called: a hash of its files. */
export const kernelIdOf = async (directory: string): Promise<string> =>
  (await hashFiles(parts.map((name) => `${directory}/${name}`))).slice(0, ID_DIGITS);

/** `name=value` lines of a kernel object's kernel.env, as images/debian-kernel.sh writes them. */
export const parseKernelEnvironment = (text: string): ReadonlyMap<string, string> =>
  new Map(
    text
      .split("\n")
      .filter((line) => line.includes("="))
      .map((line) => [line.slice(0, line.indexOf("=")), line.slice(line.indexOf("=") + 1)]),
  );

/** SHA-256 over the files that are there, each with its name: a file less is another kernel. */
const hashFiles = async (files: readonly string[]): Promise<string> => {
  const hash = createHash("sha256");
  for (const file of files) {
    try {
      hash.update(`${file.slice(file.lastIndexOf("/") + 1)}\0`);
      for await (const chunk of createReadStream(file)) hash.update(chunk as Buffer);
    } catch (error) {
      if ((error as { code?: string }).code !== "ENOENT") throw error;
    }
  }
  return hash.digest("hex");
};
