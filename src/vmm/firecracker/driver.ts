// The Firecracker driver: its facts, and the functions that make it up.

import { VSOCK_PORT } from "../../spec/guest/protocol.ts";
import type { VmmDriver } from "../driver.ts";
import { GUEST_CID } from "./configuration.ts";
import { attachFirecracker } from "./control.ts";
import { jailedSocketsDir, launchJailed } from "./jail.ts";
import { checkFirecrackerKernel } from "./kernel.ts";
import { launchFirecracker, vsockSocketPath } from "./launch.ts";
import { probeFirecracker } from "./probe.ts";

export const firecrackerDriver: VmmDriver = {
  name: "firecracker",
  facts: { guestChannel: "vsock", snapshots: false, jail: true, emulation: false, runsOnAfterHalt: true },
  probe: probeFirecracker,
  channelAddress: ({ runtimeDir, isJailed }) => ({
    kind: "vsock-uds",
    path: vsockSocketPath(isJailed ? jailedSocketsDir(runtimeDir) : runtimeDir),
    port: VSOCK_PORT,
    cid: GUEST_CID,
  }),
  launch: (spec) => (spec.jail ? launchJailed(spec, spec.jail) : launchFirecracker(spec)),
  checkKernel: checkFirecrackerKernel,
  attach: attachFirecracker,
};
