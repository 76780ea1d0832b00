// What the doctor gathers of banger's own files, on real ones.
import { expect, test } from "bun:test";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import type { DoctorPorts } from "../../src/doctor/facts.ts";
import { gatherFiles } from "../../src/doctor/gather-files.ts";
import { createFiles } from "../../src/host/files.ts";

test("whether blocks are shared is found out by all who ask at once, and nothing is left of their files", async () => {
  const dataDir = mkdtempSync("/tmp/bgr-doctor-");
  try {
    const ports = { paths: { dataDir }, host: { files: createFiles({ roots: [dataDir] }) } } as unknown as DoctorPorts;
    const found = await Promise.all(Array.from({ length: 5 }, () => gatherFiles.clone(ports)));
    for (const { method } of found) expect(["reflink", "sparse"]).toContain(method as string);
    expect(readdirSync(dataDir)).toEqual([]);
  } finally {
    rmSync(dataDir, { recursive: true });
  }
});
