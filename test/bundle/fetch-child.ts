// A process that fetches a bundle and can be killed: `bun fetch-child.ts DIRECTORY MANIFEST`; prints the code and reason of a failure.
import { readFileSync } from "node:fs";
import { openBundle } from "../../src/bundle/bundle.ts";
import { tryLockFile } from "../../src/host/lock.ts";
import { isBangerError } from "../../src/spec/errors.ts";

const [directory = "", manifest = ""] = process.argv.slice(2);
const bundle = openBundle({
  env: { BANGER_RUNTIME_DIR: directory },
  configured: { dir: null, mirror: null },
  dataDir: `${directory}/data`,
  tryLock: tryLockFile,
  readVersion: async () => "",
  now: () => new Date(),
  manifest: readFileSync(manifest, "utf8"),
});
try {
  await bundle.fetch([], { from: null, signal: new AbortController().signal, onEvent: () => {} });
  console.log("whole");
} catch (error) {
  if (!isBangerError(error)) throw error;
  console.log(JSON.stringify({ code: error.code, data: error.data, fix: error.fix }));
}
