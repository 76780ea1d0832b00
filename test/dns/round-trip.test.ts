// Properties of the name server over random zones, names and octets, with the wire library's decoder as the other side.
import { describe, expect, test } from "bun:test";
import { decode, encode, type RecordType } from "dns-packet";
import fc from "fast-check";
import {
  lowerCase,
  parentName,
  parseDnsName,
  readCompressedName,
  readName,
  renderDnsName,
  reverseNameOf,
  reverseZoneOf,
  skipName,
} from "../../src/core/dns-name.ts";
import { parseQuery } from "../../src/core/dns-query.ts";
import type { DnsHost, Zone } from "../../src/core/dns-zone.ts";
import { answerQuery } from "../../src/dns/answer.ts";
import { headerOf, rawQuery, u16, zoneOf } from "./asking.ts";

const label = fc.stringMatching(/^[a-z][a-z0-9-]{0,14}$/);
const ipv4 = fc.tuple(fc.nat(255), fc.nat(255)).map(([c, d]) => `10.77.${c}.${d}`);
const ipv6 = fc.integer({ min: 1, max: 65535 }).map((group) => `fd00::${group.toString(16)}`);
const host: fc.Arbitrary<DnsHost> = fc.record({
  name: label,
  addresses: fc.uniqueArray(fc.oneof(ipv4, ipv6), { minLength: 1, maxLength: 4 }),
  isWildcard: fc.boolean(),
});
const hosts = fc
  .uniqueArray(host, { selector: ({ name }) => name, maxLength: 12 })
  .map((all) => all.filter(({ name }) => name !== "ns"));
const zones = hosts.map((all) => ({ all, zone: zoneOf({ hosts: all, subnets: ["10.77.0.0/16"] }) }));
const anyCase = (text: string) =>
  fc
    .array(fc.boolean(), { minLength: text.length, maxLength: text.length })
    .map((upper) => [...text].map((letter, at) => (upper[at] ? letter.toUpperCase() : letter)).join(""));

const look = (zone: Zone, name: string, type: RecordType) => {
  const query = encode({ type: "query", id: 99, flags: 0x0100, questions: [{ name, type }] });
  const reply = answerQuery(zone, query, "tcp");
  if (reply.kind !== "reply") throw new Error(`${reply.kind} for ${name}`);
  const answer = decode(Buffer.from(reply.bytes));
  expect(answer.questions?.[0]?.name).toBe(name);
  return {
    answer,
    rcode: reply.rcode,
    data: (answer.answers ?? []).map((record) => ("data" in record ? String(record.data) : "")),
  };
};

describe("every record of every zone comes back from the wire", () => {
  test("A and AAAA by name in any case, and below wildcards", () => {
    const property = fc.property(
      zones.chain(({ all, zone }) => fc.tuple(fc.constant(all), fc.constant(zone), fc.infiniteStream(fc.boolean()))),
      ([all, zone, upper]) => {
        const spell = (text: string) =>
          [...text].map((letter) => (upper.next().value ? letter.toUpperCase() : letter)).join("");
        for (const { name, addresses, isWildcard } of all) {
          const v4 = addresses.filter((address) => !address.includes(":"));
          const v6 = addresses.filter((address) => address.includes(":"));
          expect(look(zone, spell(`${name}.vm`), "A").data).toEqual(v4);
          expect(look(zone, spell(`${name}.vm`), "AAAA").data).toEqual(v6);
          expect(look(zone, `${name}.vm`, "TXT")).toMatchObject({ rcode: 0, data: [] });
          const below = look(zone, spell(`x.y.${name}.vm`), "A");
          expect(below.data).toEqual(isWildcard ? v4 : []);
          expect(below.rcode).toBe(isWildcard ? 0 : 3);
        }
      },
    );
    fc.assert(property, { numRuns: 60 });
  });

  test("PTR of each IPv4 address, once, to the first host that has it", () => {
    const property = fc.property(zones, ({ all, zone }) => {
      const first = new Map<string, string>();
      for (const { name, addresses } of all)
        for (const address of addresses) if (!first.has(address)) first.set(address, name);
      for (const [address, name] of first) {
        if (address.includes(":")) continue;
        const reverse = `${address.split(".").reverse().join(".")}.in-addr.arpa`;
        expect(look(zone, reverse, "PTR").data).toEqual([`${name}.vm`]);
      }
    });
    fc.assert(property, { numRuns: 60 });
  });

  test("SOA and NS of both zones; a name that no host has is NXDOMAIN", () => {
    const property = fc.property(zones, label, ({ all, zone }, name) => {
      for (const apex of ["vm", "77.10.in-addr.arpa"]) {
        expect(look(zone, apex, "SOA").answer.answers?.[0]).toMatchObject({
          type: "SOA",
          data: { mname: "ns.vm", minimum: 5 },
        });
        expect(look(zone, apex, "NS").data).toEqual(["ns.vm"]);
      }
      const exists = all.some((one) => one.name === name) || name === "ns";
      expect(look(zone, `${name}.vm`, "A").rcode).toBe(exists ? 0 : 3);
    });
    fc.assert(property, { numRuns: 60 });
  });

  test("the count of records is what can be asked for", () => {
    const zone = zoneOf({
      hosts: [
        { name: "a", addresses: ["10.77.5.1", "fd00::1"], isWildcard: true },
        { name: "b", addresses: ["192.168.1.1"] },
      ],
    });
    // Two of `a`, the same two of its wildcard, one PTR, one of `b`.
    expect(zone.recordCount).toBe(6);
  });
});

