// `banger ssh`: the ssh of this host on the user's terminal, with banger's key and the host key that was pinned at creation.
import { runOnTerminal } from "../host/process.ts";
import { EXIT, fail } from "../spec/errors.ts";
import type { Output } from "../spec/rpc/contract.ts";
import { confirm } from "./confirm.ts";
import { printJson } from "./run-method.ts";
import { selectOne } from "./select-vms.ts";
import type { Invocation, Session } from "./session.ts";

type Access = Output<"vm.access">;

/** What ssh itself ends with when it fails, rather than the command (ssh(1), EXIT STATUS). */
const SSH_FAILED = 255;

/** A word for the guest's shell that means exactly itself. */
export const quoteForShell = (word: string): string =>
  /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;

/** One word is a line for the guest's shell; several are a command whose arguments arrive as they were given. */
export const renderRemoteCommand = (words: readonly string[]): string[] =>
  words.length < 2 ? [...words] : [words.map(quoteForShell).join(" ")];

/**
 * The command line of ssh. The user's configuration is read, for agents, terminals and environments; everything that decides
 * whom we reach, as whom and with which keys is set here, and ssh takes the first value it sees (ssh_config(5)).
 */
export const renderSshCommand = (given: {
  access: Access;
  words: readonly string[];
  tty: "auto" | "force";
}): string[] => {
  const { access, words, tty } = given;
  const options = {
    HostKeyAlias: access.hostKeyAlias,
    UserKnownHostsFile: quotePath(access.knownHostsPath),
    GlobalKnownHostsFile: "/dev/null",
    StrictHostKeyChecking: "yes",
    CheckHostIP: "no",
    UpdateHostKeys: "no",
    // With many keys in an agent, a server hangs up before ours is offered.
    IdentitiesOnly: "yes",
    PreferredAuthentications: "publickey",
    // A rule for `Host *` must not send us elsewhere, nor into a connection to the VM that had this address before.
    ProxyCommand: "none",
    ControlMaster: "no",
    ControlPath: "none",
    ConnectTimeout: "15",
  };
  return [
    "ssh",
    ...Object.entries(options).flatMap(([key, value]) => ["-o", `${key}=${value}`]),
    "-i",
    access.keyPath,
    "-p",
    String(access.port),
    ...(tty === "force" ? ["-t"] : []),
    "-l",
    access.user,
    "--",
    access.address,
    ...renderRemoteCommand(words),
  ];
};

/** ssh splits this option at spaces; quotes keep a path with spaces whole, and `%` would be expanded. */
const quotePath = (path: string): string => `"${path.replaceAll("%", "%%")}"`;

const isWrongState = (error: unknown): error is { data: { state?: string; vm?: string } } =>
  (error as { code?: string } | null)?.code === "vm.wrong_state";

const isAutostart = async (session: Session): Promise<boolean> =>
  (await session.client.call("config.get", { key: "ssh.autostart" }).catch(() => null))?.value === true;

/** What is needed to get in; a stopped VM is started when its owner agrees. */
const gainAccess = async (session: Session, vm: string): Promise<Access> => {
  const { client, terminal } = session;
  try {
    return await client.call("vm.access", { vm });
  } catch (error) {
    if (!isWrongState(error) || error.data.state !== "stopped") throw error;
    const isAllowed = (await isAutostart(session)) || (await confirm(session, `${vm} is stopped. Start it?`));
    if (!isAllowed) throw error;
    const { openProgress } = await import("./progress.ts");
    const progress = openProgress({ terminal, isSilent: false });
    try {
      await client.call("vm.start", { vm }, { onEvent: (event) => progress.on(vm, event) });
    } finally {
      progress.end();
    }
    return client.call("vm.access", { vm });
  }
};

/** Why ssh gave up is asked of the daemon, which knows whether the VM still runs. */
const explainFailure = async (session: Session, access: Access): Promise<void> => {
  const vm = await session.client.call("vm.show", { vm: access.id }).catch(() => null);
  const state = vm === null ? "is gone" : vm.state === "running" ? "is running" : `is ${vm.state}`;
  session.terminal.err(
    `banger: ssh ended with ${SSH_FAILED}: the connection to ${access.name} failed or broke, or the command itself ended so. ${access.name} ${state}.\n` +
      `  try: banger ${vm?.state === "running" ? `vm ping ${access.name}` : `show ${access.name}`}\n`,
  );
};

export const runSsh = async (session: Session, invocation: Invocation): Promise<number> => {
  const vm = await selectOne(session, invocation);
  if (invocation.isJson) {
    printJson(session, await session.client.call("vm.access", { vm }));
    return EXIT.ok;
  }
  const access = await gainAccess(session, vm);
  const ssh = Bun.which("ssh");
  if (!ssh) throw fail("host.command_missing", { command: "ssh", package: "openssh-client" });
  const words = invocation.rest;
  const [, ...args] = renderSshCommand({ access, words, tty: invocation.input.tty === true ? "force" : "auto" });
  const exitCode = await runOnTerminal([ssh, ...args]);
  if (exitCode === SSH_FAILED) await explainFailure(session, access);
  else if (words.length === 0 && !invocation.isQuiet) {
    const { remind } = await import("./remind.ts");
    await remind(session, access);
  }
  return exitCode;
};
