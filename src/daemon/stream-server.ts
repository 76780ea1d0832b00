// Serves streams to guests on a unix socket of its own: HTTP has no duplex bodies, and here the kernel holds back whoever is too fast, on both sides.
import { chmodSync, unlinkSync } from "node:fs";
import type { GuestStream } from "../guest/channel.ts";
import { describeUnknown, fail, reportOf } from "../spec/errors.ts";
import type { Fields } from "../spec/guest/fields.ts";
import { createMessageReader, MESSAGE_MAX_BYTES, type MessageReader, renderMessage } from "../spec/guest/messages.ts";
import { STREAM_REQUEST_MAX_BYTES, STREAM_TAG, type StreamRequest } from "../spec/stream-socket.ts";
import type { Log } from "./context.ts";

/** So much of a client's may wait for the guest before the client is read no more. */
const WAITING_MAX_BYTES = 256 * 1024;

export type StreamServer = {
  /** What is carried just now: `exec on web`. */
  busy(): readonly string[];
  /** Ends every stream and tells its client why. */
  stop(): void;
};

type Peer = {
  reader: MessageReader;
  request: Uint8Array[];
  requestBytes: number;
  /** Set once the request is complete. */
  name: string | null;
  vm: string;
  stream: GuestStream | null;
  /** What the client has sent and the guest has not taken; null is the end. */
  waiting: (Uint8Array | null)[];
  waitingBytes: number;
  isPaused: boolean;
  wake: (() => void) | null;
  /** What the client has not taken. */
  unsent: Uint8Array | null;
  drained: (() => void) | null;
  isOver: boolean;
};

type Socket = Bun.Socket<Peer>;

const newPeer = (): Peer => ({
  reader: createMessageReader(),
  request: [],
  requestBytes: 0,
  name: null,
  vm: "",
  stream: null,
  waiting: [],
  waitingBytes: 0,
  isPaused: false,
  wake: null,
  unsent: null,
  drained: null,
  isOver: false,
});

const parseRequest = (pieces: readonly Uint8Array[]): StreamRequest => {
  try {
    const { vm, kind, fields } = JSON.parse(Buffer.concat(pieces).toString()) as Record<string, unknown>;
    if (typeof vm === "string" && typeof kind === "string" && typeof fields === "object" && fields !== null) {
      const isText = Object.entries(fields).every(
        ([key, value]) => /^[a-z0-9_.]+$/.test(key) && typeof value === "string",
      );
      if (isText) return { vm, kind, fields: fields as Fields };
    }
  } catch (error) {
    throw fail("rpc.parse_error", { detail: describeUnknown(error) });
  }
  throw fail("rpc.invalid_request", { detail: "a stream needs vm, kind and fields" });
};

