// Reads SSH public keys out of text, and refuses private ones by name.
import { fail } from "../spec/errors.ts";

const kinds =
  /^(ssh-(ed25519|rsa|dss)|ecdsa-sha2-nistp(256|384|521)|sk-(ssh-ed25519|ecdsa-sha2-nistp256)@openssh\.com) [A-Za-z0-9+/]+={0,3}( .*)?$/;

/** The public keys in `text`, one a line as in authorized_keys without options. `source` is what the error names. */
export const parsePublicKeys = (text: string, source: string): string[] => {
  if (/-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----/.test(text) || text.startsWith("PuTTY-User-Key-File"))
    throw fail("ssh.private_key", { path: source });
  const lines = text
    .split(/\r?\n/)
    .map((line) => line.trim())
    .filter((line) => line !== "" && !line.startsWith("#"));
  if (lines.length === 0 || lines.some((line) => !kinds.test(line))) throw fail("ssh.bad_key", { path: source });
  return lines;
};

/** The keys without doubles; two lines are the same key when type and body are, whatever the comment. */
export const mergeKeys = (lists: readonly (readonly string[])[]): string[] => {
  const byBody = new Map<string, string>();
  for (const key of lists.flat()) {
    const body = key.split(" ").slice(0, 2).join(" ");
    if (!byBody.has(body)) byBody.set(body, key);
  }
  return [...byBody.values()];
};
