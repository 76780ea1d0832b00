// One key of a person's on the terminal, without Enter and without an end to the waiting.
import type { Session } from "./session.ts";

/** The first key that is one of `keys`; `fallback` for Enter, Escape, Ctrl-C and Ctrl-D. */
export const askKey = (
  session: Session,
  question: { text: string; keys: readonly string[]; fallback: string },
): Promise<string> => {
  const { text, keys, fallback } = question;
  const input = process.stdin;
  const { promise, resolve } = Promise.withResolvers<string>();
  const restore = (): void => void input.setRawMode(false);
  const onData = (bytes: Buffer): void => {
    const typed = bytes.toString().toLowerCase();
    const found = keys.find((key) => typed.startsWith(key));
    const isDone = /^(?:[\r\n\x03\x04]|\x1b$)/.test(typed);
    if (found !== undefined || isDone) resolve(found ?? fallback);
  };
  const onEnd = (): void => resolve(fallback);
  process.on("exit", restore);
  input.setRawMode(true);
  input.on("data", onData);
  input.on("end", onEnd);
  input.resume();
  // Last: a key that is pressed the moment it is asked for counts.
  session.terminal.err(text);
  return promise.finally(() => {
    input.off("data", onData);
    input.off("end", onEnd);
    input.pause();
    input.unref?.();
    restore();
    process.off("exit", restore);
    session.terminal.err("\n");
  });
};
