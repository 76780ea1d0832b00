// The QEMU microvm driver: its facts, and the functions that make it up.
import type { VmmDriver } from "../driver.ts";
import { checkKernelFiles } from "../kernel-file.ts";
import { attachQemu } from "./control.ts";
import { channelSocketPath, launchQemu } from "./launch.ts";
import { probeQemu } from "./probe.ts";

export const qemuDriver: VmmDriver = {
  name: "qemu",
  facts: { guestChannel: "virtio-serial", snapshots: false, jail: false, emulation: true, runsOnAfterHalt: true },
  probe: probeQemu,
  channelAddress: ({ runtimeDir }) => ({ kind: "stream-socket", path: channelSocketPath(runtimeDir) }),
  launch: launchQemu,
  checkKernel: checkKernelFiles,
  attach: attachQemu,
};
