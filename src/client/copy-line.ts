// The messages of one copy, over a stream to a guest.
import { fail } from "../spec/errors.ts";
import { createMessageReader, type Message, renderMessage } from "../spec/guest/messages.ts";
import type { ClientStream } from "./stream.ts";

export type CopyLine = {
  /** The next message of the guest; null after its end. Its bytes are valid until the next call. */
  next(): Promise<Message | null>;
  send(tag: number, bytes?: Uint8Array): Promise<void>;
};

/** What a copy does, as it does it; paths are of the copied tree, shown and not believed. */
export type CopyReport = {
  onFile(path: string, sizeBytes: number, resumedBytes: number): void;
  onBytes(bytes: number): void;
  /** An entry that was not copied; the others are. */
  onProblem(text: string): void;
};

export const openCopyLine = (stream: ClientStream, vm: string): CopyLine => {
  const reader = createMessageReader();
  const messages: Message[] = [];
  return {
    next: async () => {
      for (;;) {
        const message = messages.shift();
        if (message !== undefined) return message;
        const bytes = await stream.read();
        if (bytes === null) return null;
        const more = reader.push(bytes);
        if (more === null) throw fail("guest.protocol_error", { vm, detail: "a message beyond all measure" });
        messages.push(...more);
      }
    },
    send: (tag, bytes) => stream.write(renderMessage(tag, bytes)),
  };
};

export const showPath = (path: Uint8Array): string => Buffer.from(path).toString();
