// Messages inside a stream of the guest channel: a tag, a length and bytes, whatever pieces the stream is cut into.

export const MESSAGE_HEADER_BYTES = 5;
export const MESSAGE_MAX_BYTES = 65_536;

export type Message = { tag: number; bytes: Uint8Array };

export const renderMessage = (tag: number, bytes: Uint8Array = new Uint8Array(0)): Uint8Array => {
  const message = new Uint8Array(MESSAGE_HEADER_BYTES + bytes.length);
  message[0] = tag;
  new DataView(message.buffer).setUint32(1, bytes.length, true);
  message.set(bytes, MESSAGE_HEADER_BYTES);
  return message;
};

export type MessageReader = {
  /** The messages that are whole with these bytes; null once a length was beyond all measure, and from then on. */
  push(bytes: Uint8Array): Message[] | null;
  /** Whether the stream could end here. */
  isBetween(): boolean;
};

/** Holds one unfinished message at most. The bytes of a message are valid until the next push. */
export const createMessageReader = (): MessageReader => {
  let held = new Uint8Array(0);
  let isBroken = false;

  const lengthAt = (bytes: Uint8Array, at: number): number =>
    new DataView(bytes.buffer, bytes.byteOffset + at, bytes.length - at).getUint32(1, true);

  return {
    push: (piece) => {
      let bytes = piece;
      if (held.length > 0) {
        bytes = new Uint8Array(held.length + piece.length);
        bytes.set(held);
        bytes.set(piece, held.length);
      }
      const messages: Message[] = [];
      let at = 0;
      while (!isBroken && bytes.length - at >= MESSAGE_HEADER_BYTES) {
        const length = lengthAt(bytes, at);
        if (length > MESSAGE_MAX_BYTES) isBroken = true;
        const end = at + MESSAGE_HEADER_BYTES + length;
        if (isBroken || end > bytes.length) break;
        messages.push({ tag: bytes[at] as number, bytes: bytes.subarray(at + MESSAGE_HEADER_BYTES, end) });
        at = end;
      }
      held = bytes.slice(at);
      return isBroken ? null : messages;
    },
    isBetween: () => held.length === 0,
  };
};
