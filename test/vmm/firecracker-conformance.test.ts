// Runs the driver suite over the fake Firecracker always, and over the real one where it is found with KVM and a kernel.
import { beforeAll, describe, test } from "bun:test";
import { prepareConformance, testVmmConformance } from "../conformance/vmm.ts";
import { FAKE_KERNEL, fakeFirecrackerDriver } from "../fakes/fake-firecracker-driver.ts";
import { failing, isFirecrackerRequired, patienceHere, realFirecracker } from "./real-firecracker.ts";

beforeAll(prepareConformance);

testVmmConformance("the fake Firecracker", {
  driver: fakeFirecrackerDriver,
  binary: { path: "/fake", version: "1.17.0", firmwareDir: null, isStatic: true },
  accelerator: "kvm",
  tscKhz: null,
  kernel: { kernel: FAKE_KERNEL, initramfs: null, modules: null, cmdline: [] },
  failing,
  button: "reboot",
  bootTimeoutMs: 10_000,
  patience: patienceHere(),
});

const real = await realFirecracker();
if (!("missing" in real)) testVmmConformance("Firecracker with KVM", real);
else if (isFirecrackerRequired) {
  test("Firecracker is here, as BANGER_REQUIRE says it must be", () => {
    throw new Error(real.missing);
  });
} else
  describe.skip(`Firecracker keeps the driver contract (skipped: ${real.missing})`, () => test("skipped", () => {}));
