// The way out for guests: what is forwarded and what never is, and how much at once.
import { afterEach, describe, expect, test } from "bun:test";
import { encode } from "dns-packet";
import { isAnswerTo, openForwarder } from "../../src/dns/forwarder.ts";
import { framed } from "../../src/dns/tcp-listener.ts";
import { ask, askTcp, askUdp, connectTcp, headerOf, opt, question, rawQuery, serve, until } from "./asking.ts";
import { addressed, answering, closeAll, guestServer, keep, lastOctet, patched, silent, upstream } from "./resolver.ts";

afterEach(closeAll);

describe("a guest's query for a name outside", () => {
  test("is answered by UDP and TCP with the resolver's answer, its own id and its own case", async () => {
    const resolver = await upstream((query) => {
      const answer = addressed(query);
      // A resolver that writes all names in lower case.
      for (let at = 12; at < answer.length - 20; at++) if (answer[at]! >= 65 && answer[at]! <= 90) answer[at]! += 32;
      return [answer];
    });
    const server = await guestServer({ upstreams: () => [resolver] });
    for (const send of [askUdp, askTcp]) {
      const query = rawQuery({ id: 0x4242, questions: [question("ExAmPlE.com")] });
      const [answer] = await send(server.port, [query]);
      expect(headerOf(answer!)).toMatchObject({ id: 0x4242, rcode: 0, counts: [1, 1, 0, 0] });
      expect([...answer!.slice(12, query.length)]).toEqual([...query.slice(12)]);
      expect(lastOctet(answer!)).toBe(7);
    }
    expect(resolver.seen.map(({ transport }) => transport)).toEqual(["udp", "tcp"]);
    expect(server.stats()).toMatchObject({ forwarded: 2, forwardFailed: 0 });
  });

  test("goes out with a fresh id and source port each time (RFC 5452 §9.2)", async () => {
    const resolver = await upstream(answering);
    const server = await guestServer({ upstreams: () => [resolver] });
    const queries = Array.from({ length: 100 }, () => rawQuery({ id: 1, questions: [question("example.com")] }));
    await askUdp(server.port, queries);
    // 100 draws of 65536: under 90 different ones does not happen.
    expect(new Set(resolver.seen.map(({ query }) => headerOf(query).id)).size).toBeGreaterThan(90);
    expect(new Set(resolver.seen.map(({ port }) => port)).size).toBeGreaterThan(90);
  });

  test("keeps its EDNS, and its opcode, type and flags, on the way (RFC 5625 §4)", async () => {
    const resolver = await upstream(answering);
    const server = await guestServer({ upstreams: () => [resolver] });
    const query = rawQuery({
      flags: 0x0130,
      questions: [question("example.com", 65)],
      additionals: [opt({ flags: 0x8000 })],
    });
    await askUdp(server.port, [query]);
    expect([...resolver.seen[0]!.query.slice(2)]).toEqual([...query.slice(2)]);
  });

  test("of our zone never leaves, whether the name is there or not", async () => {
    const resolver = await upstream(answering);
    const server = await guestServer({ upstreams: () => [resolver] });
    const names = ["hello.vm", "nobody.vm", "vm", "x.hello.vm", "99.5.77.10.in-addr.arpa", "NOBODY.VM"];
    const answers = await askTcp(
      server.port,
      names.map((name) => ask(name)),
    );
    expect(answers.map((answer) => headerOf(answer).rcode)).toEqual([0, 3, 0, 3, 3, 3]);
    expect(resolver.seen).toHaveLength(0);
  });

  test("on loopback is refused and never leaves", async () => {
    const resolver = await upstream(answering);
    const forwarder = keep(openForwarder({ upstreams: () => [resolver] }));
    const server = keep(await serve({ forwarder }));
    for (const send of [askUdp, askTcp]) {
      const [answer] = await send(server.port, [ask("example.com")]);
      expect(headerOf(answer!).rcode).toBe(5);
    }
    expect(resolver.seen).toHaveLength(0);
  });

  test("does not hold up names that we know ourselves (RFC 7766 §7)", async () => {
    const resolver = await upstream(silent);
    const server = await guestServer({ upstreams: () => [resolver], deadlineMs: 2000 });
    const client = keep(await connectTcp(server.port));
    client.write(framed(rawQuery({ id: 1, questions: [question("slow.example")] })));
    client.write(framed(rawQuery({ id: 2, questions: [question("hello.vm")] })));
    const [first] = await client.take(1);
    expect(headerOf(first!)).toMatchObject({ id: 2, rcode: 0 });
    const [second] = await client.take(1);
    expect(headerOf(second!)).toMatchObject({ id: 1, rcode: 2 });
  });

  test("by TCP with half-close waits for the answer before FIN", async () => {
    const resolver = await upstream(answering);
    const server = await guestServer({ upstreams: () => [resolver] });
    const client = keep(await connectTcp(server.port));
    client.write(framed(ask("example.com")));
    client.halfClose();
    expect(headerOf((await client.take(1))[0]!).rcode).toBe(0);
    await client.ended;
  });

  test("gets TC by UDP when the answer is larger than it can take, and the whole by TCP", async () => {
    const resolver = await upstream((query) => {
      const name = "example.com";
      const data = Array.from({ length: 80 }, (_, index) => `192.0.2.${index}`);
      const answers = data.map((address) => ({ type: "A" as const, name, ttl: 1, data: address }));
      return [
        new Uint8Array(encode({ type: "response", id: headerOf(query).id, questions: [{ name, type: "A" }], answers })),
      ];
    });
    const server = await guestServer({ upstreams: () => [resolver] });
    const [short] = await askUdp(server.port, [ask("example.com")]);
    expect(headerOf(short!).flags & 0x0600).toBe(0x0200);
    expect(headerOf(short!).counts).toEqual([1, 0, 0, 0]);
    const [whole] = await askTcp(server.port, [ask("example.com")]);
    expect(headerOf(whole!).counts[1]).toBe(80);
  });

  test("passes a truncated answer's TC on", async () => {
    const resolver = await upstream((query) => [patched(query, 0x8380)]);
    const server = await guestServer({ upstreams: () => [resolver] });
    const [answer] = await askUdp(server.port, [ask("example.com")]);
    expect(headerOf(answer!).flags & 0x0200).toBe(0x0200);
  });
});

