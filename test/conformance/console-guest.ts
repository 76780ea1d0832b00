// Builds the initramfs of the conformance guest: one static program that obeys words on its console.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { renderCpio } from "../../src/vmm/cpio.ts";
import { runTool } from "../shim/shim-bench.ts";

let built: string | null = null;

/** Path of the initramfs, compiled once for a test run. */
export const builtConsoleGuest = (): string => {
  if (built) return built;
  const directory = mkdtempSync(join(tmpdir(), "bgr-guest-build-"));
  process.on("exit", () => rmSync(directory, { recursive: true, force: true }));
  const program = join(directory, "init");
  runTool([
    process.env.CC ?? "musl-gcc",
    ..."-std=c11 -Os -Wall -Wextra -Werror -static -s -o".split(" "),
    program,
    join(import.meta.dir, "console-guest.c"),
  ]);
  built = join(directory, "initramfs");
  writeFileSync(
    built,
    renderCpio([
      { name: "dev", mode: 0o040755 },
      { name: "dev/console", mode: 0o020600, device: [5, 1] },
      { name: "init", mode: 0o100755, content: readFileSync(program) },
    ]),
  );
  return built;
};
