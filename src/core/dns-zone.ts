// What the name server knows, an immutable snapshot of it, and the decision what the answer to a question is.
import { type DnsName, parentName, parseDnsName, renderDnsName, reverseNameOf, reverseZoneOf } from "./dns-name.ts";

/** Types that the zone holds or treats apart (RFC 1035 §3.2.2, RFC 3596, RFC 1995, RFC 8482). */
export const RRTYPE = { A: 1, NS: 2, SOA: 6, PTR: 12, AAAA: 28, OPT: 41, IXFR: 251, AXFR: 252, ANY: 255 } as const;
export const CLASS_IN = 1;
/** RFC 1035 §4.1.1 and RFC 6891 §9; BADVERS needs the upper bits that live in the OPT record. */
export const RCODE = { NOERROR: 0, FORMERR: 1, SERVFAIL: 2, NXDOMAIN: 3, NOTIMP: 4, REFUSED: 5, BADVERS: 16 } as const;

/** Seconds that an answer may be kept: addresses move with every start of a VM, so a cache must ask again soon. */
export const ZONE_TTL_S = 5;

export type DnsRecordSet =
  | { type: "A" | "AAAA" | "NS" | "PTR"; ttlS: number; data: readonly string[] }
  | { type: "SOA"; ttlS: number; data: readonly DnsSoa[] };

export type DnsSoa = {
  mname: string;
  rname: string;
  serial: number;
  refresh: number;
  retry: number;
  expire: number;
  /** RFC 2308 §4: how long a negative answer may be kept, seconds. */
  minimum: number;
};

/** One name of the zone; no record sets at all make it an empty non-terminal. */
type DnsNode = { apex: DnsName; sets: ReadonlyMap<number, DnsRecordSet> };

/** loopback: what people reach a VM by, nothing is forwarded; guest: what guests use among themselves, the rest is forwarded. */
export type DnsView = "loopback" | "guest";

export type DnsHost = {
  /** Below the zone, relative to it: `hello` for `hello.vm.`. */
  name: string;
  /** IPv4 or IPv6, of the side that this view's clients reach. */
  addresses: readonly string[];
  /** Every name below it has its addresses too: `*.hello.vm.`. */
  isWildcard?: boolean;
};

export type ZoneInput = {
  /** The zone's name, like `vm` or `vm.`. */
  zoneName: string;
  view: DnsView;
  /** Grows with every change (RFC 1982 arithmetic, 32 bits). */
  serial: number;
  /** Address at which this view is served: the A record of `ns.<zone>`. */
  nameServerAddress: string;
  hosts: readonly DnsHost[];
  /** Prefixes of 8, 16 or 24 bits whose addresses have PTR records: `10.77.5.0/24`. */
  subnets: readonly string[];
};

/** An immutable snapshot; the server reads it afresh for every packet. */
export type Zone = {
  readonly name: string;
  readonly view: DnsView;
  readonly serial: number;
  /** A, AAAA and PTR records of VMs; what a zone has of itself (SOA, NS and their address) does not count. */
  readonly recordCount: number;
  readonly nodes: ReadonlyMap<DnsName, DnsNode>;
};

type Building = Map<DnsName, { apex: DnsName; sets: Map<number, DnsRecordSet> }>;

/** Builds a snapshot. Hosts and subnets that can be no DNS names are left out: names are checked when VMs are made. */
export const buildZone = (input: ZoneInput): Zone => {
  const apex = parseDnsName(input.zoneName) ?? "\x02vm\0";
  const zoneText = renderDnsName(apex);
  const nodes: Building = new Map();
  const nsName = `ns.${zoneText === "." ? "" : zoneText}`;
  addApex(nodes, { apex, nsName, serial: input.serial });
  addRecord(
    nodes,
    { apex, owner: `\x02ns${apex}`, type: addressType(input.nameServerAddress) },
    input.nameServerAddress,
  );
  for (const subnet of input.subnets) {
    const reverse = reverseZoneOf(subnet);
    if (reverse && !nodes.has(reverse)) addApex(nodes, { apex: reverse, nsName, serial: input.serial });
  }
  let recordCount = 0;
  for (const host of input.hosts) {
    const owner = parseDnsName(`${host.name}.${zoneText === "." ? "" : zoneText}`);
    if (!owner || host.addresses.length === 0) continue;
    for (const address of host.addresses) {
      const type = addressType(address);
      recordCount += addRecord(nodes, { apex, owner, type }, address);
      if (host.isWildcard) recordCount += addRecord(nodes, { apex, owner: `\x01*${owner}`, type }, address);
      recordCount += addPointer(nodes, address, renderDnsName(owner));
    }
  }
  return { name: zoneText, view: input.view, serial: input.serial, recordCount, nodes };
};

const addressType = (address: string): "A" | "AAAA" => (address.includes(":") ? "AAAA" : "A");

