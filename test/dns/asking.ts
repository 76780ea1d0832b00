// What the name server's tests share: a zone, a server on loopback, raw packets, and clients that send them.
import { buildZone, type Zone, type ZoneInput } from "../../src/core/dns-zone.ts";
import { type DnsServer, type DnsServerOptions, openDnsServer } from "../../src/dns/server.ts";
import { framed } from "../../src/dns/tcp-listener.ts";

export const zoneOf = (change: Partial<ZoneInput> = {}): Zone =>
  buildZone({
    zoneName: "vm",
    view: "loopback",
    serial: 7,
    nameServerAddress: "127.0.0.1",
    hosts: [
      { name: "hello", addresses: ["10.77.5.9"] },
      { name: "wild", addresses: ["10.77.5.10"], isWildcard: true },
      { name: "deep.tree", addresses: ["10.77.5.11"] },
      { name: "many", addresses: Array.from({ length: 100 }, (_, index) => `10.77.6.${index + 1}`) },
      { name: "six", addresses: ["fd00::6"] },
    ],
    subnets: ["10.77.5.0/24"],
    ...change,
  });

export const serve = (options: Partial<DnsServerOptions> & { current?: Zone } = {}): Promise<DnsServer> => {
  const zone = options.current ?? zoneOf();
  return openDnsServer({ listen: { host: "127.0.0.1", port: 0 }, zone: () => zone, ...options });
};

export const TYPE = { A: 1, NS: 2, SOA: 6, PTR: 12, TXT: 16, AAAA: 28, OPT: 41, IXFR: 251, AXFR: 252, ANY: 255 };

export const wireName = (text: string): number[] =>
  text === "." ? [0] : [...text.split(".").flatMap((label) => [label.length, ...new TextEncoder().encode(label)]), 0];

export const u16 = (value: number): number[] => [(value >> 8) & 0xff, value & 0xff];

export const question = (name: string, type = TYPE.A, klass = 1): number[] => [
  ...wireName(name),
  ...u16(type),
  ...u16(klass),
];

export const opt = ({
  payload = 4096,
  version = 0,
  flags = 0,
  options = [] as number[],
  owner = [0],
} = {}): number[] => [
  ...owner,
  ...u16(TYPE.OPT),
  ...u16(payload),
  0,
  version,
  ...u16(flags),
  ...u16(options.length),
  ...options,
];

type QueryShape = {
  id?: number;
  flags?: number;
  counts?: [number, number, number, number];
  questions?: number[][];
  additionals?: number[][];
  tail?: number[];
};

/** A query as raw octets; nothing is checked, so that it may be as wrong as a test wants. */
export const rawQuery = ({
  id = 0x1234,
  flags = 0x0100,
  questions = [],
  additionals = [],
  ...rest
}: QueryShape): Uint8Array => {
  const counts = rest.counts ?? [questions.length, 0, 0, additionals.length];
  const body = [...questions.flat(), ...additionals.flat(), ...(rest.tail ?? [])];
  return Uint8Array.from([...u16(id), ...u16(flags), ...counts.flatMap(u16), ...body]);
};

export const ask = (name: string, type = TYPE.A): Uint8Array => rawQuery({ questions: [question(name, type)] });

export type Header = { id: number; flags: number; opcode: number; rcode: number; counts: number[] };
export const headerOf = (bytes: Uint8Array): Header => {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const flags = view.getUint16(2);
  return {
    id: view.getUint16(0),
    flags,
    opcode: (flags >> 11) & 0xf,
    rcode: flags & 0xf,
    counts: [4, 6, 8, 10].map((offset) => view.getUint16(offset)),
  };
};

/** Resolves with what `promise` gives, or rejects after so long: no test hangs. */
export const within = async <Value>(promise: Promise<Value>, waitMs = 25_000): Promise<Value> => {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`nothing within ${waitMs} ms`)), waitMs);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
};

/** Waits until a condition holds, looking again every 5 ms. */
export const until = async (condition: () => boolean | Promise<boolean>, waitMs = 25_000): Promise<void> => {
  const endMs = performance.now() + waitMs;
  while (!(await condition())) {
    if (performance.now() > endMs) throw new Error(`not within ${waitMs} ms: ${condition}`);
    await Bun.sleep(5);
  }
};

/** Sends packets from one UDP socket and gives the first so many answers, in the order they came. */
export const askUdp = async (
  port: number,
  queries: readonly Uint8Array[],
  expected = queries.length,
): Promise<Uint8Array[]> => {
  const answers: Uint8Array[] = [];
  const done = Promise.withResolvers<void>();
  const socket = await Bun.udpSocket({
    connect: { hostname: "127.0.0.1", port },
    socket: {
      data: (_socket, bytes) => {
        answers.push(new Uint8Array(bytes));
        if (answers.length === expected) done.resolve();
      },
    },
  });
  try {
    for (const query of queries) socket.send(query);
    await within(done.promise);
    return answers;
  } finally {
    socket.close();
  }
};

export type TcpClient = {
  write(bytes: Uint8Array): void;
  /** Waits for so many whole messages and takes them. */
  take(count: number): Promise<Uint8Array[]>;
  /** Resolves when the server's FIN or RST came. */
  ended: Promise<void>;
  received(): number;
  halfClose(): void;
  close(): void;
};

export const connectTcp = async (port: number): Promise<TcpClient> => {
  let input = new Uint8Array(0);
  const messages: Uint8Array[] = [];
  const ended = Promise.withResolvers<void>();
  let wake = () => {};
  const socket = await Bun.connect({
    hostname: "127.0.0.1",
    port,
    allowHalfOpen: true,
    socket: {
      data: (_socket, chunk) => {
        const whole = new Uint8Array(input.length + chunk.length);
        whole.set(input);
        whole.set(chunk, input.length);
        input = whole;
        for (;;) {
          const length = ((input[0] ?? 0) << 8) | (input[1] ?? 0);
          if (input.length < 2 || input.length < 2 + length) break;
          messages.push(input.slice(2, 2 + length));
          input = input.slice(2 + length);
        }
        wake();
      },
      end: () => ended.resolve(),
      close: () => ended.resolve(),
      error: () => ended.resolve(),
    },
  });
  return {
    write: (bytes) => void socket.write(bytes),
    take: (count) =>
      within(
        new Promise((resolve) => {
          wake = () => {
            if (messages.length >= count) resolve(messages.splice(0, count));
          };
          wake();
        }),
      ),
    ended: ended.promise,
    received: () => messages.length,
    halfClose: () => void socket.shutdown(),
    close: () => socket.terminate(),
  };
};

export const askTcp = async (
  port: number,
  queries: readonly Uint8Array[],
  expected = queries.length,
): Promise<Uint8Array[]> => {
  const client = await connectTcp(port);
  try {
    for (const query of queries) client.write(framed(query));
    return await client.take(expected);
  } finally {
    client.close();
  }
};
