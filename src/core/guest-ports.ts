// Decides how what listens in a guest is seen: its scope, by which address people here reach it, and who holds the same port.
import type { GuestPort, HostSocket, PortBlock, PortOwner, PortRow } from "../spec/ports.ts";

/** What a guest's helper says of a listener. */
type Told = {
  protocol: "tcp" | "tcp6";
  address: string;
  port: number;
  pid: number | null;
  name: string | null;
};

const scopeOf = (address: string): GuestPort["scope"] => {
  if (address === "0.0.0.0" || address === "::") return "any";
  return /^127\.|^::1$|^::ffff:127\./.test(address) ? "loopback" : "address";
};

/** By port, then by address; two processes that share a socket are one. */
export const planGuestPorts = (told: readonly Told[]): GuestPort[] => {
  const seen = new Map<string, GuestPort>();
  for (const { protocol, address, port, pid, name } of told) {
    const key = `${String(port).padStart(5, "0")} ${protocol} ${address}`;
    if (!seen.has(key)) seen.set(key, { protocol, address, port, scope: scopeOf(address), pid, process: name });
  }
  return [...seen.entries()].sort(([one], [other]) => (one < other ? -1 : 1)).map(([, port]) => port);
};

/** Whether a connection to this IPv4 address of the guest ends at that listener. */
export const isReachedBy = (port: Pick<GuestPort, "scope" | "address">, address: string): boolean =>
  port.scope === "any" ||
  (port.scope === "address" && (port.address === address || port.address === `::ffff:${address}`));

/** By which a VM is known on both sides; `published` is null where the guest's own address is reached from this host. */
export type Sides = { guest: string | null; host: string | null; published: readonly HostSocket[] | null };

/** `ADDRESS:PORT` by which people here reach it now; null when they do not. */
export const reachOf = (port: GuestPort, { guest, host, published }: Sides): string | null => {
  if (guest === null || host === null || !isReachedBy(port, guest)) return null;
  const isOpen = published === null || published.some((one) => one.address === host && one.port === port.port);
  return isOpen ? `${host}:${port.port}` : null;
};

/** More of one guest are not opened: each also keeps programs of this host from having that port on all addresses. */
export const PUBLISHED_MAX = 128;

/** What of a guest is opened on this host's loopback, and where it leads: whatever listens where the namespace reaches it. */
export const planPublications = (ports: readonly GuestPort[], sides: { guest: string; host: string }) =>
  [...new Set(ports.filter((port) => isReachedBy(port, sides.guest)).map(({ port }) => port))]
    .slice(0, PUBLISHED_MAX)
    .map((port) => ({ address: sides.host, port, targetAddress: sides.guest, targetPort: port }));

/** Why ports could not be opened, each with what would allow it: one command for all that are below what this user may open. */
export const planPortBlocks = (
  blocked: readonly { port: number; refusal: { code: PortBlock["why"]; detail: string }; owner: PortOwner | null }[],
): (PortBlock & { port: number })[] => {
  const lowest = Math.min(...blocked.filter(({ refusal }) => refusal.code === "privileged").map(({ port }) => port));
  return blocked.map(({ port, refusal, owner }) => ({
    port,
    why: refusal.code,
    by: owner,
    detail: refusal.detail,
    fix: refusal.code === "privileged" ? `sudo sysctl -w net.ipv4.ip_unprivileged_port_start=${lowest}` : null,
  }));
};

/** Who of this host's listeners would take a connection to `address`:`port`; a listener on all addresses does. */
export const findHolder = <Socket extends HostSocket>(
  listeners: readonly Socket[],
  wanted: HostSocket,
): Socket | null =>
  listeners.find(
    ({ address, port }) =>
      port === wanted.port && (address === wanted.address || address === "0.0.0.0" || address === "::"),
  ) ?? null;

export const planPortRows = (options: {
  ports: readonly GuestPort[];
  sides: Sides;
  fqdn: string;
  /** What leads from this host to a port of the guest. */
  forwards: readonly { address: string; hostPort: number; guestPort: number }[];
  /** What could not be opened here. */
  blocks: readonly (PortBlock & { port: number })[];
  /** What listens on this host, but for what we hold ourselves. */
  listeners: readonly PortOwner[];
}): PortRow[] =>
  options.ports.map((port): PortRow => {
    const reach = reachOf(port, options.sides);
    const isOpenable = options.sides.guest !== null && isReachedBy(port, options.sides.guest);
    const block = isOpenable ? options.blocks.find((one) => one.port === port.port) : undefined;
    return {
      ...port,
      reach,
      name: reach === null ? null : `${options.fqdn}:${port.port}`,
      blocked: block ? { why: block.why, by: block.by, detail: block.detail, fix: block.fix } : null,
      forwards: options.forwards
        .filter(({ guestPort }) => guestPort === port.port)
        .map(({ address, hostPort }) => `${address}:${hostPort}`),
      heldHere: findHolder(options.listeners, { address: "127.0.0.1", port: port.port }),
    };
  });
