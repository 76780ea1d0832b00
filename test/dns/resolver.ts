// What the forwarder's tests share: resolvers on loopback that behave as a test wants, and a server that forwards to them.
import { type ForwarderOptions, openForwarder } from "../../src/dns/forwarder.ts";
import type { DnsServer } from "../../src/dns/server.ts";
import { framed } from "../../src/dns/tcp-listener.ts";
import { serve, zoneOf } from "./asking.ts";

const open: { close(): unknown }[] = [];
/** Closed by closeAll, newest first. */
export const keep = <Thing extends { close(): unknown }>(thing: Thing): Thing => {
  open.push(thing);
  return thing;
};
export const closeAll = async (): Promise<void> => {
  for (const thing of open.splice(0).reverse()) await thing.close();
};

/** What a resolver of the test does with a query: messages to send back, at once. */
export type Behaviour = (query: Uint8Array, from: { port: number; transport: "udp" | "tcp" }) => Uint8Array[];

export const upstream = async (behave: Behaviour) => {
  const seen: { query: Uint8Array; port: number; transport: "udp" | "tcp" }[] = [];
  const openUdp = () =>
    Bun.udpSocket({
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
  const openTcp = (port: number) =>
    Bun.listen({
      hostname: "127.0.0.1",
      port,
      socket: {
        data: (socket, bytes) => {
          const query = new Uint8Array(bytes.subarray(2));
          seen.push({ query, port: socket.remotePort, transport: "tcp" });
          for (const answer of behave(query, { port: socket.remotePort, transport: "tcp" }))
            socket.write(framed(answer));
        },
      },
    });
  let udp = await openUdp();
  let tcp: ReturnType<typeof openTcp> | null = null;
  // A port that is free for UDP may be somebody's for TCP.
  for (let tries = 0; !tcp; tries++) {
    try {
      tcp = openTcp(udp.port);
    } catch (error) {
      if (tries === 8) throw error;
      udp.close();
      udp = await openUdp();
    }
  }
  const bound = tcp;
  const close = () => {
    if (!udp.closed) udp.close();
    bound.stop(true);
  };
  const sendLate = (answer: Uint8Array, port: number) => udp.send(answer, port, "127.0.0.1");
  return keep({ address: "127.0.0.1", port: udp.port, seen, sendLate, close });
};

export const guestServer = async (options: ForwarderOptions): Promise<DnsServer> => {
  const forwarder = keep(openForwarder(options));
  return keep(await serve({ current: zoneOf({ view: "guest" }), forwarder }));
};

export const patched = (
  query: Uint8Array,
  flags: number,
  change: (bytes: Uint8Array) => void = () => {},
): Uint8Array => {
  const answer = query.slice();
  answer[2] = flags >> 8;
  answer[3] = flags & 0xff;
  change(answer);
  return answer;
};

/** The query's header and question with one A record. */
export const addressed = (query: Uint8Array, address = [192, 0, 2, 7]): Uint8Array => {
  let end = 12;
  while (query[end]) end += 1 + query[end]!;
  const record = [0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, ...address];
  return patched(Uint8Array.from([...query.slice(0, end + 5), ...record]), 0x8180, (bytes) =>
    bytes.set([0, 1, 0, 1, 0, 0, 0, 0], 4),
  );
};
export const answering: Behaviour = (query) => [addressed(query)];
export const silent: Behaviour = () => [];
export const lastOctet = (answer: Uint8Array) => answer[answer.length - 1];
