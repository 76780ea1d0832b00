// Events and the answer of one call on their way to its client: at the client's pace, and cut off where it takes none.

/** A client that never reads has the daemon keep so many, and is then gone. */
const MAX_QUEUED_EVENTS = 10_000;
/** Below this whoever has many to tell goes on. */
const ROOM_EVENTS = 5000;
const LINES_PER_PULL = 256;

export type Teller = {
  emit: (event: unknown) => void;
  /** Resolves when so few wait for the client that many more may be told at once; and when it is gone, since nobody need wait for it then. */
  untilRoom: () => Promise<void>;
};

/** A body of JSON lines, the answer of `run` last, which must not reject. `onGone`: the client went away or was cut off; what is told then is dropped. */
export const tellInLines = (
  run: (teller: Teller) => Promise<unknown>,
  onGone: () => void,
): ReadableStream<Uint8Array> => {
  const encoder = new TextEncoder();
  const queue: unknown[] = [];
  let isDone = false;
  let isGone = false;
  let wake = () => {};
  let room: PromiseWithResolvers<void> | null = null;

  const makeRoom = () => {
    room?.resolve();
    room = null;
  };
  const leave = () => {
    isGone = true;
    queue.length = 0;
    wake();
    makeRoom();
    onGone();
  };
  const untilRoom = async (): Promise<void> => {
    if (isGone || queue.length < ROOM_EVENTS) return;
    room ??= Promise.withResolvers<void>();
    await room.promise;
  };

  return new ReadableStream<Uint8Array>({
    start(controller) {
      const emit = (event: unknown) => {
        if (isGone) return;
        if (queue.length >= MAX_QUEUED_EVENTS) {
          controller.error(new Error("the client read too slowly"));
          leave();
          return;
        }
        queue.push({ jsonrpc: "2.0", method: "$/event", params: event });
        wake();
      };
      void run({ emit, untilRoom }).then((answer) => {
        isDone = true;
        queue.push(answer);
        wake();
      });
    },
    async pull(controller) {
      while (queue.length === 0 && !isGone) {
        const { promise, resolve } = Promise.withResolvers<void>();
        wake = resolve;
        await promise;
      }
      if (isGone) return;
      const lines = queue.splice(0, LINES_PER_PULL).map((line) => JSON.stringify(line));
      controller.enqueue(encoder.encode(`${lines.join("\n")}\n`));
      if (queue.length < ROOM_EVENTS) makeRoom();
      if (isDone && queue.length === 0) controller.close();
    },
    cancel: leave,
  });
};
