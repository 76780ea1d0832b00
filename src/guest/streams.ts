// The streams of one connection: credit both ways, at most 256 KiB held for each, and an end that is always told.
import { fail } from "../spec/errors.ts";
import { type Fields, parseFields, renderFields } from "../spec/guest/fields.ts";
import { type Frame, renderFrame } from "../spec/guest/frames.ts";
import {
  FRAME,
  FRAME_PAYLOAD_MAX_BYTES,
  STREAM_CREDIT_BYTES,
  STREAM_CREDIT_MAX_BYTES,
  STREAMS_MAX,
} from "../spec/guest/protocol.ts";
import { createInbox } from "./inbox.ts";
import { printable } from "./printable.ts";

/** One stream of bytes in both directions. */
export type GuestStream = {
  /** What the guest sends. Errors with guest.refused when the guest closes it with an error, guest.channel_lost when the connection breaks. Cancelling it aborts the stream. */
  readonly readable: ReadableStream<Uint8Array>;
  /** What the guest is sent. A write waits for the guest's credit; closing it tells the guest that nothing more comes. */
  readonly writable: WritableStream<Uint8Array>;
  /** Settles when the stream is over: resolved after an orderly end, rejected with the same error as the two directions otherwise. */
  readonly closed: Promise<void>;
  /** Ends the stream at once in both directions; the guest is told why. Rejects what is pending with `operation.cancelled`. */
  abort(reason?: string): void;
};

/** The way out for frames, as far as streams need to know it. */
export type StreamLine = {
  send(bytes: Uint8Array): void;
  isBusy(): boolean;
};

type State = {
  id: number;
  kind: string;
  sendCredit: number;
  receiveCredit: number;
  /** Bytes read by the consumer and not yet given back to the guest as credit. */
  owedCredit: number;
  guestEnded: boolean;
  weEnded: boolean;
  weClosed: boolean;
  /** Deliver no more: what still comes is counted and dropped. */
  isDeaf: boolean;
  inbox: ReturnType<typeof createInbox>;
  /** Continues a write that waits for credit or for the line. */
  resumeWrite: (() => void) | null;
  failure: Error | null;
  settle: { resolve: () => void; reject: (error: Error) => void };
  writableController: WritableStreamDefaultController | null;
};

/** Give credit back in portions of this size: half of what the guest may have under way. */
const GRANT_BYTES = STREAM_CREDIT_BYTES / 2;

export type Streams = {
  /** Errors: guest.refused when too many are open. */
  open(kind: string, fields: Fields): GuestStream;
  /** Handles OPEN, DATA, CREDIT, EOF and CLOSE; returns what is wrong, or null. */
  frame(frame: Frame): string | null;
  /** The line takes bytes again. */
  drained(): void;
  /** The connection is gone. */
  lost(error: Error): void;
};