/** Serves until `stop`. `open` finds the VM and opens the stream; its errors are told to the client. */
export const serveStreams = (options: {
  socket: string;
  open: (request: StreamRequest) => Promise<{ vm: string; stream: GuestStream }>;
  log: Log;
}): StreamServer => {
  const peers = new Set<Socket>();

  /** Writes all of it; false when the client has gone. */
  const send = async (socket: Socket, bytes: Uint8Array): Promise<boolean> => {
    const peer = socket.data;
    let rest = bytes;
    while (!peer.isOver) {
      const taken = socket.write(rest);
      if (taken < 0) return false;
      if (taken === rest.length) return true;
      rest = rest.subarray(taken);
      const { promise, resolve } = Promise.withResolvers<void>();
      peer.drained = resolve;
      await promise;
    }
    return false;
  };

  const close = (socket: Socket): void => {
    const peer = socket.data;
    peer.isOver = true;
    peer.wake?.();
    peer.drained?.();
    peers.delete(socket);
  };

  const refuse = async (socket: Socket, error: unknown): Promise<void> => {
    const report = new TextEncoder().encode(JSON.stringify(reportOf(error)));
    await send(socket, renderMessage(STREAM_TAG.failed, report.subarray(0, MESSAGE_MAX_BYTES)));
    close(socket);
    socket.end();
  };

  /** Everything that the client sends, to the guest, as fast as the guest takes it. */
  const carryIn = async (socket: Socket, stream: GuestStream): Promise<void> => {
    const peer = socket.data;
    const writer = stream.writable.getWriter();
    for (;;) {
      const bytes = peer.waiting.shift();
      if (bytes === undefined) {
        if (peer.isOver) return;
        const { promise, resolve } = Promise.withResolvers<void>();
        peer.wake = resolve;
        await promise;
      } else if (bytes === null) {
        return await writer.close();
      } else {
        await writer.write(bytes);
        peer.waitingBytes -= bytes.length;
        if (peer.isPaused && peer.waitingBytes < WAITING_MAX_BYTES / 2) {
          peer.isPaused = false;
          socket.resume();
        }
      }
    }
  };

  const carryOut = async (socket: Socket, stream: GuestStream): Promise<void> => {
    for await (const bytes of stream.readable) {
      for (let at = 0; at < bytes.length; at += MESSAGE_MAX_BYTES) {
        const piece = bytes.subarray(at, at + MESSAGE_MAX_BYTES);
        if (!(await send(socket, renderMessage(STREAM_TAG.data, piece)))) return;
      }
    }
    await stream.closed;
    await send(socket, renderMessage(STREAM_TAG.end));
  };

  const begin = async (socket: Socket): Promise<void> => {
    const peer = socket.data;
    try {
      const request = parseRequest(peer.request);
      peer.request = [];
      peer.name = `${request.kind} on ${request.vm}`;
      const { vm, stream } = await options.open(request);
      peer.vm = vm;
      peer.name = `${request.kind} on ${vm}`;
      peer.stream = stream;
      // The client may have gone while the stream was opened.
      if (peer.isOver) return stream.abort("the client went away");
      // The guest may close a stream that still takes input; whoever reads is told.
      carryIn(socket, stream).catch(() => undefined);
      await send(socket, renderMessage(STREAM_TAG.begin));
      await carryOut(socket, stream);
      close(socket);
      socket.end();
    } catch (error) {
      if (peer.isOver) return;
      if (reportOf(error).code === "internal.bug")
        options.log.error("a stream failed in a way it should not", { detail: describeUnknown(error) });
      await refuse(socket, error);
    }
  };

  const take = (socket: Socket, tag: number, bytes: Uint8Array): void => {
    const peer = socket.data;
    if (peer.name === null && tag === STREAM_TAG.request && peer.requestBytes < STREAM_REQUEST_MAX_BYTES) {
      peer.request.push(bytes.slice());
      peer.requestBytes += bytes.length;
    } else if (peer.name === null && tag === STREAM_TAG.begin) {
      peer.name = "";
      void begin(socket);
    } else if (peer.name !== null && (tag === STREAM_TAG.data || tag === STREAM_TAG.end)) {
      peer.waiting.push(tag === STREAM_TAG.end ? null : bytes.slice());
      peer.waitingBytes += bytes.length;
      if (!peer.isPaused && peer.waitingBytes > WAITING_MAX_BYTES) {
        peer.isPaused = true;
        socket.pause();
      }
    } else {
      peer.name ??= "";
      void refuse(socket, fail("rpc.invalid_request", { detail: `a message ${tag} of a stream where none belongs` }));
    }
  };

  try {
    unlinkSync(options.socket);
  } catch {
    // Nobody was there; the daemon's lock says that it is ours.
  }
  const listener = Bun.listen<Peer>({
    unix: options.socket,
    socket: {
      open: (socket) => {
        socket.data = newPeer();
        peers.add(socket);
      },
      data: (socket, piece) => {
        const peer = socket.data;
        const messages = peer.isOver ? [] : peer.reader.push(piece);
        if (messages === null) return void refuse(socket, fail("rpc.invalid_request", { detail: "no message" }));
        for (const { tag, bytes } of messages) if (!peer.isOver) take(socket, tag, bytes);
        peer.wake?.();
      },
      drain: (socket) => socket.data.drained?.(),
      close: (socket) => {
        close(socket);
        socket.data.stream?.abort("the client went away");
      },
      error: () => undefined,
    },
  });
  chmodSync(options.socket, 0o600);

  return {
    busy: () => [...peers].map(({ data }) => data.name ?? "").filter((name) => name !== ""),
    stop: () => {
      listener.stop(false);
      for (const socket of [...peers]) {
        const { stream, vm, name } = socket.data;
        stream?.abort("bangerd stops");
        void refuse(socket, fail("daemon.stream_ended", { vm, what: name || "a stream" }));
      }
    },
  };
};
