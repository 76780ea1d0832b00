// One connection to a guest helper: dials, asks the vsock device for the port, synchronises, and hands over frames until it breaks.
import {
  createFrameReader,
  createSyncFinder,
  type Frame,
  renderSync,
  STARTED_ANEW,
  type SyncFinder,
} from "../spec/guest/frames.ts";
import { FRAME, FRAME_HEADER_BYTES, SYNC_NONCE_BYTES, SYNC_PREAMBLE_BYTES } from "../spec/guest/protocol.ts";
import { createOutbox, type Outbox } from "./outbox.ts";

/** Where the helper is reached on this host. */
export type ChannelTransport =
  /** A unix socket that is the other end of the guest's port. */
  | { kind: "stream-socket"; path: string }
  /** A unix socket that leads to the guest's vsock ports after `CONNECT <port>`. */
  | { kind: "vsock-uds"; path: string; port: number };

/** Why a connection is over. Only `protocol` is the helper's fault. */
export type Loss = { kind: "unreachable" | "hung-up" | "protocol"; detail: string };

export type ConnectionEvents = {
  /** The transport is there; the helper may not be yet. */
  connected(): void;
  /** The helper has answered: from here on both sides speak frames. */
  synchronised(): void;
  /** Returns what is wrong with the frame, or null. The payload is valid during the call only. */
  frame(frame: Frame): string | null;
  /** All that was sent has left; streams may go on. */
  drained(): void;
  /** Said once, last. */
  lost(loss: Loss): void;
};

export type Connection = {
  send(bytes: Uint8Array): void;
  isBusy(): boolean;
  isDrained(): boolean;
  lose(loss: Loss): void;
};

/** Bytes that an earlier host may have left unread, and then some. */
const STALE_MAX_BYTES = 8 * 1024 * 1024;
const RESYNC_FIRST_MS = 1_000;
const RESYNC_LAST_MS = 10_000;
const VSOCK_ANSWER_MAX_BYTES = 32;
/** A helper may say this much that nobody asked for: at once, and then for each second. Stream data is bounded by credit instead. */
const UNASKED_BURST_BYTES = 1024 * 1024;
const UNASKED_BYTES_PER_MS = 256;
/** Each byte of ours may cause this many of theirs: a pong is twice a ping. */
const ANSWER_FACTOR = 4;

type Socket = Bun.Socket<undefined>;

export const openConnection = (transport: ChannelTransport, events: ConnectionEvents): Connection => {
  let socket: Socket | null = null;
  let isOver = false;
  let phase: "dialling" | "asking" | "synchronising" | "talking" = "dialling";
  let answer = "";
  let finder: SyncFinder | null = null;
  let staleBytes = 0;
  let resyncTimer: ReturnType<typeof setTimeout> | undefined;
  let unaskedBytes = 0;
  let countedAtMs = performance.now();
  const reader = createFrameReader();

  const outbox: Outbox = createOutbox({
    write: (bytes) => socket?.write(bytes) ?? 0,
    onDrained: () => events.drained(),
    onOverflow: () => lose({ kind: "protocol", detail: "it does not read what it is sent" }),
  });

  const lose = (loss: Loss): void => {
    if (isOver) return;
    isOver = true;
    clearTimeout(resyncTimer);
    outbox.close();
    socket?.terminate();
    events.lost(loss);
  };

  const send = (bytes: Uint8Array): void => {
    unaskedBytes -= bytes.length * ANSWER_FACTOR;
    outbox.send(bytes);
  };

  /** Sends SYNC, and again with another nonce while no answer comes: a helper that was replaced has never seen the first. */
  const synchronise = (afterMs: number): void => {
    const nonce = crypto.getRandomValues(new Uint8Array(SYNC_NONCE_BYTES));
    finder = createSyncFinder(nonce);
    outbox.send(renderSync(nonce));
    const again = () => {
      if (outbox.isEmpty()) synchronise(Math.min(afterMs * 2, RESYNC_LAST_MS));
      else resyncTimer = setTimeout(again, afterMs);
    };
    resyncTimer = setTimeout(again, afterMs);
  };

  const begin = (): void => {
    phase = "synchronising";
    events.connected();
    if (isOver) return;
    if (transport.kind === "stream-socket") outbox.send(new Uint8Array(SYNC_PREAMBLE_BYTES));
    synchronise(RESYNC_FIRST_MS);
  };

  /** The vsock device's answer to CONNECT, up to its newline; the rest belongs to the stream. */
  const readAnswer = (bytes: Uint8Array): void => {
    const newline = bytes.indexOf(0x0a);
    answer += Buffer.from(newline < 0 ? bytes : bytes.subarray(0, newline))
      .toString("latin1")
      .slice(0, VSOCK_ANSWER_MAX_BYTES + 1);
    if (newline < 0 && answer.length <= VSOCK_ANSWER_MAX_BYTES) return;
    if (/^OK [0-9]+$/.test(answer)) {
      begin();
      if (newline + 1 < bytes.length) read(bytes.subarray(newline + 1));
    } else lose({ kind: "protocol", detail: "the vsock device gave no OK" });
  };

  const findSync = (bytes: Uint8Array): void => {
    staleBytes += bytes.length;
    const result = finder?.push(bytes);
    if (result?.found) {
      clearTimeout(resyncTimer);
      phase = "talking";
      events.synchronised();
      if (result.rest.length > 0) read(result.rest);
    } else if (staleBytes > STALE_MAX_BYTES) lose({ kind: "protocol", detail: "it talks but does not answer SYNC" });
  };

  const take = (frame: Frame): boolean => {
    if (frame.type === FRAME.data && frame.payload.length > 0)
      unaskedBytes -= FRAME_HEADER_BYTES + frame.payload.length;
    const problem = events.frame(frame);
    if (problem !== null) lose({ kind: "protocol", detail: problem });
    return !isOver;
  };

  const talk = (bytes: Uint8Array): void => {
    const nowMs = performance.now();
    unaskedBytes = Math.max(0, unaskedBytes - (nowMs - countedAtMs) * UNASKED_BYTES_PER_MS) + bytes.length;
    countedAtMs = nowMs;
    const result = reader.push(bytes, take);
    if (!result.ok) lose({ kind: result.detail === STARTED_ANEW ? "hung-up" : "protocol", detail: result.detail });
    else if (unaskedBytes > UNASKED_BURST_BYTES) lose({ kind: "protocol", detail: "it floods the host" });
  };

  const read = (bytes: Uint8Array): void => {
    if (isOver) return;
    if (phase === "asking") readAnswer(bytes);
    else if (phase === "synchronising") findSync(bytes);
    else talk(bytes);
  };

  const opened = (with_: Socket): void => {
    if (isOver) {
      with_.terminate();
      return;
    }
    socket = with_;
    if (transport.kind === "stream-socket") begin();
    else {
      phase = "asking";
      outbox.send(new TextEncoder().encode(`CONNECT ${transport.port}\n`));
    }
  };

  Bun.connect<undefined>({
    unix: transport.path,
    socket: {
      open: opened,
      data: (_, bytes) => read(bytes),
      drain: () => outbox.drain(),
      close: () =>
        lose({ kind: phase === "dialling" || phase === "asking" ? "unreachable" : "hung-up", detail: "it hung up" }),
      error: (_, error) => lose({ kind: "hung-up", detail: error.message }),
      connectError: (_, error) => lose({ kind: "unreachable", detail: error.message }),
    },
  }).catch((error: unknown) => lose({ kind: "unreachable", detail: String(error) }));

  return { send, lose, isBusy: () => outbox.isBusy(), isDrained: () => outbox.isEmpty() };
};
