// Follows the host's own choice of resolvers, so that guests resolve what the host resolves, VPNs included.
import { readFileSync, statSync } from "node:fs";
import { parseResolvConf } from "../core/dns-upstreams.ts";
import type { Upstream } from "./forwarder.ts";

const DNS_PORT = 53;

/**
 * A function that gives the host's resolvers as they are now. It looks at the file's identity at every call (a few microseconds, next to a query
 * that goes out) instead of watching it: nothing to lose when the file is replaced, is a symlink that moves, or vanishes for a while.
 */
export const followUpstreams = (resolvConfPath = "/etc/resolv.conf"): (() => readonly Upstream[]) => {
  let seen = "";
  let upstreams: readonly Upstream[] = [];
  return () => {
    const now = identityOf(resolvConfPath);
    if (now === null) return upstreams;
    if (now !== seen) {
      try {
        const addresses = parseResolvConf(readFileSync(resolvConfPath, "utf8"));
        upstreams = addresses.map((address) => ({ address, port: DNS_PORT }));
        seen = now;
      } catch {
        // Replaced between the two calls: the resolvers known before serve this query, and the next one looks again.
      }
    }
    return upstreams;
  };
};

/** Links are followed. Inode and change time together tell a new file and a rewritten one. */
const identityOf = (path: string): string | null => {
  try {
    const { dev, ino, size, ctimeNs } = statSync(path, { bigint: true });
    return `${dev}:${ino}:${size}:${ctimeNs}`;
  } catch {
    return null;
  }
};
