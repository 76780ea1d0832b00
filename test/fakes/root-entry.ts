// The privileged helper from its source, for tests that have no built executable.
import { writeSync } from "node:fs";
import { runRootHelper } from "../../src/host/root-helper.ts";

process.exit(
  await runRootHelper(process.argv.slice(2), {
    input: Bun.stdin.stream() as unknown as AsyncIterable<Uint8Array>,
    write: (text) => void writeSync(1, text),
    env: process.env,
    uid: process.geteuid?.() ?? 0,
  }),
);
