// How the run of all tests counts one file: whatever keeps a test from being run is a failure, never silence.
import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { groups } from "../../scripts/test/groups.ts";
import { runTestFile } from "../../scripts/test/run-file.ts";

const root = mkdtempSync("/tmp/bgr-run-file-");
afterAll(() => rmSync(root, { recursive: true }));

const run = (name: string, body: string) => {
  writeFileSync(join(root, name), `import { expect, test } from "bun:test";\n${body}\n`);
  return runTestFile(name, { root, group: groups[0], env: process.env, directory: root });
};

test("tests that passed, failed and were left out are counted", async () => {
  const body = `test("a", () => {}); test("b", () => { expect(1).toBe(2); }); test.skip("c", () => {});`;
  expect(await run("all.test.ts", body)).toMatchObject({ passed: 1, failed: 1, skipped: ["c"], problem: null });
});

test("a file that ends before its tests have is a failure, also when it ends well", async () => {
  const body = `test("a", () => process.exit(0)); test("b", () => { throw new Error("never seen"); });`;
  const { passed, failed, problem } = await run("gone.test.ts", body);
  expect([passed, failed]).toEqual([0, 1]);
  expect(problem).toContain("gone.test.ts ended before its tests");
  expect((await run("killed.test.ts", `process.kill(process.pid, "SIGKILL");`)).problem).toContain("SIGKILL");
});
