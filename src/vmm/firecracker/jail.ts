// What a jailed Firecracker sees instead of the host's paths, and what root has to prepare for that. Pure.
import { VSOCK_ANNOUNCE_PORT } from "../../spec/guest/protocol.ts";
import type { JailedFile } from "../../spec/host-op.ts";
import type { LaunchPlan } from "../../spec/plan.ts";
import type { JailWay, LaunchSpec } from "../driver.ts";
import { configurationPath, renderConfiguration } from "./configuration.ts";
import { apiSocketPath, checkSocketPaths, vsockSocketPath } from "./launch.ts";

/** Where both sides meet: a directory of the VM's own, which the host's other users cannot reach. */
export const jailedSocketsDir = (runtimeDir: string): string => `${runtimeDir}/jail`;

const inside = (name: string): string => `/f/${name}`;

/** The VM's files by the names they have inside. */
const renderFiles = (spec: LaunchSpec): JailedFile[] => {
  const { kernel } = spec;
  const shared = { kernel: kernel.kernel, initramfs: kernel.initramfs, modules: kernel.modules };
  return [
    ...Object.entries(shared).flatMap(([name, path]) =>
      path === null ? [] : [{ name, path, access: "shared" as const }],
    ),
    ...spec.disks.map(({ id, path, readOnly }) => ({ name: id, path, access: readOnly ? "own" : "disk" }) as const),
    { name: "config", path: configurationPath(spec.runtimeDir), access: "own" },
  ];
};

/** The same machine with the paths that it has inside. */
const seenInside = (spec: LaunchSpec): LaunchSpec => {
  const { kernel } = spec;
  return {
    ...spec,
    kernel: {
      ...kernel,
      kernel: inside("kernel"),
      initramfs: kernel.initramfs && inside("initramfs"),
      modules: kernel.modules && inside("modules"),
    },
    disks: spec.disks.map((disk) => ({ ...disk, path: inside(disk.id) })),
  };
};

/** As `launchFirecracker`, by `banger-jail`, which knows all but the VM from what root wrote down. */
export const launchJailed = (spec: LaunchSpec, way: JailWay): LaunchPlan => {
  const sockets = jailedSocketsDir(spec.runtimeDir);
  const stale = [apiSocketPath(sockets), vsockSocketPath(sockets)];
  checkSocketPaths([...stale, `${vsockSocketPath(sockets)}_${VSOCK_ANNOUNCE_PORT}`]);
  const argv = [...way.argv, spec.vm.id];
  const configuration = renderConfiguration(seenInside(spec), "/s/vsock");
  return {
    argv,
    restartArgv: [...argv, "again"],
    files: [{ path: configurationPath(spec.runtimeDir), content: `${JSON.stringify(configuration, null, 2)}\n` }],
    controlSocket: apiSocketPath(sockets),
    staleSockets: stale,
    endOnHalt: true,
    jail: {
      vm: spec.vm.id,
      program: spec.binary.path,
      jailer: way.jailer,
      // The jailer adds the VM's id itself; `/log` is what banger-jail makes of our stderr.
      args: ["--api-sock", "/s/api.sock", "--log-path", "/log", "--level", "Warn"],
      againArgs: ["--config-file", inside("config")],
      sockets,
      pidFile: `${spec.runtimeDir}/vmm.pid`,
      files: renderFiles(spec),
    },
  };
};
