// What of this checkout the lab gets besides the product, so that tests of single parts run there as they do here.
import { cpSync, realpathSync } from "node:fs";
import { join, resolve } from "node:path";
import { builtConsoleGuest } from "../conformance/console-guest.ts";
import { builtShim } from "../shim/shim-bench.ts";
import { builtTsc } from "../vmm/built-tsc.ts";

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
const BUILT = ["build/test-shim", "build/test-guest", "build/test-tsc"] as const;

/** The lab has no compiler: what tests compile is compiled here, where they look for it before they do it themselves. */
export const bringCheckout = (target: string): void => {
  builtShim();
  builtConsoleGuest();
  builtTsc();
  for (const path of [...SOURCES, ...BUILT])
    cpSync(join(root, path), join(target, path), { recursive: true, dereference: true });
  cpSync(realpathSync(process.execPath), join(target, "bun"));
};
