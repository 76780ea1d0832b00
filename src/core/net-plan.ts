// Decides the addresses of an instance's network: its subnet, each VM's slot, and the MAC addresses that follow from names.
import type { HostRoute } from "./net-routes.ts";

/** The half-open range of addresses `[first, end)` that a CIDR covers, null when it is not IPv4 CIDR notation. */
export const parseCidr = (cidr: string): { first: number; end: number; prefixLength: number } | null => {
  const found = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})\/(\d{1,2})$/.exec(cidr);
  if (!found) return null;
  const octets = found.slice(1, 5).map(Number);
  const prefixLength = Number(found[5]);
  if (octets.some((octet) => octet > 255) || prefixLength > 32) return null;
  const size = 2 ** (32 - prefixLength);
  const value = octets.reduce((sum, octet) => sum * 256 + octet, 0);
  const first = value - (value % size);
  return { first, end: first + size, prefixLength };
};

/** Whether two CIDRs share an address; what cannot be read overlaps nothing. */
export const isOverlapping = (one: string, other: string): boolean => {
  const a = parseCidr(one);
  const b = parseCidr(other);
  return a !== null && b !== null && a.first < b.end && b.first < a.end;
};

/** FNV-1a over the characters, 32 bits: spreads instances and VMs, protects nothing. */
export const hash = (text: string): number => {
  let value = 0x811c9dc5;
  for (let index = 0; index < text.length; index += 1) {
    value = Math.imul(value ^ text.charCodeAt(index), 0x01000193) >>> 0;
  }
  // FNV's high bits vary little between short inputs: mix them (the finaliser of MurmurHash3).
  value = Math.imul(value ^ (value >>> 16), 0x85ebca6b) >>> 0;
  value = Math.imul(value ^ (value >>> 13), 0xc2b2ae35) >>> 0;
  return (value ^ (value >>> 16)) >>> 0;
};

const hex = (value: number) => value.toString(16).padStart(2, "0");

const macOf = (seed: string): string => {
  const high = hash(`mac/${seed}`);
  const low = hash(`${seed}/mac`);
  const octets = [high >>> 24, high >>> 16, high >>> 8, high, low].map((value) => hex(value & 0xff));
  return `02:${octets.join(":")}`;
};

/** The MAC address of a VM's first link: the same for the life of the VM, locally administered, unicast. */
export const macFor = (instance: string, vmId: string): string => macOf(`${instance}/vm/${vmId}`);

/** The MAC address of the instance's bridge. Set once, or the bridge takes the lowest of its ports' and guests lose their gateway. */
export const bridgeMacFor = (instance: string): string => macOf(`${instance}/bridge`);

const prefixOf = (subnet: string): string => subnet.slice(0, subnet.lastIndexOf("."));

/** The first address of a `/24`: the bridge's own, the guests' gateway and resolver. */
export const gatewayOf = (subnet: string): string => `${prefixOf(subnet)}.1`;

/** The address of a slot in a `/24`. */
export const addressOf = (subnet: string, slot: number): string => `${prefixOf(subnet)}.${slot}`;

/** The routes that a subnet of ours must not touch: all but the default route and those on our own bridge. */
const foreignRoutes = (routes: readonly HostRoute[], bridge: string | null): HostRoute[] =>
  routes.filter(({ destination, device }) => destination !== "0.0.0.0/0" && (bridge === null || device !== bridge));

/** Whether `subnet` covers addresses that the host already sends elsewhere. */
export const isSubnetFree = (options: {
  subnet: string;
  routes: readonly HostRoute[];
  /** Our own bridge, whose routes do not count. */
  bridge: string | null;
}): boolean => findClash(options.subnet, options.routes, options.bridge) === null;

export type SubnetChoice = {
  instance: string;
  routes: readonly HostRoute[];
  /** From the configuration: taken as it is or not at all. */
  configured?: string | null;
  /** Subnets of other instances, whose bridges may be down just now. */
  taken?: readonly string[];
  bridge?: string | null;
};

/**
 * A private `/24` that overlaps no route, or null when there is none (or the configured one overlaps).
 * 10.64.0.0/10 is searched first, from a place that depends on the instance, since home and office networks sit at the low and
 * high ends of the private ranges; then the whole of 10/8, 172.16/12 and 192.168/16 (RFC 1918).
 */
export const chooseSubnet = (choice: SubnetChoice): string | null => {
  const bridge = choice.bridge ?? null;
  const occupied = [
    ...foreignRoutes(choice.routes, bridge).map(({ destination }) => destination),
    ...(choice.taken ?? []),
  ];
  // Read once: all 65 536 candidates of 10/8 may have to be compared.
  const ranges = occupied.flatMap((cidr) => parseCidr(cidr) ?? []);
  const isFree = (subnet: string) => {
    const range = parseCidr(subnet);
    return range !== null && ranges.every(({ first, end }) => range.first >= end || first >= range.end);
  };
  if (choice.configured) return isFree(choice.configured) ? choice.configured : null;
  const start = hash(`subnet/${choice.instance}`);
  for (const { first, count } of searchOrder) {
    for (let step = 0; step < count; step += 1) {
      const value = first + ((start + step) % count) * 256;
      const subnet = `${Math.floor(value / 2 ** 24)}.${(value >>> 16) & 255}.${(value >>> 8) & 255}.0/24`;
      if (isFree(subnet)) return subnet;
    }
  }
  return null;
};

const rangeOf = (cidr: string) => {
  const range = parseCidr(cidr);
  return { first: range?.first ?? 0, count: range ? (range.end - range.first) / 256 : 0 };
};
const searchOrder = ["10.64.0.0/10", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"].map(rangeOf);

/**
 * The subnet an instance goes on with: the one it has, unless the host now routes it elsewhere and no VM is running on it.
 * `moved` says that it was chosen anew; `clash` that it overlaps but running VMs hold it.
 */
export const decideSubnet = (options: SubnetChoice & { current: string | null; hasRunning: boolean }) => {
  const { current, hasRunning } = options;
  const bridge = options.bridge ?? null;
  const isWanted = current !== null && (!options.configured || options.configured === current);
  const isFree = current !== null && isSubnetFree({ subnet: current, routes: options.routes, bridge });
  if (current !== null && hasRunning) return { subnet: current, moved: false, clash: !isFree };
  if (current !== null && isWanted && isFree) return { subnet: current, moved: false, clash: false };
  const subnet = chooseSubnet(options);
  return { subnet, moved: subnet !== null && subnet !== current, clash: false };
};

/** The route of the host that keeps `subnet` from being ours; null when none does. */
export const findClash = (subnet: string, routes: readonly HostRoute[], bridge: string | null): HostRoute | null =>
  foreignRoutes(routes, bridge).find(({ destination }) => isOverlapping(destination, subnet)) ?? null;

/** The lowest free slot from 2 to 254, null when all are taken. */
export const chooseSlot = (taken: Iterable<number>): number | null => {
  const used = new Set(taken);
  for (let slot = 2; slot <= 254; slot += 1) if (!used.has(slot)) return slot;
  return null;
};
