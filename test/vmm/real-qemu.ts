// Finds real QEMU and a kernel for the tests that boot guests, or says what is missing.
import { existsSync } from "node:fs";
import { join } from "node:path";
import { qemuDriver } from "../../src/vmm/qemu/driver.ts";
import { parseTscKhz } from "../../src/vmm/tsc.ts";
import { builtConsoleGuest } from "../conformance/console-guest.ts";
import type { VmmSubject } from "../conformance/vmm.ts";
import { builtNative, runTool } from "../native.ts";
import { patienceHere } from "./real-firecracker.ts";

/** What is missing for real QEMU, or its subject; the guest tests export BANGER_TEST_IMAGE_DIR, a directory with a kernel. */
export const realQemu = (): VmmSubject | { missing: string } => {
  const directory = process.env.BANGER_TEST_IMAGE_DIR;
  if (!directory) return { missing: "BANGER_TEST_IMAGE_DIR is not set" };
  const candidates = ["kernel/vmlinux", "kernel/vmlinuz", "vmlinux", "vmlinuz"].map((name) => join(directory, name));
  const kernel = candidates.find((path) => existsSync(path));
  if (!kernel) return { missing: `none of ${candidates.join(", ")} is there` };
  const path = "/usr/bin/qemu-system-x86_64";
  if (!existsSync(path)) return { missing: `${path} is not installed` };
  const tscKhz = parseTscKhz(runTool([builtNative("tsc")]));
  if (tscKhz === null) return { missing: "this host's time stamp counter changes its rate" };
  // A KVM that opens may still boot nothing, so it is used where somebody says that it serves: in the lab.
  const accelerator = process.env.BANGER_TEST_ACCEL === "kvm" ? "kvm" : "tcg";
  const firmwareDir = existsSync("/usr/share/qemu/qboot.rom") ? "/usr/share/qemu" : null;
  return {
    driver: qemuDriver,
    binary: { path, version: "unknown", firmwareDir },
    accelerator,
    tscKhz,
    kernel: { kernel, initramfs: builtConsoleGuest(), modules: null, cmdline: ["rdinit=/init"] },
    failing: {
      changes: { kernel: { kernel: "/nonexistent/vmlinux", initramfs: null, modules: null, cmdline: [] } },
      stderr: "/nonexistent/vmlinux",
    },
    button: "ignored",
    bootTimeoutMs: 60_000,
    patience: patienceHere(),
  };
};

/** Whether a missing QEMU is a failure rather than a skip. */
export const isQemuRequired = (process.env.BANGER_REQUIRE ?? "").split(",").includes("qemu");
