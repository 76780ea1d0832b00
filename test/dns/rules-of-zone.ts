// What the zone answers and denies.
import { expect } from "bun:test";
import { ask, rawQuery, TYPE } from "./asking.ts";
import { AA, address, answers, decoded, denied, hasSoa, nodata, QR, q, type Rule } from "./rules.ts";

export const zoneRules: Rule[] = [
  // Answers of the zone
  {
    clause: "RFC 1035 §4.1.1",
    claim: "an address has AA, and RD as it was asked",
    query: ask("hello.vm"),
    expected: { ...address, also: answers("10.77.5.9") },
  },
  {
    clause: "RFC 1035 §4.1.1",
    claim: "RD is not set when it was not asked",
    query: rawQuery({ flags: 0, questions: [q("hello.vm")] }),
    expected: { ...address, flags: QR | AA },
  },
  {
    clause: "RFC 1034 §4.3.4",
    claim: "the SOA is served",
    query: ask("vm", TYPE.SOA),
    expected: {
      ...address,
      also: (answer) =>
        expect(decoded(answer).answers?.[0]).toMatchObject({
          name: "vm",
          data: { mname: "ns.vm", serial: 7, minimum: 5 },
        }),
    },
  },
  {
    clause: "RFC 1034 §4.2.1",
    claim: "the NS is served",
    query: ask("vm", TYPE.NS),
    expected: { ...address, also: answers("ns.vm") },
  },
  {
    clause: "RFC 1034 §4.2.1",
    claim: "the NS has an address",
    query: ask("ns.vm"),
    expected: { ...address, also: answers("127.0.0.1") },
  },
  {
    clause: "RFC 1035 §3.5",
    claim: "an address of the guest subnet has its PTR",
    query: ask("9.5.77.10.in-addr.arpa", TYPE.PTR),
    expected: { ...address, also: answers("hello.vm") },
  },
  {
    clause: "RFC 1035 §3.5",
    claim: "the reverse zone has a SOA of its own",
    query: ask("5.77.10.in-addr.arpa", TYPE.SOA),
    expected: address,
  },
  {
    clause: "RFC 3596 §2.2",
    claim: "an IPv6 address is an AAAA record",
    query: ask("six.vm", TYPE.AAAA),
    expected: { ...address, also: answers("fd00::6") },
  },
  {
    clause: "RFC 4592 §3.3.1",
    claim: "a wildcard answers below its VM",
    query: ask("a.wild.vm"),
    expected: { ...address, also: answers("10.77.5.10") },
  },
  {
    clause: "RFC 4592 §2.2.1",
    claim: "a wildcard answers at any depth",
    query: ask("a.b.c.wild.vm"),
    expected: address,
  },
  { clause: "RFC 4592 §2.2.1", claim: "the asterisk itself is a name", query: ask("*.wild.vm"), expected: address },
  {
    clause: "RFC 4592 §3.3.2",
    claim: "another type of a wildcard is NODATA",
    query: ask("a.wild.vm", TYPE.AAAA),
    expected: { ...nodata, also: hasSoa("vm") },
  },
  {
    clause: "RFC 4592 §2.2.1",
    claim: "only a VM that wants it has a wildcard",
    query: ask("a.hello.vm"),
    expected: { ...denied, also: hasSoa("vm") },
  },
  // Denials
  {
    clause: "RFC 2308 §3",
    claim: "a name that is not there is NXDOMAIN with the SOA",
    query: ask("nobody.vm"),
    expected: { ...denied, also: hasSoa("vm") },
  },
  {
    clause: "RFC 2308 §3",
    claim: "a PTR that is not there has the reverse zone's SOA",
    query: ask("99.5.77.10.in-addr.arpa", TYPE.PTR),
    expected: { ...denied, also: hasSoa("5.77.10.in-addr.arpa") },
  },
  {
    clause: "RFC 2308 §2.2",
    claim: "AAAA of a name with only A is NODATA, never NXDOMAIN",
    query: ask("hello.vm", TYPE.AAAA),
    expected: { ...nodata, also: hasSoa("vm") },
  },
  {
    clause: "RFC 8020 §2",
    claim: "an empty non-terminal is NODATA",
    query: ask("tree.vm"),
    expected: { ...nodata, also: hasSoa("vm") },
  },
  {
    clause: "RFC 8020 §2",
    claim: "the apex exists without an address",
    query: ask("vm"),
    expected: { ...nodata, also: hasSoa("vm") },
  },
  { clause: "RFC 3597 §2", claim: "an unknown type is NODATA", query: ask("hello.vm", 65280), expected: nodata },
  {
    clause: "RFC 3597 §2",
    claim: "an unknown type of an unknown name is NXDOMAIN",
    query: ask("nobody.vm", 65280),
    expected: denied,
  },
  {
    clause: "RFC 8906 §3.1.2",
    claim: "a meta type that nobody serves is NODATA",
    query: ask("hello.vm", 254),
    expected: nodata,
  },
];
