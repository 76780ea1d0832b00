// Holds what a guest has sent on one stream and nobody has read yet, as one buffer: small pieces must not cost more than their bytes.

export type Inbox = {
  readonly readable: ReadableStream<Uint8Array>;
  /** Copies the bytes. The caller has made sure that credit allows them. */
  put(bytes: Uint8Array): void;
  /** Nothing more comes; what is held is still delivered, then the end or the error. */
  end(failure: Error | null): void;
};

const FIRST_BYTES = 16 * 1024;

export const createInbox = (options: {
  /** These many bytes have been handed to the reader. */
  onTaken: (bytes: number) => void;
  onCancel: () => void;
}): Inbox => {
  let buffer = new Uint8Array(0);
  let used = 0;
  let ending: { failure: Error | null } | null = null;
  let isOver = false;
  let wanted: (() => void) | null = null;

  const deliver = (controller: ReadableStreamDefaultController<Uint8Array>): boolean => {
    if (used > 0) {
      const bytes = buffer.subarray(0, used);
      buffer = new Uint8Array(0);
      used = 0;
      controller.enqueue(bytes);
      options.onTaken(bytes.length);
      return true;
    }
    if (ending === null) return false;
    isOver = true;
    if (ending.failure === null) controller.close();
    else controller.error(ending.failure);
    return true;
  };

  const readable = new ReadableStream<Uint8Array>(
    {
      pull: async (controller) => {
        while (!isOver && !deliver(controller)) {
          const { promise, resolve } = Promise.withResolvers<void>();
          wanted = resolve;
          await promise;
        }
      },
      cancel: () => {
        isOver = true;
        used = 0;
        wanted?.();
        options.onCancel();
      },
    },
    new CountQueuingStrategy({ highWaterMark: 0 }),
  );

  return {
    readable,
    put: (bytes) => {
      if (isOver) return;
      if (used + bytes.length > buffer.length) {
        const larger = new Uint8Array(Math.max(FIRST_BYTES, used + bytes.length, buffer.length * 2));
        larger.set(buffer.subarray(0, used));
        buffer = larger;
      }
      buffer.set(bytes, used);
      used += bytes.length;
      wanted?.();
    },
    end: (failure) => {
      ending ??= { failure };
      if (failure !== null) ending = { failure };
      wanted?.();
    },
  };
};
