// Runs the driver suite over the fake VMM always, and over real QEMU where there is a kernel to boot.
import { beforeAll, describe, test } from "bun:test";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { qemuDriver } from "../../src/vmm/qemu/driver.ts";
import { parseTscKhz } from "../../src/vmm/tsc.ts";
import { builtConsoleGuest } from "../conformance/console-guest.ts";
import { prepareConformance, testVmmConformance, type VmmSubject } from "../conformance/vmm.ts";
import { fakeVmmDriver } from "../fakes/fake-vmm-driver.ts";
import { runTool } from "../shim/shim-bench.ts";
import { builtTsc } from "./built-tsc.ts";

beforeAll(prepareConformance);

testVmmConformance("the fake VMM", {
  driver: fakeVmmDriver,
  binary: { path: "/fake", version: "7.2.0", firmwareDir: null },
  accelerator: "tcg",
  tscKhz: null,
  kernel: { kernel: "/fake/vmlinux", initramfs: null, modules: null, cmdline: [] },
  failing: { kernel: { cmdline: ["fake=exit-before-socket"] }, stderr: "Device or resource busy" },
  hasPowerButton: true,
  bootTimeoutMs: 10_000,
});

/** What is missing for real QEMU, or its subject; the guest tests export BANGER_TEST_IMAGE_DIR, a directory with a kernel. */
const realQemu = (): VmmSubject | { missing: string } => {
  const directory = process.env.BANGER_TEST_IMAGE_DIR;
  if (!directory) return { missing: "BANGER_TEST_IMAGE_DIR is not set" };
  const candidates = ["kernel/vmlinux", "kernel/vmlinuz", "vmlinux", "vmlinuz"].map((name) => join(directory, name));
  const kernel = candidates.find((path) => existsSync(path));
  if (!kernel) return { missing: `none of ${candidates.join(", ")} is there` };
  const path = "/usr/bin/qemu-system-x86_64";
  if (!existsSync(path)) return { missing: `${path} is not installed` };
  const tscKhz = parseTscKhz(runTool([builtTsc()]));
  if (tscKhz === null) return { missing: "this host's time stamp counter changes its rate" };
  const firmwareDir = existsSync("/usr/share/qemu/qboot.rom") ? "/usr/share/qemu" : null;
  return {
    driver: qemuDriver,
    binary: { path, version: "unknown", firmwareDir },
    accelerator: "tcg",
    tscKhz,
    kernel: { kernel, initramfs: builtConsoleGuest(), modules: null, cmdline: ["rdinit=/init"] },
    failing: { kernel: { kernel: "/nonexistent/vmlinux" }, stderr: "/nonexistent/vmlinux" },
    hasPowerButton: false,
    bootTimeoutMs: 60_000,
  };
};

const real = realQemu();
if (!("missing" in real)) testVmmConformance("QEMU with TCG", real);
else if ((process.env.BANGER_REQUIRE ?? "").split(",").includes("qemu")) {
  test("QEMU is here, as BANGER_REQUIRE says it must be", () => {
    throw new Error(real.missing);
  });
} else
  describe.skip(`QEMU with TCG keeps the driver contract (skipped: ${real.missing})`, () => test("skipped", () => {}));
