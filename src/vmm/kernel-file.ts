// Looks at the files of a kernel before a VMM is given them, so that a wrong one is named instead of hanging a guest.
import { open } from "node:fs/promises";
import { describeUnknown, fail } from "../spec/errors.ts";
import type { KernelFiles } from "./driver.ts";
import { detectKernelFormat, KERNEL_HEAD_BYTES, type KernelFormat } from "./kernel-format.ts";

const readHead = async (path: string): Promise<Uint8Array> => {
  const file = await open(path, "r");
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(KERNEL_HEAD_BYTES), 0, KERNEL_HEAD_BYTES, 0);
    return buffer.subarray(0, bytesRead);
  } finally {
    await file.close();
  }
};

const headOf = (path: string): Promise<Uint8Array> =>
  readHead(path).catch((error: unknown) => {
    throw fail("vmm.kernel_unusable", { path, detail: `it cannot be read (${describeUnknown(error)})` }, error);
  });

/** What the kernel at `path` is by its magic. Errors: vmm.kernel_unusable. */
export const readKernelFormat = async (path: string): Promise<KernelFormat> => {
  const found = detectKernelFormat(await headOf(path));
  if (!found.ok) throw fail("vmm.kernel_unusable", { path, detail: found.detail });
  return found.format;
};

/** As `VmmDriver.checkKernel`: the kernel by its magic, initramfs and modules by being there and not empty. */
export const checkKernelFiles = async (kernel: KernelFiles): Promise<void> => {
  await readKernelFormat(kernel.kernel);
  for (const path of [kernel.initramfs, kernel.modules]) {
    if (path !== null && (await headOf(path)).length === 0) {
      throw fail("vmm.kernel_unusable", { path, detail: "it is empty" });
    }
  }
};
