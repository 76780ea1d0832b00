// Finds real Firecracker, a KVM that runs its guests and a kernel for the tests that boot guests, or says what is missing.
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runCommand } from "../../src/host/command.ts";
import { firecrackerDriver } from "../../src/vmm/firecracker/driver.ts";
import { probeFirecracker } from "../../src/vmm/firecracker/probe.ts";
import { builtConsoleGuest } from "../conformance/console-guest.ts";
import type { VmmSubject } from "../conformance/vmm.ts";

/** What makes Firecracker refuse its arguments: an id that looks like an option. */
export const failing: VmmSubject["failing"] = {
  changes: { vm: { id: "--none", name: "hello" } },
  stderr: "ParseArguments",
};

/** What is missing for real Firecracker, or its subject; the guest tests export BANGER_TEST_IMAGE_DIR, a directory with a kernel. */
export const realFirecracker = async (): Promise<VmmSubject | { missing: string }> => {
  const directory = process.env.BANGER_TEST_IMAGE_DIR;
  if (!directory) return { missing: "BANGER_TEST_IMAGE_DIR is not set" };
  const candidates = ["kernel/vmlinux", "kernel/vmlinuz", "vmlinux", "vmlinuz"].map((name) => join(directory, name));
  const kernel = candidates.find((path) => existsSync(path));
  if (!kernel) return { missing: `none of ${candidates.join(", ")} is there` };
  const cacheDir = await mkdtemp(join(tmpdir(), "bgr-firecracker-"));
  const signal = AbortSignal.timeout(60_000);
  // A KVM that may be opened need not run guests: the driver's own proof decides.
  const probe = await probeFirecracker({ cacheDir, bootId: "test", processes: { runCommand }, kernel, signal });
  await rm(cacheDir, { recursive: true, force: true });
  if (!probe.ok) return { missing: probe.reason };
  return {
    driver: firecrackerDriver,
    binary: probe.binary,
    accelerator: "kvm",
    tscKhz: null,
    kernel: { kernel, initramfs: builtConsoleGuest(), modules: null, cmdline: ["rdinit=/init"] },
    failing,
    button: "ignored",
    bootTimeoutMs: 60_000,
    patience: patienceHere(),
  };
};

/** `BANGER_TEST_PATIENCE`: how many times longer everything may take where KVM itself is emulated. */
export const patienceHere = (): number => Number(process.env.BANGER_TEST_PATIENCE ?? 1);

/** Whether a missing Firecracker is a failure rather than a skip. */
export const isFirecrackerRequired = (process.env.BANGER_REQUIRE ?? "").split(",").includes("firecracker");
