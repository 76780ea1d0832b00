// DNS over TCP (RFC 7766): framing, pipelining, half-close, time-outs and caps, so that no client can hold up another.
import type { Socket, TCPSocketListener } from "bun";

export type TcpLimits = {
  /** A connection on which nothing was asked or taken for so long is closed, ms; RFC 7766 §6.2.3 has it "of the order of a few seconds". */
  idleMs: number;
  /** Connections at once, all clients together. */
  maxConnections: number;
  /** Connections at once of one address; one more closes that client's idlest (RFC 7766 §6.2.2). */
  maxPerClient: number;
  /** Queries of one connection that await an answer; more are not read before one is answered. */
  maxOutstanding: number;
};

export const TCP_LIMITS: TcpLimits = { idleMs: 10_000, maxConnections: 1200, maxPerClient: 400, maxOutstanding: 32 };

export type TcpListenerOptions = {
  host: string;
  port: number;
  /** A listening socket of another network namespace, used instead of a new one. */
  fd?: number | undefined;
  limits: TcpLimits;
  /** Gives an answer at once, later, or none (null). Must not throw; a promise must not reject. */
  answer: (query: Uint8Array, client: string) => Uint8Array | null | Promise<Uint8Array | null>;
};

export type TcpListener = {
  readonly port: number;
  connections(): number;
  /** Connections closed to make room for others. */
  evicted(): number;
  close(): void;
};

type Connection = {
  socket: Socket<Connection | undefined>;
  client: string;
  input: Uint8Array;
  /** What the kernel has not taken yet. */
  output: Uint8Array;
  outstanding: number;
  hasEnded: boolean;
  isPaused: boolean;
  isScheduled: boolean;
  isClosed: boolean;
  /** When the last whole query came or the last octet went, by performance.now(). */
  activeAtMs: number;
};

/** Pipelined queries of one connection answered before others get their turn: about 0.1 ms of work. */
const QUERIES_PER_TURN = 64;
/** A client that does not read its answers gets no more of its queries read than fill this, bytes. */
const MAX_OUTPUT_BYTES = 65_536;
const empty = new Uint8Array(0);

