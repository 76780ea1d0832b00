// Every rule of the name server, by the clause it comes from, over raw packets and both transports.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { decode } from "dns-packet";
import type { DnsServer } from "../../src/dns/server.ts";
import { ask, askTcp, askUdp, headerOf, opt, question, rawQuery, serve, TYPE, u16, wireName } from "./asking.ts";

const QR = 0x8000;
const AA = 0x0400;
const TC = 0x0200;
const RD = 0x0100;
const NOERROR = 0;
const FORMERR = 1;
const NXDOMAIN = 3;
const NOTIMP = 4;
const REFUSED = 5;

type Expected = {
  flags: number;
  rcode: number;
  /** Questions, answers, authorities, additionals. */
  counts: [number, number, number, number];
  also?: (answer: Uint8Array, query: Uint8Array) => void;
};
type Rule = { clause: string; claim: string; query: Uint8Array; expected: Expected | "silence" };

const decoded = (answer: Uint8Array) => decode(Buffer.from(answer));
const echoesQuestion = (answer: Uint8Array, query: Uint8Array) => {
  let end = 12;
  while (query[end]) end += 1 + query[end]!;
  expect([...answer.slice(12, end + 5)]).toEqual([...query.slice(12, end + 5)]);
};
const hasSoa = (zone: string) => (answer: Uint8Array) => {
  const [record] = decoded(answer).authorities ?? [];
  expect(record).toMatchObject({ type: "SOA", name: zone });
  if (record?.type !== "SOA") throw new Error("no SOA");
  expect(record.ttl).toBe(Math.min(5, record.data.minimum ?? 0));
};
const answers =
  (...data: string[]) =>
  (answer: Uint8Array) => {
    const records = decoded(answer).answers ?? [];
    expect(records.map((record) => "data" in record && record.data)).toEqual(data);
    for (const record of records) expect("ttl" in record && record.ttl).toBeLessThanOrEqual(5);
  };
const optOf = (answer: Uint8Array) => [...answer.slice(-11)];
const plainOpt = [0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0];
const q = question;
const address = { flags: QR | AA | RD, rcode: NOERROR, counts: [1, 1, 0, 0] as [number, number, number, number] };
const nodata = { flags: QR | AA | RD, rcode: NOERROR, counts: [1, 0, 1, 0] as [number, number, number, number] };
const denied = { ...nodata, rcode: NXDOMAIN };
const refused = { flags: QR | RD, rcode: REFUSED, counts: [1, 0, 0, 0] as [number, number, number, number] };
const formerr = { flags: QR | RD, rcode: FORMERR, counts: [0, 0, 0, 0] as [number, number, number, number] };
const formerrEchoed = { ...formerr, counts: [1, 0, 0, 0] as [number, number, number, number] };

