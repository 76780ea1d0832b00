// DNS over UDP: one socket, whose answers leave in batches, and which no client can bring down.

export type UdpListenerOptions = {
  host: string;
  port: number;
  /** A bound socket of another network namespace, used instead of a new one. */
  fd?: number | undefined;
  /** Gives an answer at once, later, or none (null). Must not throw; a promise must not reject. */
  answer: (query: Uint8Array, client: string) => Uint8Array | null | Promise<Uint8Array | null>;
};

export type UdpListener = {
  readonly port: number;
  /** Answers that the kernel had no room for. */
  dropped(): number;
  close(): void;
};

type Socket = Bun.udp.Socket<"uint8array">;
/** Three entries for each answer, as sendMany takes them: octets, port, address. */
type Batch = (Uint8Array | number | string)[];

/** Answers that leave with one system call; a burst longer than that does not wait for its end. */
const BATCH_ANSWERS = 64;

/** Listens, or rejects with what the system says (EADDRINUSE, EADDRNOTAVAIL, …). */
export const openUdpListener = async (options: UdpListenerOptions): Promise<UdpListener> => {
  let dropped = 0;
  let batch: Batch = [];
  let isScheduled = false;

  const flush = () => {
    const leaving = batch;
    batch = [];
    if (leaving.length > 0) dropped += sendBatch(socket, leaving);
  };
  const flushLater = () => {
    isScheduled = false;
    flush();
  };
  const enqueue = (bytes: Uint8Array, port: number, address: string) => {
    // Port 0 can be no one's.
    if (port === 0) return;
    batch.push(bytes, port, address);
    if (batch.length >= 3 * BATCH_ANSWERS) flush();
    else if (!isScheduled) {
      isScheduled = true;
      // The packets that wait in the kernel are read one after the other in this turn of the loop; their answers leave together at its end.
      setImmediate(flushLater);
    }
  };

  // The runtime takes a descriptor, though its types do not say so.
  const given: object = options.fd === undefined ? {} : { fd: options.fd };
  const socket: Socket = await Bun.udpSocket({
    ...given,
    hostname: options.host,
    port: options.port,
    binaryType: "uint8array",
    socket: {
      data: (_socket, query, port, address) => {
        const answer = options.answer(query, address);
        if (answer instanceof Promise) answer.then((bytes) => bytes && enqueue(bytes, port, address));
        else if (answer) enqueue(answer, port, address);
      },
      // ICMP tells of a client that has gone; without a handler the runtime would make it an uncaught exception.
      error: () => {},
    },
  });

  return {
    port: options.fd === undefined ? socket.port : options.port,
    dropped: () => dropped,
    close: () => {
      flush();
      socket.close();
    },
  };
};

/**
 * Sends what it can and gives the number of answers that were dropped. UDP clients ask again, and waiting for room would delay the others. An ICMP
 * error that some client left behind comes out of the next send, once, in place of sending, in the middle of a batch too: so it goes on as long as
 * every other call gets somewhere.
 */
const sendBatch = (socket: Socket, batch: Batch): number => {
  const count = batch.length / 3;
  let sent = 0;
  let futile = 0;
  while (sent < count && futile < 3 && !socket.closed) {
    const before = sent;
    try {
      sent += socket.sendMany(sent === 0 ? batch : batch.slice(3 * sent));
    } catch {}
    futile = sent > before ? 0 : futile + 1;
  }
  return count - sent;
};
