// Finds out which of the ways to connect VMs this host and user have; core/network-way.ts decides.
import { constants, existsSync } from "node:fs";
import { access } from "node:fs/promises";
import type { NetworkFacts } from "../core/network-way.ts";
import { describeUnknown } from "../spec/errors.ts";
import { runCommand } from "./command.ts";
import { findRootLaunch } from "./linux.ts";
import { INSTALLED_HELPER } from "./root-launch.ts";

const TIMEOUT_MS = 10_000;

export const findPasta = (): string | null =>
  ["/usr/bin/pasta", "/usr/local/bin/pasta", "/bin/pasta"].find((path) => existsSync(path)) ?? null;

const mayOpen = (path: string): Promise<boolean> =>
  access(path, constants.R_OK | constants.W_OK).then(
    () => true,
    () => false,
  );

const findRootRefusal = async (uid: number): Promise<string | null> => {
  const launch = findRootLaunch();
  if (launch.kind === "refusal") return launch.detail;
  const [sudo] = launch.argv;
  if (uid === 0 || sudo === undefined) return null;
  // The helper is there; whether sudo lets this user start it without a password only sudo knows.
  const asked = await runCommand({ argv: [sudo, "-n", "-l", "--", INSTALLED_HELPER], timeoutMs: TIMEOUT_MS }).catch(
    () => null,
  );
  return asked?.exitCode === 0 ? null : "sudo does not allow it without a password";
};

const findNamespaceRefusal = async (holder: string): Promise<string | null> => {
  try {
    const { exitCode, stdout, stderr } = await runCommand({ argv: [holder, "probe"], timeoutMs: TIMEOUT_MS });
    if (exitCode === 0) return null;
    return (stdout.trim() || stderr.trim() || `it ended with ${exitCode}`).replace(/^\w+ (?=\w+ )/, "");
  } catch (error) {
    return describeUnknown(error);
  }
};

/** Asked anew each time: packages, groups and settings come and go while a daemon runs. */
export const readNetworkFacts = async (options: { holder: string }): Promise<NetworkFacts> => {
  const uid = process.getuid?.() ?? 0;
  const [rootRefusal, namespaceRefusal, restriction, canOpenTun, canOpenKvm] = await Promise.all([
    findRootRefusal(uid),
    findNamespaceRefusal(options.holder),
    Bun.file("/proc/sys/kernel/apparmor_restrict_unprivileged_userns")
      .text()
      .catch(() => "0"),
    mayOpen("/dev/net/tun"),
    mayOpen("/dev/kvm"),
  ]);
  return {
    uid,
    rootRefusal,
    namespaceRefusal,
    isRestrictedByAppArmor: restriction.trim() === "1",
    hasPasta: findPasta() !== null,
    canOpenTun,
    kvm: canOpenKvm ? "usable" : existsSync("/dev/kvm") ? "forbidden" : "missing",
  };
};