const rules: Rule[] = [
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
  // Names
  {
    clause: "RFC 4343 §3",
    claim: "names compare without case, and the question comes back as it was",
    query: ask("HeLLo.Vm"),
    expected: {
      ...address,
      also: (answer, query) => {
        echoesQuestion(answer, query);
        expect(decoded(answer).answers?.[0]?.name).toBe("HeLLo.Vm");
      },
    },
  },
  {
    clause: "RFC 4343 §3",
    claim: "a denial echoes the question as it was",
    query: ask("nObOdY.vM"),
    expected: { ...denied, also: echoesQuestion },
  },
  {
    clause: "RFC 1035 §3.1",
    claim: "a dot inside a label is no border of labels",
    query: rawQuery({ questions: [[8, ...new TextEncoder().encode("hello.vm"), 0, ...u16(1), ...u16(1)]] }),
    expected: refused,
  },
  {
    clause: "RFC 1035 §3.1",
    claim: "a dot inside a label makes another name of the zone",
    query: rawQuery({
      questions: [[9, ...new TextEncoder().encode("deep.tree"), 2, 118, 109, 0, ...u16(1), ...u16(1)]],
    }),
    expected: denied,
  },
  {
    clause: "RFC 2181 §11",
    claim: "any octet may be in a label",
    query: rawQuery({ questions: [[3, 0, 255, 193, 2, 118, 109, 0, ...u16(1), ...u16(1)]] }),
    expected: { ...denied, also: echoesQuestion },
  },
  {
    clause: "RFC 4343 §3",
    claim: "octets over 0x7f have no case",
    query: rawQuery({ questions: [[5, 0x68, 0x65, 0x6c, 0xcc, 0x6f, 2, 118, 109, 0, ...u16(1), ...u16(1)]] }),
    expected: denied,
  },
  {
    clause: "RFC 1035 §2.3.4",
    claim: "a name of 255 octets is read",
    query: ask(`${"a".repeat(63)}.${"b".repeat(63)}.${"c".repeat(63)}.${"d".repeat(58)}.vm`),
    expected: { ...denied, also: echoesQuestion },
  },
  {
    clause: "RFC 1035 §2.3.4",
    claim: "a name of 256 octets is FORMERR",
    query: ask(`${"a".repeat(63)}.${"b".repeat(63)}.${"c".repeat(63)}.${"d".repeat(59)}.vm`),
    expected: formerr,
  },
  {
    clause: "RFC 1035 §4.1.4",
    claim: "a pointer in a question is FORMERR",
    query: rawQuery({ questions: [[0xc0, 12, ...u16(1), ...u16(1)]] }),
    expected: formerr,
  },
  {
    clause: "RFC 6891 §5",
    claim: "a label of another kind is FORMERR",
    query: rawQuery({ questions: [[0x41, 1, 2, 0, ...u16(1), ...u16(1)]] }),
    expected: formerr,
  },
  // Out of zone
  {
    clause: "RFC 8906 §3.1",
    claim: "a name outside is REFUSED without AA",
    query: ask("example.com"),
    expected: { ...refused, also: echoesQuestion },
  },
  { clause: "RFC 8906 §3.1", claim: "the root is outside", query: ask(".", TYPE.NS), expected: refused },
  {
    clause: "RFC 1034 §4.2.1",
    claim: "a name that only ends like the zone is outside",
    query: ask("hellovm"),
    expected: refused,
  },
  {
    clause: "RFC 1034 §4.2.1",
    claim: "a reverse name outside the subnet is outside",
    query: ask("9.6.77.10.in-addr.arpa", TYPE.PTR),
    expected: refused,
  },
  {
    clause: "RFC 1035 §3.2.4",
    claim: "the zone is of class IN alone",
    query: rawQuery({ questions: [q("hello.vm", TYPE.TXT, 3)] }),
    expected: refused,
  },
  {
    clause: "RFC 1035 §6.2",
    claim: "class * cannot be answered with authority",
    query: rawQuery({ questions: [q("hello.vm", TYPE.A, 255)] }),
    expected: refused,
  },
  { clause: "RFC 5936 §2.2.1", claim: "AXFR is REFUSED", query: ask("vm", TYPE.AXFR), expected: refused },
  { clause: "RFC 1995 §2", claim: "IXFR is REFUSED", query: ask("vm", TYPE.IXFR), expected: refused },
  {
    clause: "RFC 8482 §4.1",
    claim: "ANY of a VM is one record set",
    query: ask("hello.vm", TYPE.ANY),
    expected: { ...address, also: answers("10.77.5.9") },
  },
  {
    clause: "RFC 8482 §4.1",
    claim: "ANY of the apex is one record set",
    query: ask("vm", TYPE.ANY),
    expected: address,
  },
  {
    clause: "RFC 8482 §4.1",
    claim: "ANY of an empty non-terminal is NODATA",
    query: ask("tree.vm", TYPE.ANY),
    expected: nodata,
  },
  {
    clause: "RFC 8482 §4.1",
    claim: "ANY of a name that is not there is NXDOMAIN",
    query: ask("nobody.vm", TYPE.ANY),
    expected: denied,
  },
  // Header
  {
    clause: "RFC 8906 §3.1.4",
    claim: "another opcode is NOTIMP with that opcode and no flag",
    query: rawQuery({ flags: 0x7ff0, questions: [q("hello.vm")] }),
    expected: { flags: QR | 0x7800, rcode: NOTIMP, counts: [0, 0, 0, 0] },
  },
  {
    clause: "RFC 8906 §3.1.4",
    claim: "another opcode needs no question",
    query: rawQuery({ flags: 0x1000, counts: [0, 0, 0, 0] }),
    expected: { flags: QR | 0x1000, rcode: NOTIMP, counts: [0, 0, 0, 0] },
  },
  {
    clause: "RFC 8906 §3.1.4",
    claim: "NOTIFY and UPDATE are other opcodes",
    query: rawQuery({ flags: 0x2800, questions: [q("vm", TYPE.SOA)] }),
    expected: { flags: QR | 0x2800, rcode: NOTIMP, counts: [0, 0, 0, 0] },
  },
  {
    clause: "RFC 8906 §3.1.3",
    claim: "Z, AD and CD are not echoed",
    query: rawQuery({ flags: 0x0070, questions: [q("hello.vm")] }),
    expected: { ...address, flags: QR | AA },
  },
  {
    clause: "RFC 1035 §4.1.1",
    claim: "AA, TC, RA and RCODE of a query mean nothing",
    query: rawQuery({ flags: 0x068f, questions: [q("hello.vm")] }),
    expected: { ...address, flags: QR | AA },
  },
  {
    clause: "RFC 9619 §4",
    claim: "two questions are FORMERR",
    query: rawQuery({ questions: [q("hello.vm"), q("wild.vm")] }),
    expected: formerr,
  },
  { clause: "RFC 9619 §4", claim: "no question is FORMERR", query: rawQuery({}), expected: formerr },
  {
    clause: "RFC 9619 §4",
    claim: "65535 questions are FORMERR",
    query: rawQuery({ counts: [65535, 0, 0, 0], tail: q("hello.vm") }),
    expected: formerr,
  },
  {
    clause: "RFC 1035 §4.1.1",
    claim: "a question that is not there is FORMERR",
    query: rawQuery({ counts: [1, 0, 0, 0] }),
    expected: formerr,
  },
  {
    clause: "RFC 1035 §4.1.2",
    claim: "a question cut short is FORMERR",
    query: ask("hello.vm").slice(0, -1),
    expected: formerr,
  },
  {
    clause: "RFC 1035 §4.1.3",
    claim: "a record that is not there is FORMERR",
    query: rawQuery({ counts: [1, 0, 0, 1], questions: [q("hello.vm")] }),
    expected: formerrEchoed,
  },
  {
    clause: "RFC 1035 §4.1.3",
    claim: "a record longer than the message is FORMERR",
    query: rawQuery({ questions: [q("hello.vm")], additionals: [[0, ...u16(16), ...u16(1), 0, 0, 0, 0, ...u16(500)]] }),
    expected: formerrEchoed,
  },
  {
    clause: "RFC 1035 §4.1",
    claim: "octets after the last record are FORMERR",
    query: rawQuery({ questions: [q("hello.vm")], tail: [1, 2, 3] }),
    expected: formerrEchoed,
  },
  {
    clause: "RFC 1035 §4.1.1",
    claim: "a response is met with silence",
    query: rawQuery({ flags: 0x8100, questions: [q("hello.vm")] }),
    expected: "silence",
  },
  {
    clause: "RFC 1035 §4.1.1",
    claim: "eleven octets are met with silence",
    query: ask("hello.vm").slice(0, 11),
    expected: "silence",
  },
  { clause: "RFC 1035 §4.1.1", claim: "one octet is met with silence", query: Uint8Array.of(0), expected: "silence" },
  // EDNS
  {
    clause: "RFC 6891 §7",
    claim: "an OPT is answered with an OPT, of our size and nothing else",
    query: rawQuery({ questions: [q("hello.vm")], additionals: [opt()] }),
    expected: { ...address, counts: [1, 1, 0, 1], also: (answer) => expect(optOf(answer)).toEqual(plainOpt) },
  },
  {
    clause: "RFC 6891 §7",
    claim: "a denial has the OPT too",
    query: rawQuery({ questions: [q("nobody.vm")], additionals: [opt()] }),
    expected: { ...denied, counts: [1, 0, 1, 1], also: (answer) => expect(optOf(answer)).toEqual(plainOpt) },
  },
  {
    clause: "RFC 6891 §7",
    claim: "a refusal has the OPT too",
    query: rawQuery({ questions: [q("example.com")], additionals: [opt()] }),
    expected: { ...refused, counts: [1, 0, 0, 1] },
  },
  {
    clause: "RFC 6891 §6.1.3",
    claim: "a version above 0 is BADVERS with version 0 and nothing else",
    query: rawQuery({ questions: [q("hello.vm")], additionals: [opt({ version: 1 })] }),
    expected: {
      flags: QR | RD,
      rcode: 0,
      counts: [1, 0, 0, 1],
      also: (answer) => expect(optOf(answer)).toEqual([0, 0, 41, 4, 208, 1, 0, 0, 0, 0, 0]),
    },
  },
  {
    clause: "RFC 6891 §6.1.3",
    claim: "version 255 outside the zone is BADVERS too",
    query: rawQuery({ questions: [q("example.com")], additionals: [opt({ version: 255 })] }),
    expected: { flags: QR | RD, rcode: 0, counts: [1, 0, 0, 1] },
  },
  {
    clause: "RFC 6891 §6.1.2",
    claim: "unknown options are ignored and not echoed",
    query: rawQuery({
      questions: [q("hello.vm")],
      additionals: [opt({ options: [...u16(65001), ...u16(3), 1, 2, 3, ...u16(8), ...u16(4), 0, 0, 0, 0] })],
    }),
    expected: { ...address, counts: [1, 1, 0, 1], also: (answer) => expect(optOf(answer)).toEqual(plainOpt) },
  },
  {
    clause: "RFC 6891 §6.1.4",
    claim: "MBZ flags are not echoed",
    query: rawQuery({ questions: [q("hello.vm")], additionals: [opt({ flags: 0x7fff })] }),
    expected: { ...address, counts: [1, 1, 0, 1], also: (answer) => expect(optOf(answer)).toEqual(plainOpt) },
  },
  {
    clause: "RFC 3225 §3",
    claim: "DO is copied",
    query: rawQuery({ questions: [q("hello.vm")], additionals: [opt({ flags: 0x8000 })] }),
    expected: { ...address, counts: [1, 1, 0, 1], also: (answer) => expect(optOf(answer)[7]).toBe(0x80) },
  },
  {
    clause: "RFC 6891 §6.1.1",
    claim: "two OPTs are FORMERR",
    query: rawQuery({ questions: [q("hello.vm")], additionals: [opt(), opt()] }),
    expected: { ...formerr, counts: [1, 0, 0, 1] },
  },
  {
    clause: "RFC 6891 §6.1.2",
    claim: "an OPT of another owner than the root is FORMERR",
    query: rawQuery({ questions: [q("hello.vm")], additionals: [opt({ owner: wireName("vm") })] }),
    expected: { ...formerr, counts: [1, 0, 0, 1] },
  },
  {
    clause: "RFC 6891 §6.1.1",
    claim: "an OPT outside the additional section is FORMERR",
    query: rawQuery({ counts: [1, 1, 0, 0], questions: [q("hello.vm")], tail: opt() }),
    expected: { ...formerr, counts: [1, 0, 0, 1] },
  },
  {
    clause: "RFC 6891 §6.1.2",
    claim: "an option cut short is FORMERR",
    query: rawQuery({ questions: [q("hello.vm")], additionals: [opt({ options: [...u16(10), ...u16(9), 1] })] }),
    expected: { ...formerr, counts: [1, 0, 0, 1] },
  },
  {
    clause: "RFC 1035 §4.1.3",
    claim: "another record beside the question is ignored",
    query: rawQuery({
      questions: [q("hello.vm")],
      additionals: [[0, ...u16(250), ...u16(255), 0, 0, 0, 0, ...u16(2), 1, 2]],
    }),
    expected: address,
  },
];

