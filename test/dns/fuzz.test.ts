// Packets made of mistakes: the name server neither falls nor grows. BGR_FUZZ_PACKETS sets how many (default 200 000, at most 8 s).
import { describe, expect, test } from "bun:test";
import { parseQuery } from "../../src/core/dns-query.ts";
import { acceptForwarded, answerQuery } from "../../src/dns/answer.ts";
import { cacheAnswers } from "../../src/dns/answer-cache.ts";
import { ask, askUdp, headerOf, opt, question, rawQuery, serve, TYPE, zoneOf } from "./asking.ts";

const packets = Number(process.env.BGR_FUZZ_PACKETS ?? 200_000);
const budgetMs = process.env.BGR_FUZZ_PACKETS ? Number.POSITIVE_INFINITY : 8000;
const ENOUGH = 20_000;
const seed = Number(process.env.BGR_FUZZ_SEED ?? 20261122);

/** mulberry32: small, and the same packets for the same seed. */
const generator = (state: number) => () => {
  state = (state + 0x6d2b79f5) | 0;
  let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
  mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
  return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
};

/** CPU of this process so far, µs: unlike time, it does not pass while other processes run. */
const cpuUs = (): number => {
  const { user, system } = process.cpuUsage();
  return user + system;
};

const corpus: Uint8Array[] = [
  ask("hello.vm"),
  ask("x.wild.vm", TYPE.AAAA),
  ask("9.5.77.10.in-addr.arpa", TYPE.PTR),
  ask("many.vm"),
  ask("example.com", TYPE.ANY),
  rawQuery({
    questions: [question("hello.vm")],
    additionals: [opt({ options: [0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8] })],
  }),
  rawQuery({ questions: [question("hello.vm")], additionals: [opt(), opt({ version: 3 })] }),
  rawQuery({ questions: [question("a.b.c.d.e.f.g.h.i.j.k.vm"), question("vm", TYPE.SOA)] }),
  new Uint8Array(0),
];

const mutate = (random: () => number): Uint8Array => {
  const below = (limit: number) => Math.floor(random() * limit);
  const base = corpus[below(corpus.length)]!;
  const size = random() < 0.3 ? below(600) : base.length;
  const packet = new Uint8Array(size);
  if (random() < 0.1) for (let at = 0; at < size; at++) packet[at] = below(256);
  else packet.set(base.subarray(0, size));
  for (let changes = below(8); changes > 0 && size > 0; changes--) {
    // Lengths, pointers and counts are where readers go wrong.
    const value = random() < 0.5 ? [0, 1, 63, 64, 0xc0, 0xc1, 0xff, 12][below(8)]! : below(256);
    packet[below(size)] = value;
  }
  return packet;
};

describe(`fuzzing with seed ${seed}`, () => {
  test(
    "no packet throws, takes long, or makes memory grow",
    () => {
      const random = generator(seed);
      const zones = [zoneOf(), zoneOf({ view: "guest" })] as const;
      // As each listener has one.
      const answers = [cacheAnswers(answerQuery), cacheAnswers(answerQuery)] as const;
      const endMs = performance.now() + budgetMs;
      const kinds = { reply: 0, silence: 0, forward: 0 };
      let slowestMs = 0;
      let rssBefore = 0;
      let done = 0;
      for (; done < packets; done++) {
        // After a warm-up in which code is compiled and the heap finds its size.
        const isWarm = done >= packets / 4 || (done > ENOUGH / 4 && performance.now() > endMs - 0.75 * budgetMs);
        if (rssBefore === 0 && isWarm) {
          Bun.gc(true);
          rssBefore = process.memoryUsage().rss;
        }
        // A slow machine takes longer for what is enough, and then does no more.
        if (done > ENOUGH && performance.now() > endMs) break;
        const packet = mutate(random);
        const zone = zones[done & 1]!;
        const startedUs = cpuUs();
        const reply = answers[done & 1]!(zone, packet, done & 2 ? "udp" : "tcp");
        kinds[reply.kind]++;
        if (reply.kind === "reply" && headerOf(reply.bytes).id !== headerOf(packet).id)
          throw new Error(`id of ${packet}`);
        const parsed = parseQuery(ask("example.com"));
        // The same garbage as if a resolver had sent it.
        if (parsed.kind === "query" && packet.length >= 12) {
          acceptForwarded({ zone: zones[1], query: ask("example.com"), frame: parsed.frame, transport: "tcp" }, packet);
        }
        slowestMs = Math.max(slowestMs, (cpuUs() - startedUs) / 1000);
      }
      expect(rssBefore).toBeGreaterThan(0);
      expect(Math.min(kinds.reply, kinds.silence, kinds.forward)).toBeGreaterThan(0);
      // A collection may fall into any of them; a reader that ran away would take seconds.
      expect(slowestMs).toBeLessThan(500);
      Bun.gc(true);
      expect(process.memoryUsage().rss - rssBefore).toBeLessThan(32 * 2 ** 20);
    },
    budgetMs === Number.POSITIVE_INFINITY ? 600_000 : 120_000,
  );

  test("a server that was sent 20 000 of them by UDP and TCP answers on", async () => {
    const random = generator(seed + 1);
    const server = await serve();
    const noise = await Bun.udpSocket({
      connect: { hostname: "127.0.0.1", port: server.port },
      socket: { data: () => {}, error: () => {} },
    });
    for (let round = 0; round < 100; round++) {
      for (let count = 0; count < 100; count++) noise.send(mutate(random));
      const socket = await Bun.connect({ hostname: "127.0.0.1", port: server.port, socket: { data: () => {} } });
      // Unframed: lengths are whatever the octets say.
      for (let count = 0; count < 100; count++) socket.write(mutate(random));
      socket.end();
      expect(headerOf((await askUdp(server.port, [ask("hello.vm")]))[0]!).rcode).toBe(0);
    }
    noise.close();
    expect(server.stats().udpQueries).toBeGreaterThan(1000);
    await server.close();
  }, 120_000);
});
