// Answers from memory are those that would be worked out: for any query, any id, any transport, and after every change of the zone.
import { expect, test } from "bun:test";
import fc from "fast-check";
import { answerQuery } from "../../src/dns/answer.ts";
import { cacheAnswers } from "../../src/dns/answer-cache.ts";
import { ask, opt, question, rawQuery, TYPE, zoneOf } from "./asking.ts";

const names = [
  "hello.vm",
  "HeLLo.vm",
  "x.wild.vm",
  "many.vm",
  "none.vm",
  "tree.vm",
  "vm",
  "www.example",
  "9.5.77.10.in-addr.arpa",
];
const query = fc.oneof(
  fc
    .record({
      id: fc.nat(0xffff),
      flags: fc.constantFrom(0, 0x0100, 0x2800, 0x8000, 0x0130),
      name: fc.constantFrom(...names),
      type: fc.constantFrom(...Object.values(TYPE)),
      edns: fc.constantFrom(null, 512, 1232, 4096),
    })
    .map(({ id, flags, name, type, edns }) =>
      rawQuery({ id, flags, questions: [question(name, type)], additionals: edns ? [opt({ payload: edns })] : [] }),
    ),
  fc.uint8Array({ maxLength: 160 }),
);

test("are the same octets as without, twice in a row and in any order", () => {
  const zones = [zoneOf(), zoneOf({ view: "guest" }), zoneOf({ serial: 8, hosts: [] })];
  const cached = cacheAnswers(answerQuery);
  fc.assert(
    fc.property(
      fc.array(query, { minLength: 1, maxLength: 20 }),
      fc.nat(2),
      fc.constantFrom("udp", "tcp"),
      (all, which, transport) => {
        const zone = zones[which]!;
        for (const one of [...all, ...all]) {
          expect(cached(zone, one, transport)).toEqual(answerQuery(zone, one, transport));
        }
      },
    ),
    { numRuns: 300 },
  );
});

test("a change of the zone is in the very next answer, also when the zone of before comes again", () => {
  const cached = cacheAnswers(answerQuery);
  const [before, after] = [zoneOf(), zoneOf({ serial: 8, hosts: [{ name: "hello", addresses: ["10.77.5.200"] }] })];
  for (const zone of [before, before, after, after, before])
    expect(cached(zone, ask("hello.vm"), "udp")).toEqual(answerQuery(zone, ask("hello.vm"), "udp"));
});

test("what a caller does with an answer's octets changes no later answer", () => {
  const cached = cacheAnswers(answerQuery);
  const zone = zoneOf();
  for (let times = 0; times < 3; times++) {
    const reply = cached(zone, ask("hello.vm"), "udp");
    expect(reply).toEqual(answerQuery(zone, ask("hello.vm"), "udp"));
    if (reply.kind === "reply") reply.bytes.fill(0xff);
  }
});
