// The frame codec of the guest channel: renders frames, and finds them in bytes that arrive in any pieces, in bounded memory.
import {
  FRAME,
  FRAME_HEADER_BYTES,
  FRAME_OPTIONAL_FROM,
  FRAME_PAYLOAD_MAX_BYTES,
  SYNC_BYTES,
  SYNC_MAGIC,
} from "./protocol.ts";

/** One frame. `payload` may be a view of the bytes that were pushed: copy it to keep it. */
export type Frame = { type: number; stream: number; payload: Uint8Array };

const NOTHING = new Uint8Array(0);
const KNOWN: ReadonlySet<number> = new Set(Object.values(FRAME));

/** The bytes of one frame. The payload is at most 65 536 bytes; a longer one is cut by its callers, never here. */
export const renderFrame = (frame: { type: number; stream?: number; payload?: Uint8Array }): Uint8Array => {
  const payload = frame.payload ?? NOTHING;
  const bytes = new Uint8Array(FRAME_HEADER_BYTES + payload.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, payload.length, true);
  view.setUint16(4, frame.stream ?? 0, true);
  view.setUint8(6, frame.type);
  bytes.set(payload, FRAME_HEADER_BYTES);
  return bytes;
};

/** SYNC, and equally its answer. */
export const renderSync = (nonce: Uint8Array): Uint8Array => {
  const bytes = new Uint8Array(SYNC_BYTES);
  bytes.set(SYNC_MAGIC);
  bytes.set(nonce, SYNC_MAGIC.length);
  return bytes;
};

/** Drops bytes until one exact sequence has come; `rest` is what follows it, once it has. */
export type SyncFinder = { push(bytes: Uint8Array): { found: false } | { found: true; rest: Uint8Array } };

/** Finds the answer to the SYNC with this nonce, wherever in the stream and in whatever pieces it comes. */
export const createSyncFinder = (nonce: Uint8Array): SyncFinder => {
  const needle = Buffer.from(renderSync(nonce));
  let tail: Uint8Array = NOTHING;
  return {
    push: (bytes) => {
      const text = tail.length === 0 ? bytes : Buffer.concat([tail, bytes]);
      const at = Buffer.from(text.buffer, text.byteOffset, text.length).indexOf(needle);
      if (at >= 0) return { found: true, rest: text.subarray(at + needle.length) };
      tail = Uint8Array.from(text.subarray(Math.max(0, text.length - needle.length + 1)));
      return { found: false };
    },
  };
};

/** Why these eight bytes are no frame, or null. */
const headerProblem = (header: { length: number; type: number; flags: number }): string | null => {
  if (header.length > FRAME_PAYLOAD_MAX_BYTES) return `a frame of ${header.length} bytes`;
  if (header.type >= FRAME_OPTIONAL_FROM) return null;
  if (!KNOWN.has(header.type)) return `a frame of unknown type ${header.type}`;
  if (header.flags !== 0) return `a frame with flags ${header.flags}`;
  return null;
};

/** What a push came to: how many optional frames were passed over, or why the stream can be read no further. */
export type ReadResult = { ok: true; skipped: number } | { ok: false; detail: string };

/** Reads frames from a synchronised stream; holds at most one frame that is not complete. */
export type FrameReader = {
  /** Calls `take` for each complete frame, in order; false from it stops the reading. After a result that is not ok the reader is of no more use. */
  push(bytes: Uint8Array, take: (frame: Frame) => boolean): ReadResult;
};

export const createFrameReader = (): FrameReader => {
  let held: Uint8Array = NOTHING;
  let heldBytes = 0;
  /** Payload bytes of an optional frame that are still to be dropped. */
  let toSkip = 0;
  let broken: string | null = null;

  /** The complete frame at `at`, what is wrong there, or null when more bytes are needed. */
  const frameAt = (bytes: Uint8Array, at: number): (Frame & { end: number }) | string | null => {
    if (bytes.length - at < FRAME_HEADER_BYTES) return null;
    const view = new DataView(bytes.buffer, bytes.byteOffset + at, FRAME_HEADER_BYTES);
    const header = { length: view.getUint32(0, true), type: view.getUint8(6), flags: view.getUint8(7) };
    const problem = headerProblem(header);
    if (problem !== null) return problem;
    const begin = at + FRAME_HEADER_BYTES;
    const end = begin + header.length;
    if (header.type >= FRAME_OPTIONAL_FROM) return { type: header.type, stream: 0, payload: NOTHING, end };
    if (end > bytes.length) return null;
    return { type: header.type, stream: view.getUint16(4, true), payload: bytes.subarray(begin, end), end };
  };

  /** How many bytes the frame that is held needs, as far as its header tells. */
  const wanted = (): number =>
    heldBytes < FRAME_HEADER_BYTES
      ? FRAME_HEADER_BYTES
      : FRAME_HEADER_BYTES + new DataView(held.buffer, held.byteOffset).getUint32(0, true);

  const hold = (bytes: Uint8Array): void => {
    const needed = heldBytes + bytes.length;
    if (held.length < needed) {
      const larger = new Uint8Array(
        Math.max(needed, Math.min(needed * 2, FRAME_HEADER_BYTES + FRAME_PAYLOAD_MAX_BYTES)),
      );
      larger.set(held.subarray(0, heldBytes));
      held = larger;
    }
    held.set(bytes, heldBytes);
    heldBytes = needed;
  };

  /** Reads whole frames from `bytes`; returns where the first incomplete one begins, or what is wrong. */
  const readWhole = (
    bytes: Uint8Array,
    take: (frame: Frame) => boolean,
    count: { skipped: number },
  ): number | string => {
    let at = 0;
    while (at < bytes.length) {
      const frame = frameAt(bytes, at);
      if (frame === null) return at;
      if (typeof frame === "string") return frame;
      at = Math.min(frame.end, bytes.length);
      toSkip = frame.end - at;
      if (frame.type >= FRAME_OPTIONAL_FROM) count.skipped += 1;
      else if (!take(frame)) return "the receiver has stopped";
    }
    return at;
  };

  const push = (bytes: Uint8Array, take: (frame: Frame) => boolean): ReadResult => {
    if (broken !== null) return { ok: false, detail: broken };
    const count = { skipped: 0 };
    let at = Math.min(toSkip, bytes.length);
    toSkip -= at;
    /* A frame in pieces is completed first, by no more bytes than it wants; the rest is read where it lies. */
    while (heldBytes > 0 && at < bytes.length) {
      const piece = bytes.subarray(at, at + wanted() - heldBytes);
      hold(piece);
      at += piece.length;
      const read = readWhole(held.subarray(0, heldBytes), take, count);
      if (typeof read === "string") {
        broken = read;
        return { ok: false, detail: read };
      }
      if (read > 0) {
        heldBytes = 0;
        held = NOTHING;
        const skipped = Math.min(toSkip, bytes.length - at);
        toSkip -= skipped;
        at += skipped;
      }
    }
    const read = readWhole(bytes.subarray(at), take, count);
    if (typeof read === "string") {
      broken = read;
      return { ok: false, detail: read };
    }
    if (at + read < bytes.length) hold(bytes.subarray(at + read));
    return { ok: true, skipped: count.skipped };
  };

  return { push };
};
