// A VMM driver for the modelled machine: everything a driver does, and no VMM behind it.
import type { VmmDriver } from "../../src/vmm/driver.ts";
import type { FakeWorld } from "./fake-host.ts";

const FAKE_VMM = "/fake/vmm";

/** Drives the VMs of `world`. Under the name of a real one, since records and plans admit no other. */
export const createFakeDriver = (world: FakeWorld): VmmDriver => ({
  name: "qemu",
  facts: { guestChannel: "virtio-serial", snapshots: false, jail: true, emulation: true, runsOnAfterHalt: true },
  probe: async () => ({
    ok: true,
    binary: { path: FAKE_VMM, version: "1.0", firmwareDir: null },
    accelerator: "tcg",
    reason: "a model",
  }),
  channelAddress: ({ runtimeDir }) => ({ kind: "stream-socket", path: `${runtimeDir}/ch` }),
  launch: (spec) => {
    const control = `${spec.runtimeDir}/vmm`;
    const network = spec.network ? ["--net", `${spec.network.tap},${spec.network.mac}`] : [];
    return {
      argv: [FAKE_VMM, "--id", spec.vm.id, "--control", control, "--channel", `${spec.runtimeDir}/ch`, ...network],
      restartArgv: null,
      files: [],
      controlSocket: control,
      staleSockets: [control, `${spec.runtimeDir}/ch`],
      endOnHalt: true,
      ...(spec.jail
        ? {
            jail: {
              vm: spec.vm.id,
              program: FAKE_VMM,
              args: [],
              againArgs: [],
              jailer: spec.jail.jailer,
              sockets: `${spec.runtimeDir}/jail`,
              pidFile: `${spec.runtimeDir}/vmm.pid`,
              files: spec.disks.map(({ id, path }) => ({ name: id, path, access: "disk" as const })),
            },
          }
        : {}),
    };
  },
  checkKernel: async () => {},
  attach: async (plan, { vm }) => world.attach(plan.controlSocket, vm),
});
