// The screens in the documentation are those that the terminal UI draws.
import { expect, test } from "bun:test";
import { join } from "node:path";

test("docs/tui.md shows the screens and keys as they are", () => {
  const script = join(import.meta.dir, "../../scripts/capture-tui.ts");
  const done = Bun.spawnSync([process.execPath, script, "--check"], { stderr: "pipe" });
  expect({ exitCode: done.exitCode, err: String(done.stderr) }).toEqual({ exitCode: 0, err: "" });
});
