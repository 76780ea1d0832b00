// `banger ssh`: the ssh of this host on the user's terminal, with banger's key and the host key that was pinned at creation.
import { runOnTerminal } from "../host/process.ts";
import { EXIT, fail } from "../spec/errors.ts";
import type { Output } from "../spec/rpc/contract.ts";
import { gainAccess } from "./gain-access.ts";
import { startExec } from "./run-exec.ts";
import { printJson } from "./run-method.ts";
import { selectOne } from "./select-vms.ts";
import type { Invocation, Session } from "./session.ts";

type Access = Output<"vm.access">;

/** What ssh itself ends with when it fails, rather than the command (ssh(1), EXIT STATUS). */
const SSH_FAILED = 255;
/** How long the guest may take to say which key it has. */
const ASK_MS = 3000;
const PUBLIC_KEY_MAX = 4096;

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
  /** A guest is not trusted with the agent unless it is said to be. */
  forwardsAgent?: boolean;
}): string[] => {
  const { access, words, tty, forwardsAgent = false } = given;
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
    ProxyCommand: access.proxyCommand ?? "none",
    ...(access.proxyCommand === undefined ? {} : { ProxyUseFdpass: "yes" }),
    ControlMaster: "no",
    ControlPath: "none",
    ConnectTimeout: "15",
    ForwardAgent: forwardsAgent ? "yes" : "no",
    // A guest that is gone is noticed within two minutes.
    ServerAliveInterval: "15",
    ServerAliveCountMax: "8",
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

/** The pinned key as `type base64`; null when it cannot be read. */
const readPinned = async (path: string): Promise<string | null> => {
  const text = await Bun.file(path)
    .text()
    .catch(() => "");
  return /(ssh-ed25519 [A-Za-z0-9+/=]+)/.exec(text)?.[1] ?? null;
};

/** The key the guest has now, asked by a way that needs no key; null when it does not say. */
const readServed = async (session: Session, access: Access): Promise<string | null> => {
  let text = "";
  const argv = ["cat", "/etc/ssh/ssh_host_ed25519_key.pub"];
  const asked = startExec(session, {
    vm: access.id,
    wanted: { argv, user: "root", env: {} },
    onOutput: (descriptor, bytes) => {
      if (descriptor === 1 && text.length < PUBLIC_KEY_MAX) text += Buffer.from(bytes).toString();
    },
  }).then(async ({ run }) => await run.ended);
  await Promise.race([asked.catch(() => null), Bun.sleep(ASK_MS)]);
  return /^(ssh-ed25519 [A-Za-z0-9+/=]+)/.exec(text)?.[1] ?? null;
};

/** Why ssh gave up is asked of the daemon, which knows whether the VM still runs, and of the guest itself. */
const explainFailure = async (session: Session, access: Access): Promise<void> => {
  const { terminal } = session;
  const vm = await session.client.call("vm.show", { vm: access.id }).catch(() => null);
  const state = vm === null ? "is gone" : vm.state === "running" ? "is running" : `is ${vm.state}`;
  if (vm?.state === "running") {
    const [pinned, served] = await Promise.all([readPinned(access.knownHostsPath), readServed(session, access)]);
    if (pinned !== null && served !== null && pinned !== served) {
      terminal.err(
        `banger: The host key of ${access.name} has changed in the guest since it was made, so ssh refuses it. It is this VM: its helper says so itself.\n` +
          `  try: if you changed it, write ${access.hostKeyAlias} and the new key into ${access.knownHostsPath}\n`,
      );
      return;
    }
  }
  terminal.err(
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
  const [, ...args] = renderSshCommand({
    access,
    words,
    tty: invocation.input.tty === true ? "force" : "auto",
    forwardsAgent: invocation.input.forwardAgent === true,
  });
  const exitCode = await runOnTerminal([ssh, ...args]);
  if (exitCode === SSH_FAILED) await explainFailure(session, access);
  else if (words.length === 0 && !invocation.isQuiet) {
    const { remind } = await import("./remind.ts");
    await remind(session, access);
  }
  return exitCode;
};
