// Turns a root operation and what the kernel shows into commands; the only place that spells ip, nft and sysctl names.
import { bridgeMacFor } from "../core/net-plan.ts";
import { fail } from "../spec/errors.ts";
import type { HostOp } from "../spec/host-op.ts";
import { groupOf, markOf, type SeenLink } from "./net-state.ts";
import { renderNft, renderNftDelete } from "./nft-rules.ts";

/** One effect: a program with its input, or a value written below /proc/sys. Never a shell. */
export type HostCommand =
  | {
      kind: "exec";
      argv: readonly string[];
      stdin?: string;
      /** Begins together with the one before it: neither needs the other's effect, and the kernel has them wait for the same. */
      isBeside?: true;
    }
  | {
      kind: "sysctl";
      /** Path below /proc/sys. */
      key: string;
      value: string;
      /** The kernel may lack it (no IPv6): then there is nothing to switch. */
      isOptional: boolean;
      /** Written only when it has exactly this value now. */
      onlyIf?: string;
    };

/** Absolute paths of the programs, as found on this host. */
export type NetTools = { ip: string; nft: string };

/** What must be looked at before an operation can be decided. */
export const seesLinks = (op: HostOp): boolean =>
  op.op === "nft.apply" ? op.members.length === 0 : op.op !== "sysctl.forward" && op.op !== "nft.delete";

export const showLinks = (tools: NetTools): HostCommand & { kind: "exec" } => ({
  kind: "exec",
  argv: [tools.ip, "-j", "-d", "address", "show"],
});
export const showTables = (tools: NetTools): HostCommand & { kind: "exec" } => ({
  kind: "exec",
  argv: [tools.nft, "-j", "list", "tables"],
});
/** All IPv4 routes; this one needs no root. */
export const showRoutes = (tools: Pick<NetTools, "ip">): HostCommand & { kind: "exec" } => ({
  kind: "exec",
  argv: [tools.ip, "-j", "-4", "route", "show", "table", "all"],
});

// One `ip` for several changes: it also narrows the moment in which a link exists without our mark to microseconds.
const batch = (tools: NetTools, lines: readonly string[]): HostCommand[] =>
  lines.length === 0 ? [] : [{ kind: "exec", argv: [tools.ip, "-batch", "-"], stdin: `${lines.join("\n")}\n` }];

/**
 * No IPv6 on this link: the kernel would give it a link-local address by itself, at which guests could reach every service of the
 * host that listens on all addresses. Guests have IPv4 from us and no IPv6 router, so nothing is lost.
 */
const withoutIpv6 = (link: string): HostCommand => ({
  kind: "sysctl",
  key: `net/ipv6/conf/${link}/disable_ipv6`,
  value: "1",
  isOptional: true,
});

const refuseForeign = (link: SeenLink, expected: { instance: string; kind: string }) => {
  if (link.kind !== expected.kind || link.alias !== markOf(expected.instance)) {
    throw fail("host.not_ours", { what: `Network link ${link.name}` });
  }
};

const ensureBridge = (op: Extract<HostOp, { op: "bridge.ensure" }>, seen: SeenLink | undefined, tools: NetTools) => {
  const { instance, bridge, gateway } = op;
  const address = `${gateway}/24`;
  if (!seen) {
    return [
      ...batch(tools, [
        // Our own MAC, or the bridge takes its lowest port's and guests lose the gateway when that VM stops.
        `link add name ${bridge} address ${bridgeMacFor(instance)} type bridge stp_state 0 forward_delay 0`,
        `link set dev ${bridge} alias ${markOf(instance)} group ${groupOf(instance)}`,
        `address add ${address} dev ${bridge}`,
      ]),
      withoutIpv6(bridge),
      ...batch(tools, [`link set dev ${bridge} up`]),
    ];
  }
  refuseForeign(seen, { instance, kind: "bridge" });
  const isRight = seen.addresses.length === 1 && seen.addresses[0] === address;
  return batch(tools, [
    ...(isRight ? [] : [`address flush dev ${bridge} scope global`, `address add ${address} dev ${bridge}`]),
    ...(seen.isUp ? [] : [`link set dev ${bridge} up`]),
  ]);
};

const createTap = (
  op: Extract<HostOp, { op: "tap.create" }>,
  { tap, bridge }: { tap: SeenLink | undefined; bridge: SeenLink | undefined },
  tools: NetTools,
) => {
  const { instance, ownerUid } = op;
  if (!bridge) throw fail("root.refused", { operation: op.op, detail: `there is no bridge ${op.bridge}` });
  refuseForeign(bridge, { instance, kind: "bridge" });
  if (tap) refuseForeign(tap, { instance, kind: "tun" });
  if (tap?.hasCarrier) throw fail("root.refused", { operation: op.op, detail: `a running VMM holds ${op.tap}` });
  return [
    ...batch(tools, [
      // Made anew, for the earlier one may have been made for another user.
      ...(tap ? [`link delete dev ${op.tap}`] : []),
      `tuntap add dev ${op.tap} mode tap user ${ownerUid}`,
      `link set dev ${op.tap} alias ${markOf(instance)} group ${groupOf(instance)}`,
      `link set dev ${op.tap} master ${op.bridge} up`,
    ]),
    // A port's own address is of no use to anyone; no VMM is there yet to see the kernel look for neighbours.
    withoutIpv6(op.tap),
  ];
};

