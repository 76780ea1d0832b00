// One synchronised conversation with a helper: who may say what and when, and where each frame goes.
import { type Fields, renderFields } from "../spec/guest/fields.ts";
import { type Frame, renderFrame } from "../spec/guest/frames.ts";
import { type Ending, FRAME, PROTOCOL_VERSION } from "../spec/guest/protocol.ts";
import { type Hello, type Read, type Ready, readEnding, readHello, readReady } from "./hello.ts";
import { createRequests, type Requests } from "./requests.ts";
import { createStreams, type GuestStream, type Streams } from "./streams.ts";

export type SessionEvents = {
  ready(hello: Hello, ready: Ready): void;
  /** The guest goes down of its own will; said once in a session. */
  ending(why: Ending): void;
};

export type Session = {
  readonly requests: Pick<Requests, "ping" | "shutdown">;
  open(kind: string, fields: Fields): GuestStream;
  /** Handles one frame of the helper; returns what is wrong with it, or null. */
  frame(frame: Frame): string | null;
  drained(): void;
  lost(error: Error): void;
};

/** Begins by saying HELLO. */
export const createSession = (options: {
  vm: string;
  version: string;
  line: { send(bytes: Uint8Array): void; isBusy(): boolean };
  events: SessionEvents;
}): Session => {
  const { vm, line, events } = options;
  const requests = createRequests({ vm, send: line.send });
  const streams: Streams = createStreams({ vm, line });
  let hello: Hello | null = null;
  let isEnding = false;

  line.send(
    renderFrame({
      type: FRAME.hello,
      payload: renderFields({
        protocol: String(PROTOCOL_VERSION),
        version: options.version,
        abilities: "ping,shutdown",
      }),
    }),
  );

  const take = <Value>(read: Read<Value>, use: (value: Value) => void): string | null => {
    if (!read.ok) return read.detail;
    use(read.value);
    return null;
  };

  const takeEnding = (why: Ending): void => {
    if (isEnding) return;
    isEnding = true;
    events.ending(why);
  };

  const ofConnection = ({ type, payload, stream }: Frame, said: Hello): string | null => {
    if (type === FRAME.pong || type === FRAME.shutdownAck) return requests.frame({ type, payload, stream });
    if (type === FRAME.ready) return take(readReady(payload), (ready) => events.ready(said, ready));
    if (type === FRAME.ending) return take(readEnding(payload), takeEnding);
    return `a frame of type ${type}, which only the host sends`;
  };

  const frame = (given: Frame): string | null => {
    if (hello === null) {
      if (given.type !== FRAME.hello || given.stream !== 0) return "it does not begin with HELLO";
      return take(readHello(given.payload), (value) => {
        hello = value;
      });
    }
    if (given.type === FRAME.hello) return "a second HELLO";
    if (given.type >= FRAME.open) return streams.frame(given);
    if (given.stream !== 0) return "a frame of the connection on a stream";
    return ofConnection(given, hello);
  };

  return {
    requests,
    open: streams.open,
    frame,
    drained: streams.drained,
    lost: (error) => {
      requests.lost(error);
      streams.lost(error);
    },
  };
};
