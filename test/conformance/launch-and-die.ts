// Launches a VMM under a shim as the daemon does, tells who it is, and is killed: the launcher that a VM must survive.
import { writeSync } from "node:fs";
import { launchShim, type ShimLaunch } from "../../src/host/shim.ts";

const identity = await launchShim(JSON.parse(process.argv[2] ?? "{}") as ShimLaunch);
writeSync(1, JSON.stringify(identity));
process.kill(process.pid, "SIGKILL");
