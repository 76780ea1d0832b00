// Every rule of the name server, by the clause it comes from, over raw packets and both transports.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { DnsServer } from "../../src/dns/server.ts";
import { ask, askTcp, askUdp, headerOf, opt, question, rawQuery, serve, TYPE, zoneOf } from "./asking.ts";
import { removeBoardsAfterAll, waysOfUdp } from "./built-front.ts";
import { decoded, echoesQuestion, REFUSED, TC } from "./rules.ts";
import { messageRules } from "./rules-of-messages.ts";
import { nameRules } from "./rules-of-names.ts";
import { zoneRules } from "./rules-of-zone.ts";

removeBoardsAfterAll();

const rules = [...zoneRules, ...nameRules, ...messageRules];

describe.each(waysOfUdp)("the name server %s", (_how, options) => {
  let server: DnsServer;
  beforeAll(async () => {
    server = await serve(options());
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
        // What is remembered is what is said the second time.
        await send(server.port, [query, sentinel], expected === "silence" ? 1 : 2);
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
      current: zoneOf({
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
