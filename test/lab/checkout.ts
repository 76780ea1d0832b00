// What of this checkout the lab gets besides the product, so that tests of single parts run there as they do here.
import { cpSync, realpathSync } from "node:fs";
import { join, resolve } from "node:path";
import { builtConsoleGuest } from "../conformance/console-guest.ts";
import { builtNative, NATIVE_BUILT } from "../native.ts";

const root = resolve(import.meta.dir, "../..");
const SOURCES = [
  "src",
  "test",
  "native",
  "package.json",
  "runtime-bundle.toml",
  "tsconfig.json",
  "bunfig.toml",
  "node_modules/zod",
] as const;
const BUILT = [NATIVE_BUILT, "build/test-guest"] as const;

/** The lab has no compiler: what tests compile is compiled here, where they look for it before they do it themselves. */
export const bringCheckout = (target: string): void => {
  builtConsoleGuest();
  for (const name of ["shim", "tsc"] as const) builtNative(name);
  for (const path of [...SOURCES, ...BUILT])
    cpSync(join(root, path), join(target, path), { recursive: true, dereference: true });
  cpSync(realpathSync(process.execPath), join(target, "bun"));
};
