// Decides whether a Firecracker of some version boots a kernel: bzImage only since 1.17.
import { fail } from "../../spec/errors.ts";
import type { KernelFiles, VmmBinary } from "../driver.ts";
import { checkKernelFiles, readKernelFormat } from "../kernel-file.ts";

const BZIMAGE_SINCE = [1, 17] as const;

/** Whether this version boots a compressed kernel as distributions ship it. Pre-releases count as what they lead to. */
export const bootsBzImage = (version: string): boolean => {
  const [major = 0, minor = 0] = version.split(/[.-]/).map(Number);
  return major > BZIMAGE_SINCE[0] || (major === BZIMAGE_SINCE[0] && minor >= BZIMAGE_SINCE[1]);
};

/** As `VmmDriver.checkKernel`. */
export const checkFirecrackerKernel = async (kernel: KernelFiles, binary: VmmBinary): Promise<void> => {
  await checkKernelFiles(kernel);
  if (bootsBzImage(binary.version) || (await readKernelFormat(kernel.kernel)) !== "bzImage") return;
  const since = BZIMAGE_SINCE.join(".");
  const detail = `it is a bzImage, which Firecracker boots since ${since}, and this is ${binary.version}`;
  throw fail("vmm.kernel_unusable", { path: kernel.kernel, detail });
};
