// The Firecracker driver over the fake Firecracker: everything of the driver is real but the program that it starts.
import { join } from "node:path";
import type { VmmDriver } from "../../src/vmm/driver.ts";
import { firecrackerDriver } from "../../src/vmm/firecracker/driver.ts";

const script = join(import.meta.dir, "fake-firecracker.ts");

/** A file that the fake takes for a kernel: it only has to be there. */
export const FAKE_KERNEL = script;

/** Misbehaviour goes into `spec.kernel.cmdline` as `fake=NAME` (test/fakes/fake-firecracker.ts lists the names). */
export const fakeFirecrackerDriver: VmmDriver = {
  ...firecrackerDriver,
  probe: async () => ({
    ok: true,
    binary: { path: script, version: "1.17.0", firmwareDir: null },
    accelerator: "kvm",
    reason: "a fake",
  }),
  checkKernel: async () => {},
  launch: (spec) => {
    const plan = firecrackerDriver.launch(spec);
    const fakes = spec.kernel.cmdline.flatMap((word) => /^fake=(.*)$/.exec(word)?.[1] ?? []);
    const asFake = (argv: readonly string[]) => [
      process.execPath,
      script,
      `--fake=${fakes.join(",")}`,
      ...argv.slice(1),
    ];
    return { ...plan, argv: asFake(plan.argv), restartArgv: plan.restartArgv && asFake(plan.restartArgv) };
  },
};