/** SOA and NS as AS112 and RFC 6303 §3 shape locally served zones: no mailbox that exists, short times since nothing transfers it. */
const addApex = (nodes: Building, zone: { apex: DnsName; nsName: string; serial: number }): void => {
  const soa: DnsSoa = {
    mname: zone.nsName,
    rname: "nobody.invalid.",
    serial: zone.serial >>> 0,
    refresh: 3600,
    retry: 1200,
    expire: 604800,
    minimum: ZONE_TTL_S,
  };
  const sets = new Map<number, DnsRecordSet>([
    // RFC 2308 §3: the TTL of a negative answer's SOA is the minimum of its own and MINIMUM; here both are one number.
    [RRTYPE.SOA, { type: "SOA", ttlS: Math.min(ZONE_TTL_S, soa.minimum), data: [soa] }],
    [RRTYPE.NS, { type: "NS", ttlS: ZONE_TTL_S, data: [zone.nsName] }],
  ]);
  nodes.set(zone.apex, { apex: zone.apex, sets });
};

type RecordKey = { apex: DnsName; owner: DnsName; type: "A" | "AAAA" | "PTR" };

/** Adds one record and the empty non-terminals above it (RFC 8020 §2: a name with names below it exists); 0 when it was there already. */
const addRecord = (nodes: Building, { apex, owner, type }: RecordKey, data: string): 0 | 1 => {
  if (owner.length > 255) return 0;
  for (let name = owner; name !== apex && !nodes.has(name); name = parentName(name)) {
    nodes.set(name, { apex, sets: new Map() });
  }
  const sets = nodes.get(owner)?.sets;
  const set = sets?.get(RRTYPE[type]);
  const known = set && set.type !== "SOA" ? set.data : [];
  if (!sets || known.includes(data)) return 0;
  sets.set(RRTYPE[type], { type, ttlS: ZONE_TTL_S, data: [...known, data] });
  return 1;
};

/** The PTR record of an address, when one of our reverse zones holds it. The first host that claims an address keeps it. */
const addPointer = (nodes: Building, address: string, target: string): 0 | 1 => {
  const owner = reverseNameOf(address);
  if (!owner || nodes.has(owner)) return 0;
  for (let name = parentName(owner); name.length > 1; name = parentName(name)) {
    const apex = nodes.get(name)?.apex;
    if (apex) return addRecord(nodes, { apex, owner, type: "PTR" }, target);
  }
  return 0;
};

export type DnsQuestion = { name: DnsName; type: number; class: number };

export type AnswerPlan =
  | { kind: "records"; set: DnsRecordSet }
  /** `apex` names the zone whose SOA goes into the authority section. */
  | { kind: "nodata" | "nxdomain"; apex: DnsName; soa: DnsRecordSet }
  | { kind: "refused" }
  | { kind: "forward" };

const refused: AnswerPlan = { kind: "refused" };
const forward: AnswerPlan = { kind: "forward" };

/** Decides what the answer to a question is. */
export const planAnswer = (zone: Zone, question: DnsQuestion): AnswerPlan => {
  // RFC 5936 §2.2.1: a server that does not give the zone away answers REFUSED; and no guest transfers one through us.
  if (question.type === RRTYPE.AXFR || question.type === RRTYPE.IXFR) return refused;
  // The zone is of class IN; RFC 1035 §6.2 would have * answered without authority, which nobody can use.
  if (question.class !== CLASS_IN) return refused;
  const found = findNode(zone, question.name);
  if (!found) return zone.view === "guest" ? forward : refused;
  const set = question.type === RRTYPE.ANY ? anySet(found.node) : found.node?.sets.get(question.type);
  if (set) return { kind: "records", set };
  const soa = zone.nodes.get(found.apex)?.sets.get(RRTYPE.SOA);
  if (!soa) return refused;
  // RFC 2308 §2.2: the name exists, the type does not: NODATA. A name with only A is asked for AAAA all day, and NXDOMAIN would deny the A too
  // (RFC 8020 §2). The same holds for an empty non-terminal, and for types that nobody knows (RFC 3597 §2).
  return { kind: found.node ? "nodata" : "nxdomain", apex: found.apex, soa };
};

/** RFC 8482 §4.1: a responder that receives an ANY query "MAY instead send a response with a single RRset". */
const anySet = (node: DnsNode | undefined): DnsRecordSet | undefined => node?.sets.values().next().value;

type Found = { apex: DnsName; node: DnsNode | undefined };

const findNode = (zone: Zone, name: DnsName): Found | null => {
  const exact = zone.nodes.get(name);
  if (exact) return { apex: exact.apex, node: exact };
  for (let above = parentName(name); ; above = parentName(above)) {
    const encloser = zone.nodes.get(above);
    // RFC 4592 §3.3.1: the closest encloser that exists, and below it the asterisk label, is the source of synthesis.
    if (encloser) return { apex: encloser.apex, node: zone.nodes.get(`\x01*${above}`) };
    if (above.length === 1) return null;
  }
};

/** True when a name lies in one of the zones that this server alone speaks for. */
export const isLocalName = (zone: Zone, name: DnsName): boolean => findNode(zone, name) !== null;
