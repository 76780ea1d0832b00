// The name server's UDP side: through the program in front where there is one that works, by ourselves otherwise.
import type { OpenDnsFront } from "../host/dns-front.ts";
import { describeUnknown } from "../spec/errors.ts";
import { openUdpListener, type UdpListener, type UdpListenerOptions } from "./udp-listener.ts";

export type UdpSide = Omit<UdpListener, "close"> & {
  /** The port is free when this returns, or resolves. */
  close(): void | Promise<void>;
  /** Ends what a program in front remembers. */
  forget?(): void;
  /** What it answered by itself, by RCODE. */
  remembered?(): Readonly<Record<number, number>>;
};

type Options = Pick<UdpListenerOptions, "host" | "answer"> & {
  front: OpenDnsFront | undefined;
  log: (message: string) => void;
  /** The program in front ended by itself, and with it the socket; the next one opened is our own. */
  onLost: () => void;
};

/** Whether the failure is about the port, which nobody else could have either. */
const isAboutPort = (error: unknown): boolean => error instanceof Error && error.name === "CannotBind";

/** Opens the UDP side at a port, or on a socket that is bound; rejects as `openUdpListener` does. */
export const openFrontedUdp = ({ host, answer, front, log, onLost }: Options) => {
  let usable = front;
  const giveUp = (detail: string) => {
    usable = undefined;
    log(`banger-dns-front is not used any more, and names are answered without it: ${detail}`);
  };
  const openFront = async (open: OpenDnsFront, port: number): Promise<UdpSide | null> => {
    try {
      return await open({
        host,
        port,
        answer: (query, client) => {
          const bytes = answer(query, client);
          // Only who forwards answers later, and who forwards has nobody in front.
          return bytes instanceof Promise ? null : bytes;
        },
        onEnd: () => {
          giveUp("it ended");
          onLost();
        },
      });
    } catch (error) {
      if (isAboutPort(error)) throw error;
      giveUp(describeUnknown(error));
      return null;
    }
  };
  return async (port: number, fd?: number): Promise<UdpSide> => {
    const fronted = usable && fd === undefined ? await openFront(usable, port) : null;
    return fronted ?? (await openUdpListener({ host, port, fd, answer }));
  };
};
