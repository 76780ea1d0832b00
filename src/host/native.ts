// Finds what lies beside the executable: the native helpers, the guest's helpers, and the scripts that build images.
import { existsSync } from "node:fs";
import { basename, dirname, resolve } from "node:path";

/** Absolute paths; each is checked when it is used, so that a missing one is an error of what needs it alone. */
export type NativePaths = {
  /** banger-shim */
  shim: string;
  /** banger-tsc */
  tsc: string;
  /** Directory with init, initramfs-init and banger-vsock-pingd. */
  guestHelpers: string;
  /** Directory of customize.sh and the kernel scripts. */
  imageScripts: string;
};

/** In a source tree helpers lie in `build/` and scripts in `images/`; an installed executable has both in `../lib/banger`. */
export const findNative = (): NativePaths => {
  const isCompiled = basename(process.execPath) !== "bun";
  const executableDir = dirname(process.execPath);
  const sourceRoot = isCompiled ? resolve(executableDir, "..") : resolve(import.meta.dir, "../..");
  const installed = resolve(executableDir, "../lib/banger");
  const given = process.env.BANGER_RUNTIME_DIR;
  const roots = given ? [given] : isCompiled ? [installed, `${sourceRoot}/build`] : [`${sourceRoot}/build`];
  const lib = roots.find((root) => existsSync(`${root}/banger-shim`)) ?? roots.at(-1) ?? installed;
  const scripts = [`${lib}/images`, `${sourceRoot}/images`].find((path) => existsSync(`${path}/customize.sh`));
  return {
    shim: `${lib}/banger-shim`,
    tsc: `${lib}/banger-tsc`,
    guestHelpers: `${lib}/guest`,
    imageScripts: scripts ?? `${lib}/images`,
  };
};
