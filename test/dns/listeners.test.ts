// The sockets of the name server: ports taken and given back, and TCP clients that pipeline, half-close, stall, idle and crowd.
import { afterEach, describe, expect, test } from "bun:test";
import type { DnsServer } from "../../src/dns/server.ts";
import { framed } from "../../src/dns/tcp-listener.ts";
import {
  ask,
  askTcp,
  askUdp,
  connectTcp,
  headerOf,
  question,
  rawQuery,
  serve,
  TYPE,
  until,
  within,
  zoneOf,
} from "./asking.ts";
import { removeBoardsAfterAll, waysOfUdp } from "./built-front.ts";

removeBoardsAfterAll();

const open: { close(): unknown }[] = [];
const keep = <Thing extends { close(): unknown }>(thing: Thing): Thing => {
  open.push(thing);
  return thing;
};
afterEach(async () => {
  for (const thing of open.splice(0)) await thing.close();
});

const holdTcp = (port = 0) => {
  const listener = Bun.listen({ hostname: "127.0.0.1", port, socket: { data: () => {} } });
  return keep({ port: listener.port, close: () => listener.stop(true) });
};
const holdUdp = async (port = 0) => {
  const socket = await Bun.udpSocket({ hostname: "127.0.0.1", port, socket: { data: () => {} } });
  return keep({ port: socket.port, close: () => socket.closed || socket.close() });
};
const answersByUdp = async (server: DnsServer) => headerOf((await askUdp(server.port, [ask("hello.vm")]))[0]!).rcode;
const answersByTcp = async (server: DnsServer) => headerOf((await askTcp(server.port, [ask("hello.vm")]))[0]!).rcode;