export const createStreams = (options: { vm: string; line: StreamLine }): Streams => {
  const { vm, line } = options;
  const live = new Map<number, State>();
  let lastId = 0;

  const send = (type: number, stream: number, payload?: Uint8Array) =>
    line.send(renderFrame(payload === undefined ? { type, stream } : { type, stream, payload }));

  const nextId = (): number => {
    if (live.size >= STREAMS_MAX)
      throw fail("guest.refused", { vm, detail: `more than ${STREAMS_MAX} streams at once` });
    do lastId = (lastId % 0xffff) + 1;
    while (live.has(lastId));
    return lastId;
  };

  /** Ends both directions for whoever uses the stream; `failure` null is an orderly end. */
  const finish = (state: State, failure: Error | null): void => {
    if (state.failure === null && !state.isDeaf) {
      state.failure = failure;
      state.inbox.end(failure);
      if (failure === null) state.settle.resolve();
      else state.settle.reject(failure);
      if (!state.weEnded)
        state.writableController?.error(failure ?? fail("guest.refused", { vm, detail: "it closed the stream" }));
    }
    state.resumeWrite?.();
  };

  const grant = (state: State): void => {
    if (state.guestEnded || state.weClosed || line.isBusy()) return;
    const payload = new Uint8Array(4);
    new DataView(payload.buffer).setUint32(0, state.owedCredit, true);
    state.receiveCredit += state.owedCredit;
    state.owedCredit = 0;
    send(FRAME.credit, state.id, payload);
  };

  const consumed = (state: State, bytes: number): void => {
    state.owedCredit += bytes;
    if (state.owedCredit >= GRANT_BYTES) grant(state);
  };

  const abort = (state: State, reason: string): void => {
    if (state.weClosed || live.get(state.id) !== state) return;
    state.weClosed = true;
    send(FRAME.close, state.id, renderFields({ error: reason }));
    finish(state, fail("operation.cancelled", { operation: `the ${state.kind} stream to ${vm}` }));
    state.isDeaf = true;
  };

  /** Sends all of the bytes, as credit and the line allow. */
  const write = async (state: State, bytes: Uint8Array): Promise<void> => {
    let at = 0;
    while (at < bytes.length) {
      if (state.failure !== null) throw state.failure;
      if (state.weClosed) throw fail("guest.refused", { vm, detail: "it closed the stream" });
      const count = Math.min(bytes.length - at, state.sendCredit, FRAME_PAYLOAD_MAX_BYTES);
      if (count > 0 && !line.isBusy()) {
        state.sendCredit -= count;
        send(FRAME.data, state.id, bytes.subarray(at, at + count));
        at += count;
        continue;
      }
      const { promise, resolve } = Promise.withResolvers<void>();
      state.resumeWrite = resolve;
      await promise;
      state.resumeWrite = null;
    }
  };

  const writableOf = (state: State): WritableStream<Uint8Array> =>
    new WritableStream<Uint8Array>(
      {
        start: (controller) => {
          state.writableController = controller;
        },
        write: (bytes) => write(state, bytes),
        close: () => {
          if (state.weClosed || state.weEnded) return;
          state.weEnded = true;
          send(FRAME.eof, state.id);
        },
        abort: (reason) => abort(state, printable(String(reason))),
      },
      new CountQueuingStrategy({ highWaterMark: 1 }),
    );

  const open = (kind: string, fields: Fields): GuestStream => {
    const id = nextId();
    const { promise: closed, resolve, reject } = Promise.withResolvers<void>();
    closed.catch(() => undefined); /* whoever reads or writes learns of it there */
    const state: State = {
      id,
      kind,
      sendCredit: STREAM_CREDIT_BYTES,
      receiveCredit: STREAM_CREDIT_BYTES,
      owedCredit: 0,
      guestEnded: false,
      weEnded: false,
      weClosed: false,
      isDeaf: false,
      inbox: createInbox({
        onTaken: (bytes) => consumed(state, bytes),
        onCancel: () => abort(state, "not wanted any more"),
      }),
      resumeWrite: null,
      failure: null,
      settle: { resolve, reject },
      writableController: null,
    };
    live.set(id, state);
    send(FRAME.open, id, renderFields({ ...fields, kind }));
    return {
      readable: state.inbox.readable,
      writable: writableOf(state),
      closed,
      abort: (reason = "aborted") => abort(state, reason),
    };
  };

  const takeData = (state: State, payload: Uint8Array): string | null => {
    if (state.guestEnded) return "data after the end of a stream";
    if (payload.length > state.receiveCredit) return "more data than it was given credit for";
    state.receiveCredit -= payload.length;
    if (!state.isDeaf) state.inbox.put(payload);
    return null;
  };

  const takeCredit = (state: State, payload: Uint8Array): string | null => {
    if (payload.length !== 4) return "a credit of the wrong size";
    state.sendCredit += new DataView(payload.buffer, payload.byteOffset).getUint32(0, true);
    if (state.sendCredit > STREAM_CREDIT_MAX_BYTES) return "a credit beyond all measure";
    state.resumeWrite?.();
    return null;
  };

  const takeEof = (state: State): string | null => {
    if (state.guestEnded) return "a stream that ends twice";
    state.guestEnded = true;
    if (!state.isDeaf) state.inbox.end(null);
    return null;
  };

  const takeClose = (state: State, payload: Uint8Array): string | null => {
    const parsed = parseFields(payload);
    if (!parsed.ok) return parsed.detail;
    const error = parsed.fields.error;
    live.delete(state.id);
    if (!state.weClosed) send(FRAME.close, state.id);
    state.weClosed = true;
    finish(state, error === undefined ? null : fail("guest.refused", { vm, detail: printable(error) }));
    return null;
  };

  const frame = ({ type, stream, payload }: Frame): string | null => {
    const state = live.get(stream);
    if (state === undefined) return "a frame for a stream that is not open";
    if (type === FRAME.data) return takeData(state, payload);
    if (type === FRAME.credit) return takeCredit(state, payload);
    if (type === FRAME.eof) return payload.length === 0 ? takeEof(state) : "an end with a payload";
    if (type === FRAME.close) return takeClose(state, payload);
    return "a guest that opens a stream";
  };

  return {
    open,
    frame,
    drained: () => {
      for (const state of live.values()) {
        if (state.owedCredit >= GRANT_BYTES) grant(state);
        state.resumeWrite?.();
      }
    },
    lost: (error) => {
      for (const state of live.values()) finish(state, error);
      live.clear();
    },
  };
};
