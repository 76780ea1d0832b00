// The frame codec of the guest channel: renders frames, and finds them in bytes that arrive in any pieces, in bounded memory.
import {
  FRAME,
  FRAME_HEADER_BYTES,
  FRAME_MAX_BYTES,
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
  if (header.type === 0) return STARTED_ANEW;
  if (!KNOWN.has(header.type)) return `a frame of unknown type ${header.type}`;
  if (header.flags !== 0) return `a frame with flags ${header.flags}`;
  return null;
};

/** Why the stream can be read no further, if so. */
export type ReadResult = { ok: true } | { ok: false; detail: string };

/** What a reader says of a frame of type 0: a helper that starts anew on a line that stays open sends nothing but zeros first. */
export const STARTED_ANEW = "the helper has started anew";

/** Reads frames from a synchronised stream; holds at most one frame that is not complete. */
export type FrameReader = {
  /** Calls `take` for each complete frame, in order; false from it stops the reading. After a result that is not ok the reader is of no more use. */
  push(bytes: Uint8Array, take: (frame: Frame) => boolean): ReadResult;
};

/** A frame at the beginning of some bytes; an optional one is known by its header alone. */
type Found = { size: number; frame: Frame | null };

/** What begins these bytes: a frame, what is wrong with it, or null when more bytes are needed to tell. */
const findFrame = (bytes: Uint8Array): Found | string | null => {
  if (bytes.length < FRAME_HEADER_BYTES) return null;
  const view = new DataView(bytes.buffer, bytes.byteOffset, FRAME_HEADER_BYTES);
  const header = { length: view.getUint32(0, true), type: view.getUint8(6), flags: view.getUint8(7) };
  const problem = headerProblem(header);
  if (problem !== null) return problem;
  const size = FRAME_HEADER_BYTES + header.length;
  if (header.type >= FRAME_OPTIONAL_FROM) return { size, frame: null };
  if (size > bytes.length) return null;
  const payload = bytes.subarray(FRAME_HEADER_BYTES, size);
  return { size, frame: { type: header.type, stream: view.getUint16(4, true), payload } };
};

export const createFrameReader = (): FrameReader => {
  let held: Uint8Array = NOTHING;
  let heldBytes = 0;
  /** Payload bytes of an optional frame that are still to be dropped. */
  let toSkip = 0;
  let broken: string | null = null;

  const hold = (bytes: Uint8Array): void => {
    const needed = heldBytes + bytes.length;
    if (held.length < needed) {
      const larger = new Uint8Array(Math.max(needed, Math.min(needed * 2, FRAME_MAX_BYTES)));
      larger.set(held.subarray(0, heldBytes));
      held = larger;
    }
    held.set(bytes, heldBytes);
    heldBytes = needed;
  };

  /** How long the frame that is held is, as far as its header tells. */
  const heldSize = (): number =>
    heldBytes < FRAME_HEADER_BYTES
      ? FRAME_HEADER_BYTES
      : FRAME_HEADER_BYTES + new DataView(held.buffer, held.byteOffset).getUint32(0, true);

  /** Takes what was found in `available` bytes; returns how many of them it used. */
  const use = (found: Found | string, available: number, take: (frame: Frame) => boolean): number => {
    if (typeof found === "string") {
      broken = found;
      return 0;
    }
    const used = Math.min(found.size, available);
    toSkip = found.size - used;
    if (found.frame !== null && !take(found.frame)) broken = "the receiver has stopped";
    return used;
  };

  const push = (bytes: Uint8Array, take: (frame: Frame) => boolean): ReadResult => {
    let at = 0;
    while (broken === null && at < bytes.length) {
      const rest = bytes.subarray(at);
      if (toSkip > 0) {
        const skipped = Math.min(toSkip, rest.length);
        toSkip -= skipped;
        at += skipped;
      } else if (heldBytes > 0) {
        /* A frame in pieces is completed by no more bytes than it wants; what follows is read where it lies. */
        const piece = rest.subarray(0, heldSize() - heldBytes);
        hold(piece);
        at += piece.length;
        const found = findFrame(held.subarray(0, heldBytes));
        if (found === null) continue;
        use(found, heldBytes, take);
        held = NOTHING;
        heldBytes = 0;
      } else {
        const found = findFrame(rest);
        if (found === null) {
          hold(rest);
          break;
        }
        at += use(found, rest.length, take);
      }
    }
    return broken === null ? { ok: true } : { ok: false, detail: broken };
  };

  return { push };
};