describe.each(waysOfUdp)("a server that answers UDP %s", (_how, way) => {
  describe("a port that is taken", () => {
    test("for TCP leaves UDP working, is reported, and is taken once it is free", async () => {
      const holder = holdTcp();
      const said: string[] = [];
      const options = {
        listen: { host: "127.0.0.1", port: holder.port },
        retryMs: 20,
        log: (line: string) => said.push(line),
      };
      const server = keep(await serve({ ...way(), ...options }));
      expect([server.udpError, server.tcpError, server.port]).toEqual([null, "EADDRINUSE", holder.port]);
      expect(await answersByUdp(server)).toBe(0);
      expect(said.join()).toContain("without TCP (EADDRINUSE)");
      holder.close();
      await until(() => server.tcpError === null);
      expect(await answersByTcp(server)).toBe(0);
      expect(said).toHaveLength(2);
    });

    test("for UDP leaves TCP working, is reported, and is taken once it is free", async () => {
      const holder = await holdUdp();
      const server = keep(await serve({ ...way(), listen: { host: "127.0.0.1", port: holder.port }, retryMs: 20 }));
      expect([server.udpError, server.tcpError, server.port]).toEqual(["EADDRINUSE", null, holder.port]);
      expect(await answersByTcp(server)).toBe(0);
      holder.close();
      await until(() => server.udpError === null);
      expect(await answersByUdp(server)).toBe(0);
    });

    test("for both without a fallback leaves a server that waits", async () => {
      const udp = await holdUdp();
      const tcp = holdTcp(udp.port);
      let changes = 0;
      const server = keep(
        await serve({
          ...way(),
          listen: { host: "127.0.0.1", port: udp.port },
          retryMs: 20,
          onChange: () => changes++,
        }),
      );
      expect([server.port, server.udpError, server.tcpError]).toEqual([0, "EADDRINUSE", "EADDRINUSE"]);
      udp.close();
      tcp.close();
      await until(() => server.udpError === null && server.tcpError === null);
      expect(server.port).toBe(udp.port);
      expect(changes).toBeGreaterThanOrEqual(2);
    });

    test("by a first server sends the second elsewhere, which comes home when the first is gone", async () => {
      const first = await serve(way());
      const listen = { host: "127.0.0.1", port: first.port, fallbackPort: 0 };
      const second = keep(await serve({ ...way(), listen, retryMs: 20 }));
      expect(second.isOnFallback).toBe(true);
      expect(second.port).not.toBe(first.port);
      expect([second.udpError, second.tcpError]).toEqual([null, null]);
      expect([await answersByUdp(second), await answersByTcp(second)]).toEqual([0, 0]);
      const home = first.port;
      await first.close();
      await until(() => second.port === home);
      expect(second.isOnFallback).toBe(false);
      expect([await answersByUdp(second), await answersByTcp(second)]).toEqual([0, 0]);
    });
  });

  test("an address that the host does not have yet is waited for", async () => {
    // TEST-NET-1 (RFC 5737) is on no host.
    const server = keep(
      await serve({ ...way(), listen: { host: "192.0.2.1", port: 0, fallbackPort: 0 }, retryMs: 20 }),
    );
    expect([server.port, server.udpError, server.tcpError]).toEqual([0, "EADDRNOTAVAIL", "EADDRNOTAVAIL"]);
    await server.retry();
    expect(server.udpError).toBe("EADDRNOTAVAIL");
  });

  test("port 0 is one port for UDP and TCP, and close frees both", async () => {
    const server = await serve(way());
    expect([await answersByUdp(server), await answersByTcp(server)]).toEqual([0, 0]);
    await server.close();
    holdTcp(server.port);
    await holdUdp(server.port);
  });

  test("a change of records is in the very next answer", async () => {
    let zone = zoneOf({ hosts: [] });
    const server = keep(await serve({ ...way(), zone: () => zone }));
    expect(await answersByUdp(server)).toBe(3);
    zone = zoneOf();
    server.zoneChanged();
    expect(await answersByUdp(server)).toBe(0);
    zone = zoneOf({ hosts: [] });
    server.zoneChanged();
    expect(await answersByTcp(server)).toBe(3);
  });

  test("UDP clients that are gone before their answers cost the others nothing", async () => {
    const server = keep(await serve(way()));
    for (let round = 0; round < 50; round++) {
      const gone = await Bun.udpSocket({
        connect: { hostname: "127.0.0.1", port: server.port },
        socket: { data: () => {} },
      });
      for (let count = 0; count < 5; count++) gone.send(ask("hello.vm"));
      gone.close();
      expect(await answersByUdp(server)).toBe(0);
    }
    expect(server.stats()).toMatchObject({ udpQueries: 300, dropped: 0 });
  });

  test("what passes is counted", async () => {
    const server = keep(await serve(way()));
    await askUdp(server.port, [Uint8Array.of(1), ask("hello.vm"), ask("nobody.vm"), ask("example.com")], 3);
    await askTcp(server.port, [ask("hello.vm")]);
    const stats = server.stats();
    expect(stats).toMatchObject({ udpQueries: 4, tcpQueries: 1, silenced: 1, rcodes: { 0: 2, 3: 1, 5: 1 } });
  });
});

