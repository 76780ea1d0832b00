// Looks into a root file system with debugfs, which neither mounts nor writes: helper, packages, and what is left of a machine in it.
import { parseInstalledPackages } from "../core/installed-packages.ts";
import type { Host } from "../host/host.ts";

const DEBUGFS_TIMEOUT_MS = 20_000;
/** dpkg's record of a large system. */
const STATUS_BYTES_MAX = 32 * 1024 * 1024;

export type RootInspection = {
  /** Version of the guest helper; null where helper or first-stage init is missing. */
  helperVersion: string | null;
  /** `name=version` of each installed package; empty for what is no Debian. */
  packages: readonly string[];
  /** What one machine alone may have, and each clone would have too. */
  identity: readonly string[];
  /** Unmounted as it should be: no journal has to be replayed. */
  isClean: boolean;
};

const parseNames = (listing: string): string[] => listing.split("\n").flatMap((line) => line.split("/")[5] ?? []);

export const inspectRoot = async ({ processes }: Pick<Host, "processes">, path: string): Promise<RootInspection> => {
  const ask = async (question: string): Promise<string> => {
    const { stdout } = await processes.runCommand({
      argv: ["/sbin/debugfs", "-c", "-R", question, path],
      timeoutMs: DEBUGFS_TIMEOUT_MS,
      keepBytes: STATUS_BYTES_MAX,
      package: "e2fsprogs",
    });
    return stdout;
  };
  const namesIn = async (directory: string) => parseNames(await ask(`ls -p ${directory}`));
  const helpers = await namesIn("/usr/lib/banger");
  const hasHelper = helpers.includes("init") && helpers.includes("banger-vsock-pingd");
  const version = hasHelper ? (await ask("cat /usr/lib/banger/version")).trim().slice(0, 64) : "";
  const machineId = (await ask("cat /etc/machine-id")).trim();
  const hostKeys = (await namesIn("/etc/ssh")).filter((name) => /^ssh_host_.*_key(\.pub)?$/.test(name));
  const seeds = (await namesIn("/var/lib/systemd")).filter((name) => /^(random-seed|credential\.secret)$/.test(name));
  return {
    helperVersion: hasHelper ? version || "unknown" : null,
    packages: parseInstalledPackages(await ask("cat /var/lib/dpkg/status")),
    identity: [
      ...(machineId === "" || machineId === "uninitialized" ? [] : ["/etc/machine-id"]),
      ...hostKeys.map((name) => `/etc/ssh/${name}`),
      ...seeds.map((name) => `/var/lib/systemd/${name}`),
    ],
    isClean: !/^Filesystem features:.*\bneeds_recovery\b/m.test(await ask("show_super_stats -h")),
  };
};
