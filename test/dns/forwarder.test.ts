// The way out for guests: resolvers that are slow, silent, hostile, changing or gone.
import { afterEach, describe, expect, test } from "bun:test";
import { mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { encode } from "dns-packet";
import { type ForwarderOptions, isAnswerTo, openForwarder } from "../../src/dns/forwarder.ts";
import type { DnsServer } from "../../src/dns/server.ts";
import { framed } from "../../src/dns/tcp-listener.ts";
import { followUpstreams } from "../../src/dns/upstreams.ts";
import { ask, askTcp, askUdp, connectTcp, headerOf, opt, question, rawQuery, serve, until, zoneOf } from "./asking.ts";

const open: { close(): unknown }[] = [];
const keep = <Thing extends { close(): unknown }>(thing: Thing): Thing => {
  open.push(thing);
  return thing;
};
afterEach(async () => {
  for (const thing of open.splice(0).reverse()) await thing.close();
});

/** What a resolver of the test does with a query: messages to send back, at once. */
type Behaviour = (query: Uint8Array, from: { port: number; transport: "udp" | "tcp" }) => Uint8Array[];

const upstream = async (behave: Behaviour) => {
  const seen: { query: Uint8Array; port: number; transport: "udp" | "tcp" }[] = [];
  const udp = await Bun.udpSocket({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      data: (socket, bytes, port, address) => {
        const query = new Uint8Array(bytes);
        seen.push({ query, port, transport: "udp" });
        for (const answer of behave(query, { port, transport: "udp" })) socket.send(answer, port, address);
      },
      error: () => {},
    },
  });
  const tcp = Bun.listen({
    hostname: "127.0.0.1",
    port: udp.port,
    socket: {
      data: (socket, bytes) => {
        const query = new Uint8Array(bytes.subarray(2));
        seen.push({ query, port: socket.remotePort, transport: "tcp" });
        for (const answer of behave(query, { port: socket.remotePort, transport: "tcp" })) socket.write(framed(answer));
      },
    },
  });
  const close = () => {
    if (!udp.closed) udp.close();
    tcp.stop(true);
  };
  const sendLate = (answer: Uint8Array, port: number) => udp.send(answer, port, "127.0.0.1");
  return keep({ address: "127.0.0.1", port: udp.port, seen, sendLate, close });
};

const guestServer = async (options: ForwarderOptions): Promise<DnsServer> => {
  const forwarder = keep(openForwarder(options));
  return keep(await serve({ current: zoneOf({ view: "guest" }), forwarder }));
};

const patched = (query: Uint8Array, flags: number, change: (bytes: Uint8Array) => void = () => {}): Uint8Array => {
  const answer = query.slice();
  answer[2] = flags >> 8;
  answer[3] = flags & 0xff;
  change(answer);
  return answer;
};

/** The query's header and question with one A record. */
const addressed = (query: Uint8Array, address = [192, 0, 2, 7]): Uint8Array => {
  let end = 12;
  while (query[end]) end += 1 + query[end]!;
  const record = [0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, ...address];
  return patched(Uint8Array.from([...query.slice(0, end + 5), ...record]), 0x8180, (bytes) =>
    bytes.set([0, 1, 0, 1, 0, 0, 0, 0], 4),
  );
};
const answering: Behaviour = (query) => [addressed(query)];
const silent: Behaviour = () => [];
const lastOctet = (answer: Uint8Array) => answer[answer.length - 1];

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
    const server = await guestServer({ upstreams: () => [resolver], deadlineMs: 300 });
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