describe("a TCP client", () => {
  const numbered = (count: number) =>
    Array.from({ length: count }, (_, id) => rawQuery({ id, questions: [question("hello.vm")] }));
  const glued = (queries: readonly Uint8Array[]) => Buffer.concat(queries.map(framed));

  test("that pipelines 500 queries in one write gets 500 answers in order (RFC 7766 §6.2.1.1)", async () => {
    const server = keep(await serve());
    const client = keep(await connectTcp(server.port));
    client.write(glued(numbered(500)));
    const ids = (await client.take(500)).map((answer) => headerOf(answer).id);
    expect(ids).toEqual(Array.from({ length: 500 }, (_, id) => id));
  });

  test("that writes octet by octet is answered (RFC 7766 §8)", async () => {
    const server = keep(await serve());
    const client = keep(await connectTcp(server.port));
    for (const octet of framed(ask("hello.vm"))) {
      client.write(Uint8Array.of(octet));
      await Bun.sleep(0);
    }
    expect(headerOf((await client.take(1))[0]!).rcode).toBe(0);
  });

  test("that closes its side is answered first and then gets FIN", async () => {
    const server = keep(await serve());
    const client = keep(await connectTcp(server.port));
    client.write(glued(numbered(300)));
    client.halfClose();
    expect(await client.take(300)).toHaveLength(300);
    await within(client.ended);
    await until(() => server.stats().tcpConnections === 0);
  });

  test("that closes its side in the middle of a query gets FIN", async () => {
    const server = keep(await serve());
    const client = keep(await connectTcp(server.port));
    client.write(framed(ask("hello.vm")).slice(0, 10));
    client.halfClose();
    await within(client.ended);
  });

  test("that sends the largest message there is gets an answer and may go on", async () => {
    const server = keep(await serve());
    const client = keep(await connectTcp(server.port));
    const huge = new Uint8Array(65535);
    huge.set(ask("hello.vm"));
    client.write(framed(huge));
    expect(headerOf((await client.take(1))[0]!).rcode).toBe(1);
    client.write(framed(ask("hello.vm")));
    expect(headerOf((await client.take(1))[0]!).rcode).toBe(0);
  });

  test("that says nothing, or never ends its query, is closed after the idle time", async () => {
    const server = keep(await serve({ tcpLimits: { idleMs: 100 } }));
    const quiet = keep(await connectTcp(server.port));
    const slow = keep(await connectTcp(server.port));
    slow.write(Uint8Array.of(0, 40));
    // An octet now and then is no query: the time runs on.
    const drip = setInterval(() => slow.write(Uint8Array.of(0)), 40);
    try {
      await within(Promise.all([quiet.ended, slow.ended]));
    } finally {
      clearInterval(drip);
    }
    expect(server.stats().tcpConnections).toBe(0);
  });

  test("that keeps asking is not closed", async () => {
    const server = keep(await serve({ tcpLimits: { idleMs: 3000 } }));
    const client = keep(await connectTcp(server.port));
    const endMs = performance.now() + 4000;
    while (performance.now() < endMs) {
      client.write(framed(ask("hello.vm")));
      await client.take(1);
      await Bun.sleep(30);
    }
    expect(server.stats().tcpConnections).toBe(1);
  });

  test("too many of one address cost that address its idlest connection", async () => {
    const server = keep(await serve({ tcpLimits: { maxPerClient: 5 } }));
    const clients = [];
    for (let index = 0; index < 5; index++) {
      clients.push(keep(await connectTcp(server.port)));
      await until(() => server.stats().tcpConnections === index + 1);
    }
    clients[0]!.write(framed(ask("hello.vm")));
    await clients[0]!.take(1);
    const another = keep(await connectTcp(server.port));
    await within(clients[1]!.ended);
    for (const client of [clients[0]!, another]) {
      client.write(framed(ask("hello.vm")));
      expect(await client.take(1)).toHaveLength(1);
    }
    expect(server.stats()).toMatchObject({ tcpConnections: 5, tcpEvicted: 1 });
  });

  test("that asks without reading is bounded, and is dropped after the idle time", async () => {
    const server = keep(await serve({ tcpLimits: { idleMs: 300 } }));
    const socket = await Bun.connect({ hostname: "127.0.0.1", port: server.port, socket: { data: () => {} } });
    socket.pause();
    const burst = Buffer.concat(Array.from({ length: 2000 }, () => framed(ask("many.vm", TYPE.A))));
    const before = process.memoryUsage().rss;
    let isFull = false;
    for (let round = 0; round < 400 && !isFull; round++) {
      isFull = socket.write(burst) < burst.length;
      await Bun.sleep(0);
    }
    expect(isFull).toBe(true);
    await until(() => server.stats().tcpConnections === 0);
    expect(process.memoryUsage().rss - before).toBeLessThan(64 * 2 ** 20);
    socket.terminate();
  });
});

test("sockets that cannot be made elsewhere are told as lacking, and tried again: that is no failure of the server", async () => {
  let tries = 0;
  const server = await serve({
    listen: {
      host: "127.0.0.1",
      port: 0,
      bind: async () => {
        tries += 1;
        if (tries === 1) throw Object.assign(new Error("no such program"), { code: "ENOENT" });
        return null;
      },
    },
    zone: () => zoneOf(),
    retryMs: 60_000,
  });
  expect(server).toMatchObject({ port: 0, udpError: "ENOENT", tcpError: "ENOENT" });
  await server.retry();
  expect(server).toMatchObject({ port: 0, udpError: "EADDRNOTAVAIL", tcpError: "EADDRNOTAVAIL" });
  await server.close();
});
