// Whether banger's own kernel was built in this checkout, for tests that boot it and for the benchmark.
import { existsSync } from "node:fs";
import { join, resolve } from "node:path";

const vmlinux = join(resolve(import.meta.dir, "../.."), "runtime/kernel/vmlinux");

/** Why it cannot be booted here; null when it can. */
export const lacksOwnKernel = (): string | null =>
  existsSync(vmlinux) ? null : "banger's own kernel is not built here: make kernel, ten minutes";

/** For drivers' tests, which take files. */
export const ownKernelPath = vmlinux;