describe("a resolver", () => {
  const quick = { attemptMs: 60, deadlineMs: 400 };
  const rcodeOf = async (server: DnsServer, send = askUdp) =>
    headerOf((await send(server.port, [ask("example.com")]))[0]!).rcode;

  test("that is silent is followed by the next", async () => {
    const [first, second] = [await upstream(silent), await upstream(answering)];
    const server = await guestServer({ upstreams: () => [first, second], ...quick });
    expect([await rcodeOf(server), await rcodeOf(server, askTcp)]).toEqual([0, 0]);
  });

  test("that does not exist is followed by the next at once", async () => {
    const gone = await upstream(silent);
    gone.close();
    const second = await upstream(answering);
    const server = await guestServer({ upstreams: () => [gone, second], attemptMs: 4000, deadlineMs: 4500 });
    const startedMs = performance.now();
    expect([await rcodeOf(server), await rcodeOf(server, askTcp)]).toEqual([0, 0]);
    expect(performance.now() - startedMs).toBeLessThan(2000);
  });

  test("that says SERVFAIL or REFUSED is followed by the next, and is believed when it is the last", async () => {
    const [servfail, refused, good] = [
      await upstream((query) => [patched(query, 0x8182)]),
      await upstream((query) => [patched(query, 0x8185)]),
      await upstream(answering),
    ];
    expect(await rcodeOf(await guestServer({ upstreams: () => [servfail, refused, good] }))).toBe(0);
    expect(await rcodeOf(await guestServer({ upstreams: () => [refused] }))).toBe(5);
  });

  test("that says NXDOMAIN is believed at once", async () => {
    const [first, second] = [await upstream((query) => [patched(query, 0x8183)]), await upstream(answering)];
    expect(await rcodeOf(await guestServer({ upstreams: () => [first, second] }))).toBe(3);
    expect(second.seen).toHaveLength(0);
  });

  test("that is slow is still heard after the next was asked", async () => {
    const slow = await upstream(silent);
    const next = await upstream(silent);
    const forwarder = keep(openForwarder({ upstreams: () => [slow, next], attemptMs: 50, deadlineMs: 3000 }));
    const answered = forwarder.ask({ query: ask("example.com"), transport: "udp", client: "g" });
    await until(() => next.seen.length === 1);
    const { query, port } = slow.seen[0]!;
    slow.sendLate(addressed(query), port);
    expect(lastOctet((await answered)!)).toBe(7);
  });

  test("that gives nothing makes SERVFAIL with the client's question and EDNS, within the deadline", async () => {
    const server = await guestServer({ upstreams: () => [], ...quick });
    const query = rawQuery({ questions: [question("ExAmple.com")], additionals: [opt()] });
    const [answer] = await askUdp(server.port, [query]);
    expect(headerOf(answer!)).toMatchObject({ id: 0x1234, rcode: 2, counts: [1, 0, 0, 1] });
    const mute = await upstream(silent);
    const startedMs = performance.now();
    expect(await rcodeOf(await guestServer({ upstreams: () => [mute], ...quick }))).toBe(2);
    expect(performance.now() - startedMs).toBeLessThan(2000);
  });

  const lies: [string, Behaviour][] = [
    ["with another id", (query) => [patched(addressed(query, [6, 6, 6, 6]), 0x8180, (bytes) => (bytes[0]! ^= 0xff))]],
    ["to another name", (query) => [patched(addressed(query, [6, 6, 6, 6]), 0x8180, (bytes) => (bytes[13] = 0x7a))]],
    ["to another type", (query) => [patched(addressed(query, [6, 6, 6, 6]), 0x8180, (bytes) => (bytes[26] = 28))]],
    ["to another class", (query) => [patched(addressed(query, [6, 6, 6, 6]), 0x8180, (bytes) => (bytes[28] = 3))]],
    ["that is a query", (query) => [query]],
    ["of another opcode", (query) => [patched(addressed(query, [6, 6, 6, 6]), 0xa180)]],
    ["that is garbage", () => [Uint8Array.of(1, 2, 3), new Uint8Array(600).fill(0xff), new Uint8Array(0)]],
    ["that ends in its question", (query) => [patched(query.slice(0, 20), 0x8180)]],
  ];
  for (const [what, lie] of lies) {
    test(`that sends an answer ${what} is waited on until the true one comes`, async () => {
      const liar = await upstream((query, from) => [...lie(query, from), addressed(query)]);
      const server = await guestServer({ upstreams: () => [liar], attemptMs: 1000, deadlineMs: 2000 });
      const [answer] = await askUdp(server.port, [ask("example.com")]);
      expect(lastOctet(answer!)).toBe(7);
    });
    test(`that sends only an answer ${what} makes SERVFAIL, by UDP and by TCP`, async () => {
      const liar = await upstream(lie);
      const server = await guestServer({ upstreams: () => [liar], ...quick });
      expect([await rcodeOf(server), await rcodeOf(server, askTcp)]).toEqual([2, 2]);
    });
  }

  test("that answers too late harms nobody", async () => {
    const mute = await upstream(silent);
    const server = await guestServer({ upstreams: () => [mute], attemptMs: 50, deadlineMs: 100 });
    expect(await rcodeOf(server)).toBe(2);
    const late = await Bun.udpSocket({ hostname: "127.0.0.1", port: 0, socket: { data: () => {}, error: () => {} } });
    // Nobody listens there any more: the first send may learn of it for the second.
    for (const { query, port } of mute.seen)
      expect(() => late.send(addressed(query), port, "127.0.0.1")).not.toThrow(TypeError);
    late.close();
    expect(headerOf((await askUdp(server.port, [ask("hello.vm")]))[0]!).rcode).toBe(0);
  });

  const planted =
    (owner: string): Behaviour =>
    (query) => {
      const name = "example.com";
      const answers = [
        { type: "CNAME" as const, name, ttl: 60, data: owner },
        { type: "A" as const, name: owner, ttl: 60, data: "6.6.6.6" },
      ];
      return [
        new Uint8Array(encode({ type: "response", id: headerOf(query).id, questions: [{ name, type: "A" }], answers })),
      ];
    };
  test("cannot plant an address for one of our names beside another's", async () => {
    for (const owner of ["hello.vm", "HELLO.VM", "new.vm", "9.5.77.10.in-addr.arpa"]) {
      const liar = await upstream(planted(owner));
      expect(await rcodeOf(await guestServer({ upstreams: () => [liar], ...quick }))).toBe(2);
    }
    const honest = await upstream(planted("www.example.net"));
    expect(await rcodeOf(await guestServer({ upstreams: () => [honest] }))).toBe(0);
  });

  test("whose records make no sense makes SERVFAIL", async () => {
    const odd = await upstream((query) => [patched(addressed(query), 0x8180, (bytes) => (bytes[7] = 200))]);
    expect(await rcodeOf(await guestServer({ upstreams: () => [odd], ...quick }))).toBe(2);
    const looped = await upstream((query) => {
      const answer = addressed(query);
      answer.set([0xc0, answer.length - 16], answer.length - 16);
      return [answer];
    });
    expect(await rcodeOf(await guestServer({ upstreams: () => [looped], ...quick }))).toBe(2);
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

describe("the host's choice of resolvers", () => {
  const directory = () => {
    const path = mkdtempSync(join(tmpdir(), "bgr-dns-"));
    keep({ close: () => rmSync(path, { recursive: true }) });
    return path;
  };
  const addresses = (upstreams: readonly { address: string }[]) => upstreams.map(({ address }) => address);

  test("is followed when the file is rewritten, replaced, or its link moves, and kept while it is gone", () => {
    const path = join(directory(), "resolv.conf");
    writeFileSync(path, "nameserver 192.0.2.1\n");
    const upstreams = followUpstreams(path);
    expect(addresses(upstreams())).toEqual(["192.0.2.1"]);
    writeFileSync(path, "nameserver 192.0.2.22\n");
    expect(addresses(upstreams())).toEqual(["192.0.2.22"]);
    writeFileSync(`${path}.new`, "# VPN up\nnameserver 10.8.0.1\nnameserver 192.0.2.2\n");
    renameSync(`${path}.new`, path);
    expect(addresses(upstreams())).toEqual(["10.8.0.1", "192.0.2.2"]);
    rmSync(path);
    expect(addresses(upstreams())).toEqual(["10.8.0.1", "192.0.2.2"]);
    writeFileSync(`${path}.target`, "nameserver 127.0.0.53\noptions edns0 trust-ad\nsearch lan\n");
    symlinkSync(`${path}.target`, path);
    expect(addresses(upstreams())).toEqual(["127.0.0.53"]);
    writeFileSync(`${path}.target`, "nameserver 2001:db8::53\n");
    expect(addresses(upstreams())).toEqual(["2001:db8::53"]);
  });

  test("changes which resolver the next query goes to", async () => {
    const [before, after] = [
      await upstream((query) => [addressed(query, [1, 1, 1, 1])]),
      await upstream((query) => [addressed(query, [2, 2, 2, 2])]),
    ];
    let current = before;
    const server = await guestServer({ upstreams: () => [current] });
    expect(lastOctet((await askUdp(server.port, [ask("example.com")]))[0]!)).toBe(1);
    current = after;
    expect(lastOctet((await askUdp(server.port, [ask("example.com")]))[0]!)).toBe(2);
  });
});
