// Renders an instance's nftables tables: NAT to the outside, guests kept apart from the host and from each other's names.
import type { HostOp } from "../spec/host-op.ts";
import { markOf } from "./net-state.ts";

type Apply = Extract<HostOp, { op: "nft.apply" }>;

/** The families in which an instance has a table, each named like its bridge. */
export const TABLE_FAMILIES = ["inet", "bridge"] as const;

// `add` before `delete` makes the deletion succeed when there is no table; all of it is one transaction (nft(8), -f).
const renewed = (family: string, name: string): string =>
  `add table ${family} ${name}\ndelete table ${family} ${name}\n`;

/** The transaction that removes an instance's tables, whether they exist or not. */
export const renderNftDelete = (instance: string): string =>
  TABLE_FAMILIES.map((family) => renewed(family, `bgr-${instance}`)).join("");

const chain = (name: string, lines: readonly string[]): string =>
  `  chain ${name} {\n${lines.map((line) => `    ${line}\n`).join("")}  }\n`;

const renderInetTable = ({ instance, bridge, subnet, gateway, resolverPort, closed = [] }: Apply): string => {
  const fromGuests = `iifname "${bridge}"`;
  const addresses = closed.filter((one) => !one.includes("/"));
  const resolver = (protocol: string) =>
    resolverPort === null ? [] : [`ip daddr ${gateway} ${protocol} dport ${resolverPort} accept`];
  const redirect = (protocol: string) =>
    resolverPort === null || resolverPort === 53
      ? []
      : [`${fromGuests} ip daddr ${gateway} ${protocol} dport 53 redirect to :${resolverPort}`];
  return [
    `table inet ${bridge} {\n  comment "${markOf(instance)}"\n`,
    // glibc's resolver knows no port but 53, and the daemon may not bind it: it listens elsewhere on the gateway address.
    chain("to-resolver", [
      "type nat hook prerouting priority dstnat; policy accept;",
      ...redirect("udp"),
      ...redirect("tcp"),
    ]),
    chain("to-outside", [
      "type nat hook postrouting priority srcnat; policy accept;",
      `ip saddr ${subnet} oifname != "${bridge}" masquerade`,
    ]),
    // A little before other tools' filters, so that no accept of theirs opens the host to a guest.
    chain("input", ["type filter hook input priority filter - 5; policy accept;", `${fromGuests} goto from-guests`]),
    chain("from-guests", [
      "ct state established,related accept",
      `ip saddr ${subnet} ip daddr ${gateway} icmp type echo-request accept`,
      ...resolver("udp"),
      ...resolver("tcp"),
      // All of the host's other addresses end here too, and everything of IPv6.
      "drop",
    ]),
    chain("forward", [
      "type filter hook forward priority filter - 5; policy accept;",
      // Only seen here when br_netfilter is loaded; what may pass between guests the bridge table decides.
      `${fromGuests} oifname "${bridge}" accept`,
      `oifname "${bridge}" ct state established,related accept`,
      `oifname "${bridge}" drop`,
      `${fromGuests} goto leaving`,
    ]),
    chain("leaving", [
      // NAT sees no invalid packet, so one would leave with its private source address.
      "ct state invalid drop",
      `ip saddr != ${subnet} drop`,
      "meta nfproto ipv6 drop",
      // RFC 3927 §2.7: link-local is never forwarded; clouds keep a host's credentials at 169.254.169.254.
      "ip daddr 169.254.0.0/16 drop",
      // One rule each for networks: in a set, an address within one would be an error.
      ...closed.filter((one) => one.includes("/")).map((network) => `ip daddr ${network} drop`),
      ...(addresses.length === 0 ? [] : [`ip daddr { ${addresses.join(", ")} } drop`]),
    ]),
    "}\n",
  ].join("");
};

const renderBridgeTable = ({ instance, bridge, members }: Apply): string => {
  const guestChain = (tap: string) => `guest-${tap.slice(tap.lastIndexOf("-") + 1)}`;
  const verdicts = members.map(({ tap }) => `"${tap}" : goto ${guestChain(tap)}`).join(", ");
  return [
    `table bridge ${bridge} {\n  comment "${markOf(instance)}"\n`,
    ...members.map(({ tap, mac, address }) =>
      chain(guestChain(tap), [
        `ether saddr != ${mac} drop`,
        // IPv4 and ARP alone: no IPv6 (so no router advertisements), no VLAN tags around these rules, no spanning tree.
        "ether type != { ip, arp } drop",
        // 0.0.0.0 is what address conflict detection asks with (RFC 5227 §2.1.1).
        `arp saddr ether != ${mac} drop`,
        `arp saddr ip != { 0.0.0.0, ${address} } drop`,
        `ether type ip ip saddr != ${address} drop`,
        "udp sport 67 drop",
        "accept",
      ]),
    ),
    chain("prerouting", [
      "type filter hook prerouting priority filter; policy accept;",
      ...(members.length > 0 ? [`iifname vmap { ${verdicts} }`] : []),
      `iifname "${bridge}-*" drop`,
    ]),
    "}\n",
  ].join("");
};

/**
 * The whole rule set of an instance as one transaction for `nft -f -`: it replaces what was there or changes nothing.
 * No other table is named in it, so no other tool's rules are touched.
 */
export const renderNft = (op: Apply): string =>
  `${renewed("inet", op.bridge)}${renderInetTable(op)}${renewed("bridge", op.bridge)}${renderBridgeTable(op)}`;
