// A guest helper in TypeScript on a unix socket: honest by default, and as hostile as a test makes it.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { type Fields, parseFields, renderFields } from "../../src/spec/guest/fields.ts";
import { createFrameReader, type Frame, renderFrame, renderSync } from "../../src/spec/guest/frames.ts";
import { FRAME, STREAM_CREDIT_BYTES, SYNC_BYTES, SYNC_MAGIC } from "../../src/spec/guest/protocol.ts";

/** One host that has connected. */
export type Peer = {
  send(bytes: Uint8Array): void;
  frame(type: number, options?: { stream?: number; payload?: Uint8Array; fields?: Fields }): void;
  hangUp(): void;
  /** Stops reading what the host sends. */
  goDeaf(): void;
  receivedBytes(): number;
  isGone(): boolean;
};

export type Behaviour = {
  /** On each SYNC. The default answers it honestly. */
  onSync?: (peer: Peer, nonce: Uint8Array) => void;
  /** Returns true when it has dealt with the frame itself. */
  onFrame?: (peer: Peer, frame: Frame) => boolean;
  onConnect?: (peer: Peer) => void;
  /** Asks for `CONNECT 42070` first, as Firecracker's socket does. */
  vsockAnswer?: string;
};

export type FakeHelper = {
  path: string;
  peers: Peer[];
  /** Resolves once so many hosts have connected since the start. */
  connections(count: number): Promise<void>;
  stop(): void;
};

export const BOOT_ID = "00000000-1111-2222-3333-444444444444";

export const sayHello = (peer: Peer, fields: Fields = {}): void =>
  peer.frame(FRAME.hello, {
    fields: { protocol: "1", version: "fake", abilities: "ping,shutdown,echo,odd", ...fields },
  });

export const sayReady = (peer: Peer, fields: Fields = {}): void =>
  peer.frame(FRAME.ready, { fields: { boot_id: BOOT_ID, uptime_ns: "1500000000", sshd: "none", ...fields } });

/** Answers SYNC and says HELLO and READY. */
export const greet = (peer: Peer, nonce: Uint8Array): void => {
  peer.send(renderSync(nonce));
  sayHello(peer);
  sayReady(peer);
};

const u32 = (value: number): Uint8Array => {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, value, true);
  return bytes;
};

/** What an honest helper does with a frame. */
const answer = (peer: Peer, { type, stream, payload }: Frame, closed: Set<number>): void => {
  const parsed = parseFields(payload);
  const fields = parsed.ok ? parsed.fields : {};
  if (type === FRAME.ping) {
    const pong = new Uint8Array(24);
    pong.set(payload);
    new DataView(pong.buffer).setBigUint64(8, BigInt(Date.now()) * 1_000_000n, true);
    new DataView(pong.buffer).setBigUint64(16, 2_000_000_000n, true);
    peer.frame(FRAME.pong, { payload: pong });
  } else if (type === FRAME.shutdown) peer.frame(FRAME.shutdownAck, { fields: { ok: "1" } });
  else if (type === FRAME.open && fields.kind !== "echo") {
    closed.add(stream);
    peer.frame(FRAME.close, { stream, fields: { error: "unknown kind" } });
  } else if (type === FRAME.data && !closed.has(stream)) peer.frame(FRAME.data, { stream, payload: payload.slice() });
  else if (type === FRAME.credit && !closed.has(stream)) peer.frame(FRAME.credit, { stream, payload: payload.slice() });
  else if (type === FRAME.eof && !closed.has(stream)) {
    closed.add(stream);
    peer.frame(FRAME.eof, { stream });
    peer.frame(FRAME.close, { stream });
  } else if (type === FRAME.close) {
    if (!closed.delete(stream)) peer.frame(FRAME.close, { stream });
  }
};

type Line = { peer: Peer; read: (bytes: Uint8Array) => void; drain: () => void; gone: () => void };

