// A bounded fuzz run over the guest document's parser, from a fixed seed, under sanitizers.
import { expect, test } from "bun:test";
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { buildSanitizedInit, document, SANITIZER_ENVIRONMENT } from "./guest-document.ts";

test("40 000 damaged documents are parsed without a finding, some of them accepted", () => {
  const { program, directory } = buildSanitizedInit("fuzz.c");
  try {
    const seed = join(directory, "seed");
    const user = "carol:1000:1000:/home/carol:/bin/bash\n";
    writeFileSync(
      seed,
      document({ hostname: "web\n", fqdn: "web.vm\n", user, timezone: "Europe/Berlin\n", locale: "C\n" }),
    );
    const run = Bun.spawnSync([program, "40000", "7", seed], { env: SANITIZER_ENVIRONMENT, timeout: 60_000 });
    expect(run.stderr.toString()).toBe("");
    expect(run.exitCode).toBe(0);
    expect(Number.parseInt(run.stdout.toString(), 10)).toBeGreaterThan(1000);
  } finally {
    rmSync(directory, { recursive: true });
  }
}, 90_000);
