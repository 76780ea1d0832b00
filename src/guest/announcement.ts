// Listens where a guest on vsock announces that its helper is there, so that the host need not find out by trying.
import { unlinkSync } from "node:fs";
import { SYNC_MAGIC, VSOCK_ANNOUNCE_PORT } from "../spec/guest/protocol.ts";

export type Announcements = {
  /** Removes the socket. */
  close(): void;
};

/** A guest has one helper, and it hangs up when it has spoken. */
const CALLERS_MAX = 4;
const CALLER_TIMEOUT_S = 5;
/** A guest that announces itself without end gets no more of the host's time. */
const PAUSE_MS = 100;

/**
 * A VMM leads the guest's port P to the socket `<udsPath>_<P>` (docs/guest.md §2). `onAnnounced` is a hint and nothing more:
 * what is sent is not believed. Where the socket cannot be made nothing is heard, and the host's own attempts have to do.
 */
export const listenForAnnouncements = (udsPath: string, onAnnounced: () => void): Announcements => {
  const path = `${udsPath}_${VSOCK_ANNOUNCE_PORT}`;
  let callers = 0;
  let heardAtMs = Number.NEGATIVE_INFINITY;

  const hear = (said: Buffer): void => {
    if (Buffer.compare(said.subarray(0, SYNC_MAGIC.length), SYNC_MAGIC) !== 0) return;
    const nowMs = performance.now();
    if (nowMs - heardAtMs < PAUSE_MS) return;
    heardAtMs = nowMs;
    onAnnounced();
  };

  const removeSocket = (): void => {
    try {
      unlinkSync(path);
    } catch {
      // There is none.
    }
  };

  const listen = () =>
    Bun.listen<{ said: Buffer }>({
      unix: path,
      socket: {
        open(socket) {
          callers += 1;
          socket.data = { said: Buffer.alloc(0) };
          if (callers > CALLERS_MAX) socket.terminate();
          else socket.timeout(CALLER_TIMEOUT_S);
        },
        data(socket, chunk) {
          const said = Buffer.concat([socket.data.said, chunk.subarray(0, SYNC_MAGIC.length)]);
          socket.data.said = said;
          if (said.length < SYNC_MAGIC.length) return;
          hear(said);
          socket.end();
        },
        timeout: (socket) => socket.terminate(),
        close() {
          callers -= 1;
        },
      },
    });

  // A daemon that was killed has left its socket behind; whoever opens this VM's channel is the only one who does.
  removeSocket();
  try {
    const listener = listen();
    return {
      close: () => {
        listener.stop(true);
        removeSocket();
      },
    };
  } catch {
    return { close: () => {} };
  }
};
