// Renders how Firecracker is started for one VM: argv, configuration file and sockets. Pure.
import { fail } from "../../spec/errors.ts";
import { VSOCK_ANNOUNCE_PORT } from "../../spec/guest/protocol.ts";
import type { LaunchPlan } from "../../spec/plan.ts";
import type { LaunchSpec, VmmBinary } from "../driver.ts";
import { configurationPath, renderConfiguration } from "./configuration.ts";

/** sun_path has 108 bytes, and the kernel wants the last one for a NUL (unix(7)). */
const SOCKET_PATH_BYTES_MAX = 107;

export const apiSocketPath = (runtimeDir: string): string => `${runtimeDir}/api.sock`;
export const vsockSocketPath = (runtimeDir: string): string => `${runtimeDir}/vsock`;

/** The official binaries are static and carry their filters; a build for the gnu target has none, and says so only when it refuses to start. */
export const seccompArguments = ({ isStatic }: VmmBinary): string[] => (isStatic === false ? ["--no-seccomp"] : []);

export const checkSocketPaths = (paths: readonly string[]): void => {
  for (const path of paths) {
    const bytes = Buffer.byteLength(path);
    if (bytes > SOCKET_PATH_BYTES_MAX) throw fail("instance.path_too_long", { path, bytes });
  }
};

/**
 * The whole launch. The first start is configured over the API, whose errors say what was wrong; after a guest's reboot nobody
 * may be there to do that, so that start reads the same from a file and boots by itself.
 */
export const launchFirecracker = (spec: LaunchSpec): LaunchPlan => {
  const { runtimeDir } = spec;
  const sockets = [apiSocketPath(runtimeDir), vsockSocketPath(runtimeDir)];
  checkSocketPaths([...sockets, `${vsockSocketPath(runtimeDir)}_${VSOCK_ANNOUNCE_PORT}`]);
  const configuration = renderConfiguration(spec, vsockSocketPath(runtimeDir));
  const argv = [
    spec.binary.path,
    ...["--api-sock", apiSocketPath(runtimeDir), "--id", spec.vm.id],
    // Its stdout is the guest's console; stderr is a pipe to the shim, which keeps the log and bounds it.
    ...["--log-path", "/dev/stderr", "--level", "Warn"],
    ...seccompArguments(spec.binary),
  ];
  return {
    argv,
    restartArgv: [...argv, "--config-file", configurationPath(runtimeDir)],
    files: [{ path: configurationPath(runtimeDir), content: `${JSON.stringify(configuration, null, 2)}\n` }],
    controlSocket: apiSocketPath(runtimeDir),
    // Firecracker never removes them. The socket that guests announce themselves on is the daemon's, and lives through restarts.
    staleSockets: sockets,
    endOnHalt: true,
  };
};
