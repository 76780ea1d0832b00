// What banger reads from the host's routing tables: which destinations are spoken for, so that no subnet of ours covers them.

/** One IPv4 route of any table, as `ip -j -4 route show table all` tells it. */
export type HostRoute = {
  /** CIDR notation; `0.0.0.0/0` for the default route. */
  destination: string;
  /** Outgoing link; null for routes without one (blackhole, unreachable). */
  device: string | null;
  /** Next hop; null when the destination is on the link. */
  gateway: string | null;
  /** Name or number of the routing table. */
  table: string;
  /** An address of this host itself. */
  isOwn?: boolean;
};

type RawRoute = { type?: unknown; dst?: unknown; dev?: unknown; gateway?: unknown; table?: unknown };

const textOr = <Other>(value: unknown, other: Other): string | Other => (typeof value === "string" ? value : other);

/** The routes in the JSON that `ip -j -4 route show table all` prints; entries it cannot read are left out. */
export const parseRoutes = (json: string): HostRoute[] => {
  const rows: unknown = json.trim() === "" ? [] : JSON.parse(json);
  if (!Array.isArray(rows)) return [];
  return (rows as RawRoute[]).flatMap((row) => {
    const destination = textOr(row.dst, null);
    if (destination === null) return [];
    const isDefault = destination === "default";
    return [
      {
        destination: isDefault ? "0.0.0.0/0" : destination.includes("/") ? destination : `${destination}/32`,
        device: textOr(row.dev, null),
        gateway: textOr(row.gateway, null),
        ...(row.type === "local" ? { isOwn: true } : {}),
        table: typeof row.table === "number" ? String(row.table) : textOr(row.table, "main"),
      },
    ];
  });
};

/**
 * What guests of a namespace must not reach although the host does: what they send leaves as the host's own, so its addresses and
 * the bridges of every instance are behind it. The host's loopback is never on a link.
 */
export const closedToGuests = (routes: readonly HostRoute[]): string[] =>
  [
    ...new Set(
      routes
        .filter(({ isOwn, device }) => isOwn === true || device?.startsWith("bgr-") === true)
        .map(({ destination }) => destination.replace(/\/32$/, ""))
        .filter((destination) => !destination.startsWith("127.") && destination !== "0.0.0.0/0"),
    ),
  ].sort();
