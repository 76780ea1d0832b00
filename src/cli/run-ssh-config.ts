// `banger ssh-config`, and `banger vm code`, which needs it: ssh and what is built on it find VMs by their names.
import { posix } from "node:path";
import { installInclude, isIncluded, uninstallInclude } from "../client/ssh-include.ts";
import { runOnTerminal } from "../host/process.ts";
import { EXIT, fail } from "../spec/errors.ts";
import { gainAccess } from "./gain-access.ts";
import { printJson } from "./run-method.ts";
import { selectOne } from "./select-vms.ts";
import type { Invocation, Session } from "./session.ts";

const homeOf = ({ env }: Session): string => {
  if (!env.HOME) {
    const message = "HOME is not set, so there is no ~/.ssh to look into";
    throw fail("input.invalid", { issues: [{ path: "", message }] });
  }
  return env.HOME;
};

export const runInstall = async (session: Session, { isJson }: Invocation): Promise<number> => {
  const { path: configPath, zone } = await session.client.call("ssh.config", {});
  const change = installInclude(homeOf(session), configPath);
  if (isJson) printJson(session, { ...change, include: configPath });
  else if (!change.changed) session.terminal.out(`${change.path} includes ${configPath} already\n`);
  else
    session.terminal.out(
      `${change.path} includes ${configPath} now: ssh NAME.${zone}, scp, rsync, git and editors find VMs.\n` +
        "  Take it out: banger ssh-config uninstall\n",
    );
  return EXIT.ok;
};

export const runUninstall = async (session: Session, { isJson }: Invocation): Promise<number> => {
  const { path: configPath } = await session.client.call("ssh.config", {});
  const change = uninstallInclude(homeOf(session), configPath);
  if (isJson) printJson(session, { ...change, include: configPath });
  else if (change.changed) session.terminal.out(`${change.path} is as it was before the installation\n`);
  else session.terminal.out(`${change.path} includes nothing of this instance\n`);
  return EXIT.ok;
};

export const runPrint = async (session: Session, { isJson }: Invocation): Promise<number> => {
  const config = await session.client.call("ssh.config", {});
  if (isJson) printJson(session, config);
  else session.terminal.out(config.text);
  return EXIT.ok;
};

/** Where an editor opens a folder of a host that ssh knows. */
export const renderFolderUri = (host: string, path: string): string =>
  `vscode-remote://ssh-remote+${host}${encodeURI(path).replaceAll("#", "%23").replaceAll("?", "%3F")}`;

export const runCode = async (session: Session, invocation: Invocation): Promise<number> => {
  const { client, env } = session;
  const code = Bun.which("code", { PATH: env.PATH ?? "" });
  if (code === null) throw fail("editor.missing", { command: "code" });
  const { path: configPath } = await client.call("ssh.config", {});
  const home = homeOf(session);
  if (!isIncluded(home, configPath)) throw fail("ssh.not_included", { path: `${home}/.ssh/config` });
  const vm = await selectOne(session, invocation);
  const access = await gainAccess(session, vm);
  const { fqdn } = await client.call("vm.show", { vm: access.id });
  const folder = typeof invocation.input.path === "string" ? invocation.input.path : ".";
  const uri = renderFolderUri(fqdn, posix.resolve(access.home, folder));
  return runOnTerminal([code, "--folder-uri", uri]);
};
