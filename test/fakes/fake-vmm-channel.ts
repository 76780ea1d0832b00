// The guest helper of the fake VMM: the guest channel of docs/guest.md §2, as far as readiness, ping and shutdown.

const SYNC = Buffer.from("BANGERGC");
const SYNC_BYTES = SYNC.length + 16;
const HEADER_BYTES = 8;
const TYPE = { hello: 1, ready: 2, ping: 3, pong: 4, shutdown: 5, shutdownAck: 6, ending: 7 } as const;

const fields = (values: Record<string, string>): Buffer =>
  Buffer.from(
    Object.entries(values)
      .map(([key, value]) => `${key}=${value}\0`)
      .join(""),
  );

const frame = (type: number, payload: Buffer): Buffer => {
  const header = Buffer.alloc(HEADER_BYTES);
  header.writeUInt32LE(payload.length, 0);
  header.writeUInt8(type, 6);
  return Buffer.concat([header, payload]);
};

type State = { pending: Buffer; isSynchronised: boolean };

/** What a helper sends on the host's announcement port: SYNC with no nonce, and READY. */
export const renderAnnouncement = (): Buffer =>
  Buffer.concat([
    SYNC,
    Buffer.alloc(16),
    frame(TYPE.ready, fields({ boot_id: crypto.randomUUID(), uptime_ns: "1000000", sshd: "none" })),
  ]);

/** One channel; it serves one host at a time, as a virtio-serial port does. */
export const createFakeChannel = (options: { onShutdown: (how: string) => void }) => {
  const bootId = crypto.randomUUID();
  let host: Bun.Socket<State> | null = null;
  let isReady = false;

  const send = (type: number, payload: Buffer) => {
    if (host?.data.isSynchronised) host.write(frame(type, payload));
  };
  const sendReady = () => {
    if (isReady) send(TYPE.ready, fields({ boot_id: bootId, uptime_ns: "1000000", sshd: "none" }));
  };

  const handle = (type: number, payload: Buffer) => {
    if (type === TYPE.ping) {
      const times = Buffer.alloc(16);
      times.writeBigUInt64LE(BigInt(Date.now()) * 1_000_000n, 0);
      times.writeBigUInt64LE(BigInt(Math.round(performance.now() * 1e6)), 8);
      send(TYPE.pong, Buffer.concat([payload, times]));
    }
    if (type === TYPE.shutdown) {
      send(TYPE.shutdownAck, fields({ ok: "1" }));
      options.onShutdown(/how=([a-z]+)/.exec(payload.toString())?.[1] ?? "poweroff");
    }
  };

  const takeSync = (socket: Bun.Socket<State>): boolean => {
    const at = socket.data.pending.indexOf(SYNC);
    if (at < 0 || socket.data.pending.length < at + SYNC_BYTES) return false;
    socket.write(socket.data.pending.subarray(at, at + SYNC_BYTES));
    socket.data.pending = socket.data.pending.subarray(at + SYNC_BYTES);
    socket.data.isSynchronised = true;
    send(TYPE.hello, fields({ protocol: "1", version: "0.0.0-fake", abilities: "ping,shutdown" }));
    sendReady();
    return true;
  };

  const takeFrame = (socket: Bun.Socket<State>): boolean => {
    const { pending } = socket.data;
    if (pending.length < HEADER_BYTES) return false;
    const length = pending.readUInt32LE(0);
    if (pending.length < HEADER_BYTES + length) return false;
    socket.data.pending = pending.subarray(HEADER_BYTES + length);
    handle(pending.readUInt8(6), pending.subarray(HEADER_BYTES, HEADER_BYTES + length));
    return true;
  };

  /** What to do with a connection of the host, however it came about. */
  const connection = {
    open(socket: Bun.Socket<State>) {
      socket.data = { pending: Buffer.alloc(0), isSynchronised: false };
      host = socket;
    },
    data(socket: Bun.Socket<State>, chunk: Uint8Array) {
      socket.data.pending = Buffer.concat([socket.data.pending, chunk]);
      while (socket.data.isSynchronised ? takeFrame(socket) : takeSync(socket));
    },
    close(socket: Bun.Socket<State>) {
      if (host === socket) host = null;
    },
  };

  return {
    connection,
    listen: (path: string) => {
      Bun.listen<State>({ unix: path, socket: connection });
    },
    ready: () => {
      isReady = true;
      sendReady();
    },
    announceEnd: (why: string) => send(TYPE.ending, fields({ why })),
  };
};
