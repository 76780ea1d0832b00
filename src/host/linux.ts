// Puts the host port together for the machine this runs on.
import { existsSync } from "node:fs";
import { basename } from "node:path";
import type { InstancePaths } from "../core/paths.ts";
import { runCommand } from "./command.ts";
import { readFacts } from "./facts.ts";
import { createFiles } from "./files.ts";
import type { Host, PrivLogSink } from "./host.ts";
import { readBootId } from "./process-proof.ts";
import { proxies } from "./proxy.ts";
import { createRootClient } from "./root-client.ts";
import { INSTALLED_HELPER, planRootLaunch, type RootLaunch, readComponents } from "./root-launch.ts";
import { connectShim, identifyProcess, launchShim, proveProcess, readShimStatus } from "./shim.ts";

/** A compiled executable is its own helper by that name; in a checkout main.ts takes the name as its first word. */
export const findOwnHelper = () =>
  basename(process.execPath) === "bun"
    ? { argv: [process.execPath, `${import.meta.dir}/../main.ts`, "__banger-root"], argv0: "bun" }
    : { argv: [process.execPath], argv0: "banger-root" };

/** How the helper would be started just now; `banger doctor` asks too. */
export const findRootLaunch = (): RootLaunch =>
  planRootLaunch({
    uid: process.getuid?.() ?? 0,
    own: findOwnHelper(),
    installed: readComponents(INSTALLED_HELPER),
    sudo: ["/usr/bin/sudo", "/bin/sudo"].find((path) => existsSync(path)) ?? null,
  });

export type LinuxHostOptions = {
  paths: Pick<InstancePaths, "dataDir" | "stateDir" | "runtimeDir">;
  privLog: PrivLogSink;
  /** Tests start the helper from its source. */
  planLaunch?: () => RootLaunch;
};

/** This machine. Nothing is started before it is needed. */
export const openHost = ({ paths, privLog, planLaunch = findRootLaunch }: LinuxHostOptions): Host => {
  const root = createRootClient({ planLaunch, privLog });
  return {
    root,
    files: createFiles({ roots: [paths.dataDir, paths.stateDir, paths.runtimeDir] }),
    processes: {
      identify: identifyProcess,
      prove: proveProcess,
      runCommand,
      launchShim,
      connectShim,
      readShimStatus,
    },
    proxies,
    facts: readFacts,
    bootId: readBootId,
    close: () => root.close(),
  };
};