describe("the name server", () => {
  let server: DnsServer;
  beforeAll(async () => {
    server = await serve();
  });
  afterAll(() => server.close());

  // A sentinel asked right after tells silence from slowness: the server answers in order.
  const sentinel = rawQuery({ id: 0xbeef, questions: [question("ns.vm")] });
  for (const [transport, send] of [
    ["UDP", askUdp],
    ["TCP", askTcp],
  ] as const) {
    for (const { clause, claim, query, expected } of rules) {
      test(`${clause} by ${transport}: ${claim}`, async () => {
        const received = await send(server.port, [query, sentinel], expected === "silence" ? 1 : 2);
        if (expected === "silence") return expect(headerOf(received[0]!).id).toBe(0xbeef);
        const answer = received.find((bytes) => headerOf(bytes).id === 0x1234)!;
        const header = headerOf(answer);
        expect(header.rcode).toBe(expected.rcode);
        expect(header.flags & 0xfff0).toBe(expected.flags);
        expect(header.counts).toEqual(expected.counts);
        decoded(answer);
        expected.also?.(answer, query);
      });
    }
  }

  const big = "many.vm";
  const sized = (payload: number) => rawQuery({ questions: [question(big)], additionals: [opt({ payload })] });
  const sizes: [string, string, Uint8Array, number][] = [
    ["RFC 1035 §4.2.1", "without EDNS a UDP answer over 512 octets is TC", ask(big), 512],
    ["RFC 6891 §6.2.3", "a payload under 512 is taken for 512", sized(10), 512],
    ["RFC 6891 §6.2.5", "no UDP answer is over 1232 octets, whatever the client takes", sized(65535), 1232],
  ];
  for (const [clause, claim, query, limit] of sizes) {
    test(`${clause}: ${claim}`, async () => {
      const [answer] = await askUdp(server.port, [query]);
      const { flags, counts } = headerOf(answer!);
      expect(flags & TC).toBe(TC);
      expect(counts.slice(0, 3)).toEqual([1, 0, 0]);
      expect(answer!.length).toBeLessThanOrEqual(limit);
      echoesQuestion(answer!, query);
    });
    test(`RFC 7766 §5: what was truncated comes whole by TCP (${limit})`, async () => {
      const [answer] = await askTcp(server.port, [query]);
      const { flags, counts } = headerOf(answer!);
      expect(flags & TC).toBe(0);
      expect(counts[1]).toBe(100);
    });
  }

  test("RFC 6891 §6.2.5: an answer between 512 and 1232 octets comes whole to who can take it", async () => {
    const some = await serve({
      current: (await import("./asking.ts")).zoneOf({
        hosts: [{ name: "many", addresses: Array.from({ length: 60 }, (_, at) => `10.77.6.${at}`) }],
      }),
    });
    const [whole] = await askUdp(some.port, [sized(1232)]);
    const [short] = await askUdp(some.port, [sized(900)]);
    await some.close();
    expect(headerOf(whole!).counts[1]).toBe(60);
    expect(headerOf(short!).flags & TC).toBe(TC);
  });

  test("in the guest view RA is set, the zone answers, and what must not leave is refused", async () => {
    const { zoneOf } = await import("./asking.ts");
    const guest = await serve({ current: zoneOf({ view: "guest" }) });
    const [own, out, transfer, chaos] = await askTcp(guest.port, [
      ask("hello.vm"),
      ask("example.com"),
      ask("example.com", TYPE.AXFR),
      rawQuery({ questions: [question("version.bind", TYPE.TXT, 3)] }),
    ]);
    await guest.close();
    expect(headerOf(own!).flags).toBe(0x8580);
    for (const answer of [out, transfer, chaos]) expect(headerOf(answer!).rcode).toBe(REFUSED);
  });
});