describe("the work for guests is bounded", () => {
  test("all together and of each one, and nothing stays behind", async () => {
    const mute = await upstream(silent);
    const forwarder = keep(
      openForwarder({
        upstreams: () => [mute],
        maxInFlight: 20,
        maxInFlightPerClient: 15,
        attemptMs: 100,
        deadlineMs: 150,
      }),
    );
    const asks = (client: string, count: number) =>
      Array.from({ length: count }, () => forwarder.ask({ query: ask("example.com"), transport: "udp", client }));
    const wild = asks("10.0.0.2", 50);
    expect(forwarder.stats().inFlight).toBe(15);
    const other = asks("10.0.0.3", 10);
    expect(forwarder.stats()).toMatchObject({ inFlight: 20, rejected: 40 });
    expect(new Set(await Promise.all([...wild, ...other]))).toEqual(new Set([null]));
    expect(forwarder.stats().inFlight).toBe(0);
    const again = asks("10.0.0.2", 15);
    expect(forwarder.stats().inFlight).toBe(15);
    forwarder.close();
    expect(new Set(await Promise.all(again))).toEqual(new Set([null]));
  });

  test("sockets are given back: 3000 queries leave no descriptor open", async () => {
    const { readdirSync } = await import("node:fs");
    const resolver = await upstream(answering);
    const forwarder = keep(openForwarder({ upstreams: () => [resolver] }));
    const before = readdirSync("/proc/self/fd").length;
    for (let round = 0; round < 30; round++) {
      const transport = round % 2 ? "tcp" : "udp";
      const batch = Array.from({ length: 100 }, () =>
        forwarder.ask({ query: ask("example.com"), transport, client: "g" }),
      );
      expect((await Promise.all(batch)).every((answer) => answer !== null)).toBe(true);
    }
    await until(() => readdirSync("/proc/self/fd").length <= before + 2);
  });
});

test("an answer is matched by id and question, case aside (RFC 5452 §9.1)", () => {
  const query = ask("Example.com");
  expect(isAnswerTo(query, addressed(query))).toBe(true);
  expect(isAnswerTo(ask("example.com"), addressed(query))).toBe(true);
  expect(isAnswerTo(ask("example.org"), addressed(query))).toBe(false);
});
