// The configuration as the daemon keeps it: changes that come at once are all made.
import { expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { openConfig } from "../../src/daemon/config-file.ts";
import { createFiles } from "../../src/host/files.ts";

test("changes that come at once are all in the file, and in use; one that is refused spoils none of them", async () => {
  const dir = mkdtempSync("/tmp/bgr-config-");
  try {
    const path = `${dir}/banger/config.toml`;
    const config = await openConfig({ path, files: createFiles({ roots: [dir] }), environment: {} });
    const changes = [
      ["vm.memory", "3G"],
      ["vm.vcpus", "3"],
      ["dns.port", "no port"],
      ["timeouts.ready", "77s"],
    ] as const;
    const done = await Promise.allSettled(changes.map(([key, value]) => config.set(key, value)));
    expect(done.map(({ status }) => status)).toEqual(["fulfilled", "fulfilled", "rejected", "fulfilled"]);
    const text = readFileSync(path, "utf8");
    for (const line of ['memory = "3G"', "vcpus = 3", 'ready = "77s"']) expect(text).toContain(line);
    expect(config.current()).toMatchObject({ vm: { memoryMiB: 3072, vcpus: 3 }, timeouts: { readyMs: 77_000 } });
  } finally {
    rmSync(dir, { recursive: true });
  }
});