const hasTaps = (bridge: string, links: readonly SeenLink[]) => links.some(({ name }) => name.startsWith(`${bridge}-`));

/** The bridge when it exists and may be deleted. */
const findDeletableBridge = (op: { instance: string; bridge: string }, links: readonly SeenLink[]): string[] => {
  const bridge = links.find(({ name }) => name === op.bridge);
  if (!bridge) return [];
  refuseForeign(bridge, { instance: op.instance, kind: "bridge" });
  const foreign = links.find(({ master, alias }) => master === op.bridge && alias !== markOf(op.instance));
  if (foreign) throw fail("host.not_ours", { what: `Network link ${foreign.name}, a port of ${op.bridge},` });
  return [op.bridge];
};

const findDeletableTap = (op: { instance: string; tap: string }, links: readonly SeenLink[]): string[] => {
  const tap = links.find(({ name }) => name === op.tap);
  if (!tap) return [];
  refuseForeign(tap, { instance: op.instance, kind: "tun" });
  return [op.tap];
};

const beside = (command: HostCommand & { kind: "exec" }): HostCommand => ({ ...command, isBeside: true });

const deleteLinks = (names: readonly string[], tools: NetTools) =>
  batch(
    tools,
    names.map((name) => `link delete dev ${name}`),
  );

const applyTables = (stdin: string, tools: NetTools): (HostCommand & { kind: "exec" })[] => [
  { kind: "exec", argv: [tools.nft, "-f", "-"], stdin },
];

/** All of `names` at once where they, and nothing else, are the instance's group; else one after the other. */
const deleteTogether = (instance: string, names: readonly string[], links: readonly SeenLink[], tools: NetTools) => {
  const grouped = links.filter(({ group }) => group === groupOf(instance));
  const isWhole = grouped.length === names.length && grouped.every(({ name }) => names.includes(name));
  return isWhole && names.length > 1
    ? batch(tools, [`link delete group ${groupOf(instance)}`])
    : deleteLinks(names, tools);
};

const release = (op: Extract<HostOp, { op: "net.release" }>, links: readonly SeenLink[], tools: NetTools) => {
  const tap = findDeletableTap(op, links);
  const others = links.filter(({ name }) => name !== op.tap);
  if (hasTaps(op.bridge, others)) return deleteLinks(tap, tools);
  const names = [...tap, ...findDeletableBridge(op, others)];
  const tables = applyTables(renderNftDelete(op.instance), tools);
  // The tables last: whatever is still connected stays within the rules until it is not. Mostly nothing is.
  const isConnected = links.some(({ name, hasCarrier }) => name === op.tap && hasCarrier);
  const deleted = deleteTogether(op.instance, names, links, tools);
  return [...deleted, ...(isConnected ? tables : tables.map(beside))];
};

/**
 * The commands that are still needed for `op` to hold, given the links of the host; none when it holds already. Pure.
 * Errors: host.not_ours for a link without our mark, root.refused for a tap without its bridge.
 */
export const commandFor = (op: HostOp, links: readonly SeenLink[], tools: NetTools): HostCommand[] => {
  const named = (name: string) => links.find((link) => link.name === name);
  switch (op.op) {
    case "bridge.ensure":
      return ensureBridge(op, named(op.bridge), tools);
    case "bridge.delete":
      return deleteLinks(findDeletableBridge(op, links), tools);
    case "tap.create":
      return createTap(op, { tap: named(op.tap), bridge: named(op.bridge) }, tools);
    case "tap.delete":
      return deleteLinks(findDeletableTap(op, links), tools);
    case "net.release":
      return release(op, links, tools);
    case "nft.apply": {
      const isForNobody = op.members.length === 0 && !hasTaps(op.bridge, links);
      return applyTables(isForNobody ? renderNftDelete(op.instance) : renderNft(op), tools);
    }
    case "nft.delete":
      return applyTables(renderNftDelete(op.instance), tools);
    case "sysctl.forward":
      // Set when it is off and never taken back: other tools rely on it by then, and nobody could tell.
      return [{ kind: "sysctl", key: "net/ipv4/ip_forward", value: "1", isOptional: false, onlyIf: "0" }];
    case "jail.prepare":
    case "jail.remove":
    case "net.list":
      return [];
  }
};
