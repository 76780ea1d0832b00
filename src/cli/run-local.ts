// The commands that are the CLI's own, by name; each is loaded when it is typed.
import { EXIT } from "../spec/errors.ts";
import type { LocalCommand } from "./local-commands.ts";
import { printJson } from "./run-method.ts";
import type { Invocation, Session } from "./session.ts";

type Runner = (session: Session, invocation: Invocation) => Promise<number>;

const runConfigPath: Runner = async (session, { isJson }) => {
  const path = session.paths().configFile;
  if (isJson) printJson(session, { path });
  else session.terminal.out(`${path}\n`);
  return EXIT.ok;
};

const runVersion: Runner = async (session, { isJson }) => {
  const running = await session.client.peek().catch(() => null);
  const { version, build, executable } = session.self;
  const daemon = running && { version: running.version, build: running.build, pid: running.pid };
  if (isJson) printJson(session, { version, build, executable, daemon });
  else {
    const other = daemon
      ? `bangerd ${daemon.version} (${daemon.build}), process ${daemon.pid}`
      : "bangerd is not running";
    session.terminal.out(`banger ${version} (${build})\n${other}\n`);
  }
  return EXIT.ok;
};

const runners: Record<LocalCommand, Runner> = {
  "cli.ssh": async (session, invocation) => (await import("./run-ssh.ts")).runSsh(session, invocation),
  "cli.exec": async (session, invocation) => (await import("./run-exec.ts")).runExecCommand(session, invocation),
  "cli.copy": async (session, invocation) => (await import("./run-copy.ts")).runCopy(session, invocation),
  "cli.proxy": async (session, invocation) => (await import("./run-proxy.ts")).runProxy(session, invocation),
  "cli.code": async (session, invocation) => (await import("./run-ssh-config.ts")).runCode(session, invocation),
  "cli.ssh-config-install": async (session, invocation) =>
    (await import("./run-ssh-config.ts")).runInstall(session, invocation),
  "cli.ssh-config-uninstall": async (session, invocation) =>
    (await import("./run-ssh-config.ts")).runUninstall(session, invocation),
  "cli.ssh-config-print": async (session, invocation) =>
    (await import("./run-ssh-config.ts")).runPrint(session, invocation),
  "cli.console": async (session, invocation) => (await import("./run-console.ts")).runConsole(session, invocation),
  "cli.tui": async (session) => (await import("./run-tui.ts")).runTui(session),
  "cli.daemon-restart": async (session, invocation) =>
    (await import("./run-daemon.ts")).runDaemonRestart(session, invocation),
  "cli.daemon-logs": async (session, invocation) =>
    (await import("./run-daemon.ts")).runDaemonLogs(session, invocation),
  "cli.config-path": runConfigPath,
  "cli.version": runVersion,
  "cli.completion": async (session, invocation) =>
    (await import("./completion.ts")).runCompletionScript(session, invocation),
  "cli.setup": async (session, invocation) => (await import("./run-setup.ts")).runSetup(session, invocation),
  "cli.bundle-list": async (session, invocation) =>
    (await import("./run-bundle.ts")).runBundleList(session, invocation),
  "cli.bundle-verify": async (session, invocation) =>
    (await import("./run-bundle.ts")).runBundleVerify(session, invocation),
  "cli.bundle-fetch": async (session, invocation) =>
    (await import("./run-bundle.ts")).runBundleFetch(session, invocation),
  "cli.bundle-path": async (session, invocation) =>
    (await import("./run-bundle.ts")).runBundlePath(session, invocation),
  "cli.bundle-package": async (session, invocation) =>
    (await import("./run-bundle.ts")).runBundlePackage(session, invocation),
  "cli.bundle-use": async (session, invocation) => (await import("./run-bundle.ts")).runBundleUse(session, invocation),
  "cli.doctor": async (session, invocation) => (await import("./run-doctor.ts")).runDoctor(session, invocation),
  "cli.dns-setup": async (session, invocation) => (await import("./run-dns-setup.ts")).runDnsSetup(session, invocation),
  "cli.dns-undo": async (session, invocation) => (await import("./run-dns-setup.ts")).runDnsUndo(session, invocation),
  "cli.help": async (session, invocation) => (await import("./help.ts")).runHelp(session, invocation),
};

export const runLocalCommand: Runner = (session, invocation) =>
  runners[invocation.command.name as LocalCommand](session, invocation);
