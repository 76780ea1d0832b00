// Keeps the file that the user's ssh configuration may include: written anew, as one, whenever a VM comes, goes or changes its name.
import { mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { planVmPaths } from "../core/paths.ts";
import { renderSshConfig } from "../core/ssh-config.ts";
import { describeUnknown } from "../spec/errors.ts";
import type { Event } from "../spec/events.ts";
import type { Context } from "./context.ts";
import { hostKeyAlias } from "./create.ts";
import { bangerKeyPath } from "./prepare-create.ts";

export const sshConfigPath = ({ paths }: Pick<Context, "paths">): string => `${paths.dataDir}/ssh/config`;

/** An instance that lies elsewhere than this user's usual one is named by these. */
const PLACES = ["XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_CONFIG_HOME"] as const;

const placesOf = (env: Readonly<Record<string, string | undefined>>): Record<string, string> =>
  Object.fromEntries(
    PLACES.flatMap((name) => {
      const value = env[name];
      return value === undefined || value === "" ? [] : [[name, value]];
    }),
  );

export const renderSshConfigOf = (
  context: Context,
  env: Readonly<Record<string, string | undefined>> = process.env,
): string => {
  const { zone } = context.config().dns;
  const { executable } = context;
  return renderSshConfig({
    vms: context.store.vms.all().map(({ id, spec }) => ({
      id,
      fqdn: `${spec.name}.${zone}`,
      user: spec.user.name,
      hostKeyAlias: hostKeyAlias(id),
      knownHostsPath: planVmPaths(context.paths, id).knownHosts,
    })),
    zone,
    command: executable.endsWith(".ts") ? [process.execPath, executable] : [executable],
    env: placesOf(env),
    keyPath: bangerKeyPath(context),
  });
};

/** Writes it when it is not already so. */
const write = (context: Context): void => {
  const path = sshConfigPath(context);
  const text = renderSshConfigOf(context);
  try {
    if (readFileSync(path, "utf8") === text) return;
  } catch {
    // It is not there yet.
  }
  mkdirSync(`${context.paths.dataDir}/ssh`, { recursive: true, mode: 0o700 });
  writeFileSync(`${path}.new`, text, { mode: 0o600 });
  renameSync(`${path}.new`, path);
};

const concerns = ({ event }: Event): boolean =>
  event.type === "vm.deleted" ||
  (event.type === "vm.changed" && event.fields.includes("name")) ||
  // Made, or found to be there when the daemon began.
  (event.type === "vm.state" && event.state === "stopped");

/** Keeps it from now on. It is written before whoever made the VM has an answer. */
export const keepSshConfig = (context: Context): void => {
  const renew = (): void => {
    try {
      write(context);
    } catch (error) {
      context.log.warn("ssh's configuration was not written", { detail: describeUnknown(error) });
    }
  };
  renew();
  context.bus.subscribe((event) => {
    if (concerns(event)) renew();
  });
};
