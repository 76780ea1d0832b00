// What goes over the daemon's socket for streams: messages (spec/guest/messages.ts) that open one stream to a guest and then carry it.
import type { Fields } from "./guest/fields.ts";

/** Where it is: in the directory of the daemon's socket. */
export const STREAM_SOCKET_NAME = "streams.sock";

export const STREAM_TAG = {
  /** Client: a piece of the request, JSON in UTF-8; many fields may need several. */
  request: 1,
  /** Client: the request is complete. Daemon: the stream is open. */
  begin: 2,
  /** Both: bytes of the stream. */
  data: 3,
  /** Both: nothing more comes in this direction. */
  end: 4,
  /** Daemon, last: it failed; an error report, JSON. */
  failed: 5,
} as const;

/** More than the fields of any stream. */
export const STREAM_REQUEST_MAX_BYTES = 1024 * 1024;

/** `vm` is an id, a name or a prefix of one; `kind` and `fields` are those of OPEN (docs/guest.md §2). */
export type StreamRequest = { vm: string; kind: string; fields: Fields };