const createLine = (socket: Bun.Socket<Line>, behaviour: Behaviour): Line => {
  let waiting: Uint8Array[] = [];
  let isGone = false;
  let isDeaf = false;
  let receivedBytes = 0;
  let held: Uint8Array = new Uint8Array(0);
  let reader: ReturnType<typeof createFrameReader> | null = null;
  let isAsked = behaviour.vsockAnswer === undefined;
  const closed = new Set<number>();

  const flush = (): void => {
    while (waiting.length > 0 && !isGone) {
      const first = waiting[0]!;
      const taken = socket.write(first);
      if (taken < first.length) {
        waiting[0] = first.subarray(Math.max(0, taken));
        return;
      }
      waiting.shift();
    }
  };

  const peer: Peer = {
    send: (bytes) => {
      waiting.push(bytes);
      if (waiting.length === 1) flush();
    },
    frame: (type, { stream = 0, payload, fields } = {}) =>
      peer.send(renderFrame({ type, stream, payload: payload ?? (fields ? renderFields(fields) : new Uint8Array(0)) })),
    hangUp: () => {
      socket.terminate();
    },
    goDeaf: () => {
      isDeaf = true;
      socket.pause();
    },
    receivedBytes: () => receivedBytes,
    isGone: () => isGone,
  };

  const findSync = (bytes: Uint8Array): void => {
    const text = Buffer.concat([held, bytes]);
    const at = text.indexOf(Buffer.from(SYNC_MAGIC));
    if (at < 0 || text.length < at + SYNC_BYTES) {
      held = text.subarray(at < 0 ? Math.max(0, text.length - SYNC_BYTES) : at);
      return;
    }
    held = new Uint8Array(0);
    reader = createFrameReader();
    (behaviour.onSync ?? greet)(peer, Uint8Array.from(text.subarray(at + SYNC_MAGIC.length, at + SYNC_BYTES)));
    read(text.subarray(at + SYNC_BYTES));
  };

  const read = (bytes: Uint8Array): void => {
    if (bytes.length === 0 || isDeaf) return;
    const result = reader?.push(bytes, (frame) => {
      if (behaviour.onFrame?.(peer, frame) !== true) answer(peer, frame, closed);
      return true;
    });
    if (result?.ok) return;
    reader = null; /* hunts; what is in these bytes besides is only ever another SYNC */
    findSync(bytes);
  };

  const connect = (bytes: Uint8Array): void => {
    const text = Buffer.from(bytes).toString("latin1");
    if (text !== "CONNECT 42070\n") throw new Error(`not one CONNECT: ${JSON.stringify(text)}`);
    isAsked = true;
    peer.send(new TextEncoder().encode(behaviour.vsockAnswer ?? ""));
  };

  return {
    peer,
    drain: flush,
    gone: () => {
      isGone = true;
      waiting = [];
    },
    read: (bytes) => {
      receivedBytes += bytes.length;
      if (isAsked) read(bytes);
      else connect(bytes);
    },
  };
};

/** Where a helper may listen later. */
export const socketPath = (): string => join(mkdtempSync(join(tmpdir(), "bgr-gc-")), "s");

export const startFakeHelper = (behaviour: Behaviour = {}, path: string = socketPath()): FakeHelper => {
  const peers: Peer[] = [];
  const waiting: { count: number; resolve: () => void }[] = [];
  const server = Bun.listen<Line>({
    unix: path,
    socket: {
      open: (socket) => {
        socket.data = createLine(socket, behaviour);
        peers.push(socket.data.peer);
        for (const each of waiting) if (peers.length >= each.count) each.resolve();
        behaviour.onConnect?.(socket.data.peer);
      },
      data: (socket, bytes) => socket.data.read(bytes),
      drain: (socket) => socket.data.drain(),
      close: (socket) => socket.data.gone(),
      error: () => undefined,
    },
  });
  return {
    path,
    peers,
    connections: (count) => {
      const { promise, resolve } = Promise.withResolvers<void>();
      if (peers.length >= count) resolve();
      else waiting.push({ count, resolve });
      return promise;
    },
    stop: () => {
      server.stop(true);
      rmSync(dirname(path), { recursive: true, force: true });
    },
  };
};

export const creditOf = u32;
export const OVER_CREDIT_FRAMES = Math.floor(STREAM_CREDIT_BYTES / 65_536) + 1;
