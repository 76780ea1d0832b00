// The QEMU driver over the fake VMM: everything of the driver is real but the program that it starts.
import { join } from "node:path";
import type { VmmDriver } from "../../src/vmm/driver.ts";
import { qemuDriver } from "../../src/vmm/qemu/driver.ts";

const script = join(import.meta.dir, "fake-vmm.ts");
const asFake = (argv: readonly string[]): string[] => [process.execPath, script, ...argv.slice(1)];

/** Misbehaviour goes into `spec.kernel.cmdline` as `fake=NAME` (test/fakes/fake-vmm.ts lists the names). */
export const fakeVmmDriver: VmmDriver = {
  ...qemuDriver,
  probe: async () => ({
    ok: true,
    binary: { path: script, version: "7.2.0", firmwareDir: null },
    accelerator: "tcg",
    reason: "a fake",
  }),
  checkKernel: async () => {},
  launch: (spec) => {
    const plan = qemuDriver.launch(spec);
    return { ...plan, argv: asFake(plan.argv), restartArgv: plan.restartArgv && asFake(plan.restartArgv) };
  },
};
