// The numbers of the guest channel, version 1, as docs/guest.md §2 states them.

/** What both sides say in HELLO. */
export const PROTOCOL_VERSION = 1;

/** The name of the virtio-serial port that the helper looks for. */
export const CHANNEL_PORT_NAME = "banger.channel.0";
/** The vsock port that the helper listens on. */
export const VSOCK_PORT = 42070;
/** The vsock port of the host (CID 2) where the helper announces itself. */
export const VSOCK_ANNOUNCE_PORT = 42071;

/** Bytes before every payload: `u32 length, u16 stream, u8 type, u8 flags`, little-endian. */
export const FRAME_HEADER_BYTES = 8;
export const FRAME_PAYLOAD_MAX_BYTES = 65_536;
export const FRAME_MAX_BYTES = FRAME_HEADER_BYTES + FRAME_PAYLOAD_MAX_BYTES;

/** Opens a SYNC and its answer; as a header its length would be too long, so no frame can be taken for it. */
export const SYNC_MAGIC = new TextEncoder().encode("BANGERGC");
export const SYNC_NONCE_BYTES = 16;
export const SYNC_BYTES = 8 + SYNC_NONCE_BYTES;
/** Zeros before a SYNC on a line that is not fresh: they end any frame that the other side is in the middle of. */
export const SYNC_PREAMBLE_BYTES = FRAME_MAX_BYTES;

/** Bytes that each side may send on a new stream before it is given more. */
export const STREAM_CREDIT_BYTES = 256 * 1024;
/** A sum of unused credit beyond this is a protocol error. */
export const STREAM_CREDIT_MAX_BYTES = 2 ** 30;
export const STREAMS_MAX = 64;

export const FRAME = {
  hello: 1,
  ready: 2,
  ping: 3,
  pong: 4,
  shutdown: 5,
  shutdownAck: 6,
  ending: 7,
  open: 16,
  data: 17,
  credit: 18,
  eof: 19,
  close: 20,
} as const;

/** Types from here on are skipped by who does not know them. */
export const FRAME_OPTIONAL_FROM = 128;

/** Why a guest goes down of its own will. */
export const ENDINGS = ["poweroff", "reboot", "halt", "kexec"] as const;
export type Ending = (typeof ENDINGS)[number];

/** What a guest can be asked to do. */
export type ShutdownKind = "poweroff" | "reboot";

/** What a helper of this version can do besides streams; each kind of stream is an ability of the same name. */
export const ABILITIES = ["ping", "shutdown", "echo"] as const;
