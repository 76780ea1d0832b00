// What the kernel says about links and tables, reduced to what decides whether an operation is still to be done.
import type { NetInventory } from "../spec/host-op.ts";

/** What banger writes into `ifalias` of its links and the comment of its tables: the proof that they are ours. */
export const markOf = (instance: string): string => `banger:${instance}`;

/**
 * The group of an instance's links (ip-link(8)), by which the kernel takes several away at once: it waits for each of them anew
 * otherwise. A number out of 2³⁰ that nobody else would think of; what else bears it all the same is looked for before.
 */
export const groupOf = (instance: string): string => {
  let hash = 0x811c9dc5;
  for (const byte of Buffer.from(markOf(instance))) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
  return String(2 ** 30 + (hash % 2 ** 30));
};

export type SeenLink = {
  name: string;
  kind: string | null;
  alias: string | null;
  /** A name of /etc/iproute2/group, or a number. */
  group: string | null;
  master: string | null;
  isUp: boolean;
  /** For taps: a VMM has it open. */
  hasCarrier: boolean;
  /** IPv4 addresses in CIDR notation. */
  addresses: readonly string[];
};

export type SeenTable = { family: string; name: string; comment: string | null };

type RawLink = {
  ifname?: string;
  ifalias?: string;
  group?: string;
  master?: string;
  flags?: string[];
  linkinfo?: { info_kind?: string };
  addr_info?: { family?: string; local?: string; prefixlen?: number }[];
};

/** The links in the output of `ip -j -d address show`. */
export const parseLinks = (json: string): SeenLink[] => {
  const rows = (json.trim() === "" ? [] : JSON.parse(json)) as RawLink[];
  return rows.flatMap((row) =>
    row.ifname === undefined
      ? []
      : [
          {
            name: row.ifname,
            kind: row.linkinfo?.info_kind ?? null,
            alias: row.ifalias ?? null,
            group: row.group ?? null,
            master: row.master ?? null,
            isUp: row.flags?.includes("UP") ?? false,
            hasCarrier: row.flags?.includes("LOWER_UP") ?? false,
            addresses: (row.addr_info ?? [])
              .filter(({ family }) => family === "inet")
              .map(({ local, prefixlen }) => `${local}/${prefixlen}`),
          },
        ],
  );
};

/** The tables in the output of `nft -j list tables`. */
export const parseTables = (json: string): SeenTable[] => {
  const parsed = (json.trim() === "" ? {} : JSON.parse(json)) as {
    nftables?: { table?: { family?: string; name?: string; comment?: string } }[];
  };
  return (parsed.nftables ?? []).flatMap(({ table }) =>
    table?.family && table.name ? [{ family: table.family, name: table.name, comment: table.comment ?? null }] : [],
  );
};

/** What bears the instance's name among links and tables, whether or not it carries our mark: an audit wants to know all. */
export const inventoryOf = (options: {
  instance: string;
  links: readonly SeenLink[];
  tables: readonly SeenTable[];
  jails: readonly string[];
}): NetInventory => {
  const bridge = `bgr-${options.instance}`;
  const names = options.links.map(({ name }) => name);
  return {
    bridges: names.filter((name) => name === bridge).sort(),
    taps: names.filter((name) => name.startsWith(`${bridge}-`)).sort(),
    tables: options.tables
      .filter(({ name }) => name === bridge)
      .map(({ family, name }) => `${family} ${name}`)
      .sort(),
    jails: [...options.jails],
  };
};