describe("names", () => {
  test("are written and read again alike, whatever octets they have", () => {
    const labels = fc.array(fc.uint8Array({ minLength: 1, maxLength: 63 }), { maxLength: 3 });
    const property = fc.property(labels, fc.nat(20), (parts, before) => {
      const wire = [...parts.flatMap((part) => [part.length, ...part]), 0];
      const bytes = Uint8Array.from([...new Array(before).fill(7), ...wire, 9, 9]);
      const read = readName(bytes, before);
      expect(read?.end).toBe(before + wire.length);
      expect(skipName(bytes, before)).toBe(before + wire.length);
      expect(readCompressedName(bytes, before)).toBe(read!.name);
      const folded = wire.map((octet) => (octet >= 65 && octet <= 90 ? octet + 32 : octet));
      expect([...read!.name].map((octet) => octet.charCodeAt(0))).toEqual(folded);
      expect(lowerCase(read!.name)).toBe(read!.name);
    });
    fc.assert(property, { numRuns: 300 });
  });

  test("as people write them, with or without the final dot", () => {
    const property = fc.property(
      fc.array(label, { minLength: 1, maxLength: 5 }).chain((labels) => anyCase(labels.join("."))),
      (text) => {
        const name = parseDnsName(text);
        expect(name).toBe(parseDnsName(`${text}.`));
        expect(renderDnsName(name!)).toBe(`${text.toLowerCase()}.`);
        expect(renderDnsName(parentName(name!))).toBe(`${text.toLowerCase().split(".").slice(1).join(".")}.`);
      },
    );
    fc.assert(property, { numRuns: 200 });
  });

  test("that can be none are refused", () => {
    for (const text of ["", "..", ".a", "a..b", "a b", "ä.vm", `${"a".repeat(64)}.vm`, `${"abcdefg.".repeat(32)}vm`])
      expect(parseDnsName(text)).toBeNull();
    expect(renderDnsName("\x03a.b\x01\xff\0")).toBe("a\\.b.\\255.");
    expect(renderDnsName("\0")).toBe(".");
  });

  test("in the reverse tree are those of RFC 1035 §3.5", () => {
    expect(renderDnsName(reverseNameOf("10.77.5.9")!)).toBe("9.5.77.10.in-addr.arpa.");
    expect(renderDnsName(reverseZoneOf("10.77.5.0/24")!)).toBe("5.77.10.in-addr.arpa.");
    expect(renderDnsName(reverseZoneOf("127.0.0.0/8")!)).toBe("127.in-addr.arpa.");
    for (const text of ["10.77.5", "10.77.5.256", "fd00::1", "10.77.5.x"]) expect(reverseNameOf(text)).toBeNull();
    for (const text of ["10.77.5.0", "10.77.5.0/25", "x/24"]) expect(reverseZoneOf(text)).toBeNull();
  });

  test("with pointers that lead forward or round are refused", () => {
    expect(readCompressedName(Uint8Array.of(0xc0, 0), 0)).toBeNull();
    expect(readCompressedName(Uint8Array.of(0xc0, 2, 0xc0, 0), 0)).toBeNull();
    expect(readCompressedName(Uint8Array.of(0, 0xc0, 3, 0xc0, 1), 3)).toBeNull();
    expect(readCompressedName(Uint8Array.of(1, 97, 0, 1, 98, 0xc0, 0), 3)).toBe("\x01b\x01a\0");
  });
});

test("any well-formed question is read as the wire library reads it", () => {
  const property = fc.property(
    fc.array(label, { minLength: 1, maxLength: 4 }),
    fc.nat(65535),
    fc.nat(65535),
    fc.nat(0xffff),
    (labels, type, klass, id) => {
      const name = labels.join(".");
      const wire = [...labels.flatMap((part) => [part.length, ...new TextEncoder().encode(part)]), 0];
      const query = rawQuery({ id, questions: [[...wire, ...u16(type), ...u16(klass)]] });
      const parsed = parseQuery(query);
      if (parsed.kind !== "query") throw new Error(parsed.kind);
      expect(parsed.question).toEqual({ name: parseDnsName(name)!, type, class: klass });
      expect(parsed.frame).toEqual({ id, flags: 0x0100, questionEnd: query.length, edns: null });
    },
  );
  fc.assert(property, { numRuns: 200 });
});

test("whatever octets come in, what goes out is silence or a response with their id that decodes, no longer than the client can take", () => {
  const zone = zoneOf();
  const property = fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
    const reply = answerQuery(zone, bytes, "udp");
    if (bytes.length < 12 || bytes[2]! & 0x80) return expect(reply.kind).toBe("silence");
    if (reply.kind !== "reply") throw new Error(reply.kind);
    const header = headerOf(reply.bytes);
    expect(header.id).toBe((bytes[0]! << 8) | bytes[1]!);
    expect(header.flags & 0x8000).toBe(0x8000);
    expect(reply.bytes.length).toBeLessThanOrEqual(512);
    decode(Buffer.from(reply.bytes));
  });
  fc.assert(property, { numRuns: 2000 });
});
