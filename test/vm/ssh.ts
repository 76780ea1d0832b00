// The ssh command line into a guest from what `banger ssh --json` says, for what must go on without a daemon.
import type { Output } from "../../src/spec/rpc/contract.ts";

export const sshCommand = (access: Output<"vm.access">, ...line: string[]): string[] => [
  ...["ssh", "-F", "none", "-i", access.keyPath, "-p", String(access.port), "-l", access.user],
  ...["-o", `UserKnownHostsFile=${access.knownHostsPath}`, "-o", `HostKeyAlias=${access.hostKeyAlias}`],
  ...["-o", "StrictHostKeyChecking=yes", "-o", "IdentitiesOnly=yes", "-o", "ConnectTimeout=30", "-o", "LogLevel=ERROR"],
  ...["-o", "ServerAliveInterval=5", "-o", "ServerAliveCountMax=12"],
  ...(access.proxyCommand === undefined
    ? []
    : ["-o", `ProxyCommand=${access.proxyCommand}`, "-o", "ProxyUseFdpass=yes"]),
  access.address,
  ...line,
];
