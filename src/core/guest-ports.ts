// Decides how what listens in a guest is seen: its scope, by which address people here reach it, and who holds the same port.
import type { GuestPort, PortOwner, PortRow } from "../spec/ports.ts";

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

/** Who of this host's listeners would take a connection to `address`:`port`; a listener on all addresses does. */
export const findHolder = (
  listeners: readonly PortOwner[],
  wanted: { address: string; port: number },
): PortOwner | null =>
  listeners.find(
    ({ address, port }) =>
      port === wanted.port && (address === wanted.address || address === "0.0.0.0" || address === "::"),
  ) ?? null;

export const planPortRows = (options: {
  ports: readonly GuestPort[];
  /** By which this host reaches the guest; null when it does not. */
  address: string | null;
  fqdn: string;
  /** What leads from this host to a port of the guest. */
  forwards: readonly { address: string; hostPort: number; guestPort: number }[];
  /** What listens on this host, but for what we hold ourselves. */
  listeners: readonly PortOwner[];
}): PortRow[] =>
  options.ports.map((port): PortRow => {
    const isReached = options.address !== null && isReachedBy(port, options.address);
    return {
      ...port,
      reach: isReached ? `${options.address}:${port.port}` : null,
      name: isReached ? `${options.fqdn}:${port.port}` : null,
      forwards: options.forwards
        .filter(({ guestPort }) => guestPort === port.port)
        .map(({ address, hostPort }) => `${address}:${hostPort}`),
      heldHere: findHolder(options.listeners, { address: "127.0.0.1", port: port.port }),
    };
  });
