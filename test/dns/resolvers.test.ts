// The host's resolvers as guests depend on them: slow, silent, hostile, changing or gone.
import { afterEach, describe, expect, test } from "bun:test";
import { mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { encode } from "dns-packet";
import { openForwarder } from "../../src/dns/forwarder.ts";
import type { DnsServer } from "../../src/dns/server.ts";
import { followUpstreams } from "../../src/dns/upstreams.ts";
import { ask, askTcp, askUdp, headerOf, opt, question, rawQuery, until } from "./asking.ts";
import {
  addressed,
  answering,
  type Behaviour,
  closeAll,
  guestServer,
  keep,
  lastOctet,
  patched,
  silent,
  upstream,
} from "./resolver.ts";

afterEach(closeAll);

describe("a resolver", () => {
  const quick = { attemptMs: 60, deadlineMs: 400 };
  const rcodeOf = async (server: DnsServer, send = askUdp) =>
    headerOf((await send(server.port, [ask("example.com")]))[0]!).rcode;

  test("that is silent is followed by the next", async () => {
    const [first, second] = [await upstream(silent), await upstream(answering)];
    const server = await guestServer({ upstreams: () => [first, second], attemptMs: 60, deadlineMs: 20_000 });
    expect([await rcodeOf(server), await rcodeOf(server, askTcp)]).toEqual([0, 0]);
  });

  test("that does not exist is followed by the next at once", async () => {
    const gone = await upstream(silent);
    gone.close();
    const second = await upstream(answering);
    const server = await guestServer({ upstreams: () => [gone, second], attemptMs: 60_000, deadlineMs: 70_000 });
    // Whoever waited for the first would wait longer than a test may.
    expect([await rcodeOf(server), await rcodeOf(server, askTcp)]).toEqual([0, 0]);
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
    const forwarder = keep(openForwarder({ upstreams: () => [slow, next], attemptMs: 50, deadlineMs: 20_000 }));
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
    expect(await rcodeOf(await guestServer({ upstreams: () => [mute], ...quick }))).toBe(2);
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
      const server = await guestServer({ upstreams: () => [liar], attemptMs: 10_000, deadlineMs: 20_000 });
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
