// Runs the driver suite over the fake VMM always, and over real QEMU where there is a kernel to boot.
import { beforeAll, describe, test } from "bun:test";
import { prepareConformance, testVmmConformance } from "../conformance/vmm.ts";
import { fakeVmmDriver } from "../fakes/fake-vmm-driver.ts";
import { patienceHere } from "./real-firecracker.ts";
import { isQemuRequired, realQemu } from "./real-qemu.ts";

beforeAll(prepareConformance);

const fakeKernel = { kernel: "/fake/vmlinux", initramfs: null, modules: null, cmdline: [] };

testVmmConformance("the fake VMM", {
  driver: fakeVmmDriver,
  binary: { path: "/fake", version: "7.2.0", firmwareDir: null },
  accelerator: "tcg",
  tscKhz: null,
  kernel: fakeKernel,
  failing: {
    changes: { kernel: { ...fakeKernel, cmdline: ["fake=exit-before-socket"] } },
    stderr: "Device or resource busy",
  },
  button: "poweroff",
  bootTimeoutMs: 10_000,
  patience: patienceHere(),
});

const real = realQemu();
if (!("missing" in real)) testVmmConformance(`QEMU with ${real.accelerator.toUpperCase()}`, real);
else if (isQemuRequired) {
  test("QEMU is here, as BANGER_REQUIRE says it must be", () => {
    throw new Error(real.missing);
  });
} else describe.skip(`QEMU keeps the driver contract (skipped: ${real.missing})`, () => test("skipped", () => {}));
