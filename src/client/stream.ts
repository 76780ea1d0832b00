// One duplex stream to a guest, over the daemon's socket for streams: what is not taken yet holds the writer back.
import { describeUnknown, type ErrorReport, fail } from "../spec/errors.ts";
import { createMessageReader, MESSAGE_MAX_BYTES, renderMessage } from "../spec/guest/messages.ts";
import { STREAM_TAG, type StreamRequest } from "../spec/stream-socket.ts";
import { RemoteError } from "./remote-error.ts";

export type ClientStream = {
  /** The next bytes of the guest; null after its end. Errors: RemoteError, daemon.stream_ended. */
  read(): Promise<Uint8Array | null>;
  /** Resolves when the daemon has taken them. Does nothing once the stream is over: `read` tells how it ended. */
  write(bytes: Uint8Array): Promise<void>;
  /** Nothing more is written. */
  end(): Promise<void>;
  /** Leaves at once; the guest ends what it did for this stream. */
  abort(): void;
};

/** So much may have come without being read before the daemon is read no more. */
const UNREAD_MAX_BYTES = 512 * 1024;

/** Errors: RemoteError as vm.stream, and what the guest refuses; daemon.stream_ended. */
export const openClientStream = async (
  options: StreamRequest & { socket: string /** What the VM is called in errors. */; name?: string },
): Promise<ClientStream> => {
  const { vm, kind, fields } = options;
  const reader = createMessageReader();
  const unread: Uint8Array[] = [];
  let unreadBytes = 0;
  let isPaused = false;
  let hasEnded = false;
  let isOver = false;
  let failure: Error | null = null;
  let arrived: (() => void) | null = null;
  let drained: (() => void) | null = null;
  const began = Promise.withResolvers<void>();
  began.promise.catch(() => undefined);

  const finish = (error: Error | null): void => {
    if (isOver) return;
    isOver = true;
    failure ??= error;
    began.reject(error ?? streamEnded());
    arrived?.();
    drained?.();
  };
  const streamEnded = () => fail("daemon.stream_ended", { vm, what: `${kind} on ${options.name ?? vm}` });

  const take = (tag: number, bytes: Uint8Array): void => {
    if (tag === STREAM_TAG.begin) began.resolve();
    else if (tag === STREAM_TAG.data) {
      unread.push(bytes.slice());
      unreadBytes += bytes.length;
    } else if (tag === STREAM_TAG.end) {
      hasEnded = true;
      finish(null);
    } else if (tag === STREAM_TAG.failed) {
      finish(new RemoteError(JSON.parse(Buffer.from(bytes).toString()) as ErrorReport));
    }
  };

  const socket = await Bun.connect<undefined>({
    unix: options.socket,
    socket: {
      data: (self, piece) => {
        const messages = reader.push(piece);
        if (messages === null) return finish(streamEnded());
        for (const { tag, bytes } of messages) take(tag, bytes);
        if (!isPaused && unreadBytes > UNREAD_MAX_BYTES) {
          isPaused = true;
          self.pause();
        }
        arrived?.();
      },
      drain: () => drained?.(),
      close: () => finish(hasEnded ? null : streamEnded()),
      end: () => finish(hasEnded ? null : streamEnded()),
      error: () => finish(streamEnded()),
    },
  }).catch((error: unknown) => {
    throw fail("daemon.unreachable", { socket: options.socket, detail: describeUnknown(error) }, error);
  });

  const send = async (message: Uint8Array): Promise<void> => {
    let rest = message;
    while (!isOver) {
      const taken = socket.write(rest);
      if (taken < 0) return;
      if (taken === rest.length) return;
      rest = rest.subarray(taken);
      const { promise, resolve } = Promise.withResolvers<void>();
      drained = resolve;
      await promise;
    }
  };

  const write = async (tag: number, bytes: Uint8Array): Promise<void> => {
    for (let at = 0; at < bytes.length; at += MESSAGE_MAX_BYTES)
      await send(renderMessage(tag, bytes.subarray(at, at + MESSAGE_MAX_BYTES)));
  };

  await write(STREAM_TAG.request, new TextEncoder().encode(JSON.stringify({ vm, kind, fields })));
  await send(renderMessage(STREAM_TAG.begin));
  await began.promise;

  return {
    read: async () => {
      for (;;) {
        const bytes = unread.shift();
        if (bytes !== undefined) {
          unreadBytes -= bytes.length;
          if (isPaused && unreadBytes < UNREAD_MAX_BYTES / 2) {
            isPaused = false;
            socket.resume();
          }
          return bytes;
        }
        if (failure !== null) throw failure;
        if (isOver) return null;
        const { promise, resolve } = Promise.withResolvers<void>();
        arrived = resolve;
        await promise;
      }
    },
    write: (bytes) => write(STREAM_TAG.data, bytes),
    end: () => send(renderMessage(STREAM_TAG.end)),
    abort: () => {
      finish(streamEnded());
      socket.terminate();
    },
  };
};
