// Renders what ssh needs to reach VMs by their names: one section for each, and one for names that no VM has.

export type SshConfigVm = { id: string; fqdn: string; user: string; hostKeyAlias: string; knownHostsPath: string };

/** Stands for the VM where none has the name that was asked for; no name of a host reaches a shell this way. */
export const NO_VM = ".";

/** ssh splits values at spaces; quotes keep a path whole, and `%` would be expanded. */
const quotePath = (path: string): string => `"${path.replaceAll("%", "%%")}"`;

/** For the shell that ssh runs a ProxyCommand with; `%` is ssh's own. */
const quoteForProxy = (word: string): string =>
  (/^[\w@+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`).replaceAll("%", "%%");

export const renderSshConfig = (given: {
  vms: readonly SshConfigVm[];
  zone: string;
  /** What runs banger, without arguments. */
  command: readonly string[];
  /** Where this instance is found, for an ssh that is started with another environment. */
  env: Readonly<Record<string, string>>;
  keyPath: string;
}): string => {
  const { vms, zone, command, env, keyPath } = given;
  const variables = Object.entries(env).map(([name, value]) => `${name}=${quoteForProxy(value)}`);
  const prefix = variables.length === 0 ? [] : ["env", ...variables];
  const proxy = (vm: string) => [...prefix, ...command.map(quoteForProxy), "vm", "proxy", vm].join(" ");
  const sections = [...vms]
    .sort((one, other) => (one.fqdn < other.fqdn ? -1 : 1))
    .map(({ id, fqdn, user, hostKeyAlias, knownHostsPath }) =>
      [
        `Host ${fqdn}`,
        `  User ${user}`,
        `  HostKeyAlias ${hostKeyAlias}`,
        `  UserKnownHostsFile ${quotePath(knownHostsPath)}`,
        `  ProxyCommand ${proxy(id)}`,
        "",
      ].join("\n"),
    );
  return [
    "# Written by bangerd whenever a VM is made, renamed or deleted; what you write here is lost.",
    "",
    ...sections,
    // After the sections of VMs: ssh takes the first value it sees.
    `Host *.${zone}`,
    `  IdentityFile ${quotePath(keyPath)}`,
    "  IdentitiesOnly yes",
    "  GlobalKnownHostsFile /dev/null",
    "  StrictHostKeyChecking yes",
    "  CheckHostIP no",
    "  UpdateHostKeys no",
    // A guest is not trusted with the agent, whatever a section for every host says: ssh -A is for those that are.
    "  ForwardAgent no",
    "  ServerAliveInterval 15",
    "  ServerAliveCountMax 4",
    // A name that no VM has: banger says so.
    `  ProxyCommand ${proxy(NO_VM)}`,
    "",
  ].join("\n");
};
