// Runs the tests of the lab: make lab. BANGER_LAB_VMM=firecracker runs those of one VMM, BANGER_REQUIRE=firecracker makes its absence a failure.
import { join } from "node:path";

const root = join(import.meta.dir, "../..");
const child = Bun.spawn([process.execPath, "test", "./test/lab/life.test.ts", ...process.argv.slice(2)], {
  cwd: root,
  stdin: "ignore",
  stdout: "inherit",
  stderr: "inherit",
});
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => child.kill("SIGTERM"));
process.exitCode = await child.exited;
