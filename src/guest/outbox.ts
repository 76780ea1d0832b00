// Owns the bytes that wait to be taken by one socket: in order, counted, and with a limit that ends the connection.

/** Far more than anybody who reads leaves unread: control frames are small and streams wait for room. */
export const OUTBOX_MAX_BYTES = 1024 * 1024;
/** Streams send no more while this much waits. */
export const OUTBOX_BUSY_BYTES = 256 * 1024;

export type Outbox = {
  /** Queues the bytes and writes what the socket takes. */
  send(bytes: Uint8Array): void;
  /** The socket takes bytes again. */
  drain(): void;
  isBusy(): boolean;
  isEmpty(): boolean;
  close(): void;
};

export const createOutbox = (options: {
  /** Writes to the socket; returns how many bytes it took, negative when it is gone. */
  write: (bytes: Uint8Array) => number;
  /** Everything waiting has gone to the socket. */
  onDrained: () => void;
  /** The other side does not read. */
  onOverflow: () => void;
}): Outbox => {
  let waiting: Uint8Array[] = [];
  let waitingBytes = 0;
  let isClosed = false;

  const flush = (): void => {
    while (!isClosed && waiting.length > 0) {
      const first = waiting[0] as Uint8Array;
      const taken = options.write(first);
      if (taken <= 0) return;
      waitingBytes -= taken;
      if (taken < first.length) {
        waiting[0] = first.subarray(taken);
        return;
      }
      waiting.shift();
    }
  };

  return {
    send: (bytes) => {
      if (isClosed || bytes.length === 0) return;
      waiting.push(bytes);
      waitingBytes += bytes.length;
      /* What waits already means that the socket is full: `drain` will tell. */
      if (waiting.length === 1) flush();
      if (waitingBytes > OUTBOX_MAX_BYTES) options.onOverflow();
    },
    drain: () => {
      flush();
      if (!isClosed && waiting.length === 0) options.onDrained();
    },
    isBusy: () => waitingBytes > OUTBOX_BUSY_BYTES,
    isEmpty: () => waiting.length === 0,
    close: () => {
      isClosed = true;
      waiting = [];
      waitingBytes = 0;
    },
  };
};
