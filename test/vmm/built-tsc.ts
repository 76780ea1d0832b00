// Compiles banger-tsc once for each state of its source, below build/.
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { runTool } from "../shim/shim-bench.ts";

const repository = join(import.meta.dir, "../..");

/** Absolute path of the helper. */
export const builtTsc = (): string => {
  const native = join(repository, "native/tsc");
  const hash = new Bun.CryptoHasher("sha256")
    .update(readFileSync(join(native, "tsc.c")))
    .digest("hex")
    .slice(0, 16);
  const directory = join(repository, "build/test-tsc", hash);
  const program = join(directory, "banger-tsc");
  if (!existsSync(program)) runTool([join(native, "../build.sh"), "tsc", directory]);
  return program;
};
