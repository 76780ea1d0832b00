// Makes pairs of SSH keys: banger's own, and the one a guest is known by.
import type { Host } from "../host/host.ts";
import { fail } from "../spec/errors.ts";

const TIMEOUT_MS = 10_000;

const keygen = async ({ processes }: Pick<Host, "processes">, args: readonly string[]): Promise<string> => {
  const argv = ["/usr/bin/ssh-keygen", "-q", ...args];
  const { exitCode, stdout, stderr } = await processes.runCommand({
    ...{ argv, timeoutMs: TIMEOUT_MS, package: "openssh-client" },
  });
  if (exitCode !== 0) throw fail("host.command_failed", { command: argv, exitCode, stderr: stderr.trim() });
  return stdout;
};

/**
 * The public half of the pair at `path`, which is made when there is none. The private half is never replaced: one that lost its public
 * half, because the daemon was killed between the two say, gets it back. Errors: host.command_missing, host.command_failed, host.file_failed.
 */
export const ensureKeyPair = async (
  host: Pick<Host, "files" | "processes">,
  { path, comment }: { path: string; comment: string },
): Promise<string> => {
  const { files } = host;
  const read = async () => (await files.read(`${path}.pub`))?.trim() ?? "";
  const existing = await read();
  if (existing !== "") return existing;
  if (await files.exists(path)) await files.writeAtomic(`${path}.pub`, await keygen(host, ["-y", "-f", path]), 0o600);
  else await keygen(host, ["-t", "ed25519", "-N", "", "-C", comment, "-f", path]);
  return read();
};
