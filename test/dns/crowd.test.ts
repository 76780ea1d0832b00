// Crowds of idle and slow TCP clients must not be felt by those who ask by UDP.
import { expect, test } from "bun:test";
import { framed } from "../../src/dns/tcp-listener.ts";
import { ask, headerOf, serve, until } from "./asking.ts";
import { removeBoardsAfterAll, waysOfUdp } from "./built-front.ts";

removeBoardsAfterAll();

const percentile = (values: readonly number[], share: number): number =>
  values.toSorted((one, other) => one - other)[Math.floor(values.length * share)] ?? 0;

/** Latencies of so many UDP queries asked one after the other, ms. */
const udpLatencies = async (port: number, count: number): Promise<number[]> => {
  let answered = () => {};
  const socket = await Bun.udpSocket({
    connect: { hostname: "127.0.0.1", port },
    socket: {
      data: (_socket, bytes) => {
        if (headerOf(bytes).rcode === 0) answered();
      },
    },
  });
  const latencies: number[] = [];
  const query = ask("hello.vm");
  for (let index = 0; index < count; index++) {
    const { promise, resolve } = Promise.withResolvers<void>();
    answered = resolve;
    const startedMs = performance.now();
    socket.send(query);
    await promise;
    latencies.push(performance.now() - startedMs);
  }
  socket.close();
  return latencies;
};

test.each(waysOfUdp)(
  "1000 idle and 50 slow TCP clients do not delay UDP, answered %s",
  async (_how, options) => {
    const server = await serve({
      ...options(),
      tcpLimits: { maxConnections: 1200, maxPerClient: 1200, idleMs: 60_000 },
    });
    const clients: { terminate(): void }[] = [];
    try {
      await udpLatencies(server.port, 500);
      const alone = await udpLatencies(server.port, 500);
      const connect = () => Bun.connect({ hostname: "127.0.0.1", port: server.port, socket: { data: () => {} } });
      for (let index = 0; index < 1000; index++) clients.push(await connect());
      const burst = Buffer.concat(Array.from({ length: 500 }, () => framed(ask("many.vm"))));
      for (let index = 0; index < 50; index++) {
        const slow = await connect();
        clients.push(slow);
        // Asks for a megabyte and never reads it; and is in the middle of another query for ever.
        slow.pause();
        slow.write(burst);
      }
      await until(() => server.stats().tcpConnections === 1050);
      const crowded = await udpLatencies(server.port, 500);
      // As before, but for what a busy machine adds: a loop that waited for a client would wait for seconds, and each time.
      expect(percentile(crowded, 0.5)).toBeLessThan(Math.max(50, 4 * percentile(alone, 0.5)));
      expect(percentile(crowded, 0.9)).toBeLessThan(Math.max(250, 4 * percentile(alone, 0.9)));
      expect(server.stats().tcpConnections).toBe(1050);
    } finally {
      for (const client of clients) client.terminate();
      await server.close();
    }
  },
  60_000,
);
