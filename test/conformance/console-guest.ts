// Builds the initramfs of the conformance guest: one static program that obeys words on its console.
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { renderCpio } from "../../src/vmm/cpio.ts";
import { runTool } from "../native.ts";

const source = join(import.meta.dir, "console-guest.c");

/** Path of the initramfs, compiled once for each state of its source, below build/. */
export const builtConsoleGuest = (): string => {
  const hash = new Bun.CryptoHasher("sha256").update(readFileSync(source)).digest("hex").slice(0, 16);
  const directory = join(import.meta.dir, "../../build/test-guest", hash);
  const built = join(directory, "initramfs");
  if (existsSync(built)) return built;
  mkdirSync(directory, { recursive: true });
  const program = join(directory, `init.${process.pid}`);
  const flags = "-std=c11 -Os -Wall -Wextra -Werror -static -s -o".split(" ");
  runTool([process.env.CC ?? "musl-gcc", ...flags, program, source]);
  const part = `${built}.${process.pid}`;
  writeFileSync(
    part,
    renderCpio([
      { name: "dev", mode: 0o040755 },
      { name: "dev/console", mode: 0o020600, device: [5, 1] },
      { name: "init", mode: 0o100755, content: readFileSync(program) },
    ]),
  );
  renameSync(part, built);
  rmSync(program);
  return built;
};
