// Compiles banger-tsc once for a test run.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runTool } from "../shim/shim-bench.ts";

let built: string | null = null;

/** Absolute path of the helper. */
export const builtTsc = (): string => {
  if (built) return built;
  const directory = mkdtempSync(join(tmpdir(), "bgr-tsc-build-"));
  process.on("exit", () => rmSync(directory, { recursive: true, force: true }));
  runTool([join(import.meta.dir, "../../native/tsc/build.sh"), directory]);
  built = join(directory, "banger-tsc");
  return built;
};
