// Finds what lies beside the executable: the native helpers, the guest's helpers, and the scripts that build images.
import { existsSync } from "node:fs";
import { basename, dirname, resolve } from "node:path";

/** Absolute paths; each is checked when it is used, so that a missing one is an error of what needs it alone. */
export type NativePaths = {
  /** banger-shim */
  shim: string;
  /** banger-proxy */
  proxy: string;
  /** banger-jail: what root runs is this file, or the copy that `banger setup` makes of it. */
  jail: string;
  /** banger-holder */
  holder: string;
  /** banger-dns-front */
  dnsFront: string;
  /** banger-tsc */
  tsc: string;
  /** Directory with init, initramfs-init and banger-vsock-pingd. */
  guestHelpers: string;
  /** Directory of customize.sh and the kernel scripts. */
  imageScripts: string;
};

/** In a source tree helpers lie in `build/` and scripts in `images/`; elsewhere both are in the bundle, which is `../lib/banger` when nobody says otherwise. */
export const findNative = (bundleDir?: string): NativePaths => {
  const isCompiled = basename(process.execPath) !== "bun";
  const executableDir = dirname(process.execPath);
  const sourceRoot = isCompiled ? resolve(executableDir, "..") : resolve(import.meta.dir, "../..");
  const bundle = bundleDir ?? process.env.BANGER_RUNTIME_DIR ?? resolve(executableDir, "../lib/banger");
  // What was just built counts more than what was put into the source tree's bundle once; a bundle that is named has all of it or none.
  const isOfSources = bundle === `${sourceRoot}/runtime`;
  const roots = isOfSources ? [`${sourceRoot}/build`, bundle] : [bundle, `${sourceRoot}/build`];
  const lib = roots.find((root) => existsSync(`${root}/banger-shim`)) ?? bundle;
  const scripts = [`${lib}/images`, `${sourceRoot}/images`].find((path) => existsSync(`${path}/customize.sh`));
  return {
    shim: `${lib}/banger-shim`,
    proxy: `${lib}/banger-proxy`,
    jail: `${lib}/banger-jail`,
    holder: `${lib}/banger-holder`,
    dnsFront: `${lib}/banger-dns-front`,
    tsc: `${lib}/banger-tsc`,
    guestHelpers: `${lib}/guest`,
    imageScripts: scripts ?? `${lib}/images`,
  };
};