/** Listens at once or throws what the system says (EADDRINUSE, EADDRNOTAVAIL, …). */
export const openTcpListener = (options: TcpListenerOptions): TcpListener => {
  const { limits } = options;
  const connections = new Set<Connection>();
  let evictedCount = 0;

  const forget = (connection: Connection) => {
    connection.isClosed = true;
    connection.input = empty;
    connection.output = empty;
    connections.delete(connection);
  };
  const terminate = (connection: Connection) => {
    forget(connection);
    connection.socket.terminate();
  };

  const flush = (connection: Connection) => {
    if (connection.isClosed || connection.output.length === 0) return;
    const written = connection.socket.write(connection.output);
    if (written < 0) return terminate(connection);
    if (written > 0) connection.activeAtMs = performance.now();
    connection.output = written === connection.output.length ? empty : connection.output.slice(written);
  };

  const settle = (connection: Connection) => {
    if (connection.isClosed) return;
    const isBusy = connection.outstanding >= limits.maxOutstanding || connection.output.length >= MAX_OUTPUT_BYTES;
    if (isBusy !== connection.isPaused) {
      connection.isPaused = isBusy;
      if (isBusy) connection.socket.pause();
      else connection.socket.resume();
    }
    if (!isBusy && hasWholeQuery(connection.input) && !connection.isScheduled) {
      connection.isScheduled = true;
      setImmediate(() => {
        connection.isScheduled = false;
        turn(connection);
      });
      return;
    }
    // RFC 9293 §3.6: "The user who CLOSEs may continue to RECEIVE"; our FIN goes after the last answer.
    const isDone = connection.outstanding === 0 && connection.output.length === 0 && !hasWholeQuery(connection.input);
    if (connection.hasEnded && isDone) {
      forget(connection);
      connection.socket.end();
    }
  };

  const turn = (connection: Connection) => {
    const ready: Uint8Array[] = connection.output.length > 0 ? [connection.output] : [];
    let readyBytes = connection.output.length;
    let at = 0;
    for (let count = 0; count < QUERIES_PER_TURN && !connection.isClosed; count++) {
      if (connection.outstanding >= limits.maxOutstanding || readyBytes >= MAX_OUTPUT_BYTES) break;
      const end = queryEnd(connection.input, at);
      if (end < 0) break;
      const query = connection.input.subarray(at + 2, end);
      at = end;
      connection.activeAtMs = performance.now();
      const answer = options.answer(query, connection.client);
      if (answer instanceof Promise) answerLater(connection, answer);
      else if (answer) {
        ready.push(framed(answer));
        readyBytes += answer.length + 2;
      }
    }
    if (connection.isClosed) return;
    // What is left is copied: a few octets must not keep a large chunk alive.
    if (at > 0) connection.input = at === connection.input.length ? empty : connection.input.slice(at);
    connection.output = joined(ready);
    flush(connection);
    settle(connection);
  };

  // RFC 7766 §7: answers to pipelined queries may go out of order, so that a slow resolver holds up nothing else; the id tells them apart.
  const answerLater = (connection: Connection, answer: Promise<Uint8Array | null>) => {
    connection.outstanding++;
    answer.then((bytes) => {
      connection.outstanding--;
      if (connection.isClosed) return;
      connection.activeAtMs = performance.now();
      if (bytes) connection.output = joined([connection.output, framed(bytes)]);
      flush(connection);
      settle(connection);
    });
  };

  const makeRoom = (client: string) => {
    let ofClient = 0;
    let idlest: Connection | undefined;
    let idlestOfClient: Connection | undefined;
    for (const connection of connections) {
      if (!idlest || connection.activeAtMs < idlest.activeAtMs) idlest = connection;
      if (connection.client !== client) continue;
      ofClient++;
      if (!idlestOfClient || connection.activeAtMs < idlestOfClient.activeAtMs) idlestOfClient = connection;
    }
    const victim =
      ofClient >= limits.maxPerClient ? idlestOfClient : connections.size >= limits.maxConnections ? idlest : undefined;
    if (!victim) return;
    evictedCount++;
    terminate(victim);
  };

  const closeIdle = (connection: Connection) => {
    if (connection.output.length > 0) return terminate(connection);
    forget(connection);
    connection.socket.end();
  };
  let sweep: ReturnType<typeof setInterval> | undefined;
  const stopSweeping = () => {
    clearInterval(sweep);
    sweep = undefined;
  };
  /** Only while there are connections: a daemon that nobody asks does nothing at all. */
  const startSweeping = () => {
    sweep ??= setInterval(
      () => {
        const oldestMs = performance.now() - limits.idleMs;
        // A connection whose queries are being forwarded is not idle: the forwarder has its own deadline.
        for (const connection of [...connections]) {
          if (connection.activeAtMs < oldestMs && connection.outstanding === 0) closeIdle(connection);
        }
        if (connections.size === 0) stopSweeping();
      },
      Math.min(1000, Math.max(10, limits.idleMs / 4)),
    );
  };

  const listener: TCPSocketListener<Connection | undefined> = Bun.listen<Connection | undefined>({
    ...((options.fd === undefined ? {} : { fd: options.fd }) as object),
    hostname: options.host,
    port: options.port,
    allowHalfOpen: true,
    exclusive: true,
    socket: {
      binaryType: "uint8array",
      open: (socket) => {
        const client = socket.remoteAddress;
        makeRoom(client);
        const connection = newConnection(socket, client);
        socket.data = connection;
        connections.add(connection);
        startSweeping();
      },
      data: ({ data: connection }, chunk) => {
        if (!connection || connection.isClosed) return;
        connection.input = connection.input.length === 0 ? new Uint8Array(chunk) : joined([connection.input, chunk]);
        if (!connection.isScheduled) turn(connection);
      },
      drain: ({ data: connection }) => {
        if (!connection || connection.isClosed) return;
        flush(connection);
        settle(connection);
      },
      end: ({ data: connection }) => {
        if (!connection || connection.isClosed) return;
        connection.hasEnded = true;
        settle(connection);
      },
      close: ({ data: connection }) => {
        if (connection) forget(connection);
      },
      error: ({ data: connection }) => {
        if (connection && !connection.isClosed) terminate(connection);
      },
    },
  });

  return {
    port: options.fd === undefined ? listener.port : options.port,
    connections: () => connections.size,
    evicted: () => evictedCount,
    close: () => {
      stopSweeping();
      for (const connection of [...connections]) terminate(connection);
      listener.stop(true);
    },
  };
};

const newConnection = (socket: Socket<Connection | undefined>, client: string): Connection => ({
  socket,
  client,
  input: empty,
  output: empty,
  outstanding: 0,
  hasEnded: false,
  isPaused: false,
  isScheduled: false,
  isClosed: false,
  activeAtMs: performance.now(),
});

/** Where the message that begins at an offset ends, or -1 while it is not whole: RFC 1035 §4.2.2, two octets of length first. */
const queryEnd = (input: Uint8Array, at: number): number => {
  if (at + 2 > input.length) return -1;
  const end = at + 2 + (((input[at] ?? 0) << 8) | (input[at + 1] ?? 0));
  return end <= input.length ? end : -1;
};

const hasWholeQuery = (input: Uint8Array): boolean => queryEnd(input, 0) >= 0;

/** RFC 7766 §8: length and message in one write. */
export const framed = (message: Uint8Array): Uint8Array => {
  const frame = new Uint8Array(message.length + 2);
  frame[0] = message.length >> 8;
  frame[1] = message.length & 0xff;
  frame.set(message, 2);
  return frame;
};

const joined = (parts: readonly Uint8Array[]): Uint8Array => {
  if (parts.length <= 1) return parts[0] ?? empty;
  let size = 0;
  for (const part of parts) size += part.length;
  const whole = new Uint8Array(size);
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
};
