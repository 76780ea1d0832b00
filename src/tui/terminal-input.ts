// Reads the terminal, byte by byte as it comes, for as long as we run: its keys are ours, or go to whoever has the screen.
import { openKeyDecoder } from "./key-decoder.ts";
import type { KeyPress } from "./keys.ts";

export type TerminalInput = {
  /** Everything typed goes to `taker` until the answer is called, beginning with what came behind the last key. */
  carryTo: (taker: (bytes: Uint8Array) => void) => () => void;
  /** Whether the terminal gives us every key by itself, as it does from the beginning. */
  setRaw: (isRaw: boolean) => void;
  close: () => void;
};

/** `onEnd`: the terminal is gone. There is one reader for good: of two each would get some of the keys. */
export const openTerminalInput = (given: { onKey: (key: KeyPress) => void; onEnd: () => void }): TerminalInput => {
  const { stdin } = process;
  const decoder = openKeyDecoder();
  let taker: ((bytes: Uint8Array) => void) | null = null;
  let timer: ReturnType<typeof setTimeout> | null = null;

  const stopWaiting = (): void => {
    if (timer !== null) clearTimeout(timer);
    timer = null;
  };
  const passOn = (): void => {
    stopWaiting();
    const rest = decoder.drain();
    if (rest.length > 0) taker?.(rest);
  };
  const deliver = (): void => {
    for (let key = decoder.next(); key !== null; key = decoder.next()) {
      given.onKey(key);
      // That key gave the screen away: what was typed behind it is not ours.
      if (taker !== null) {
        passOn();
        return;
      }
    }
    const patienceMs = decoder.patienceMs();
    if (patienceMs !== null) timer = setTimeout(expire, patienceMs);
  };
  const expire = (): void => {
    timer = null;
    decoder.expire();
    deliver();
  };
  const onData = (bytes: Uint8Array): void => {
    if (taker !== null) {
      taker(bytes);
      return;
    }
    stopWaiting();
    decoder.push(bytes);
    deliver();
  };

  stdin.on("data", onData);
  stdin.on("end", given.onEnd);
  stdin.on("error", given.onEnd);
  stdin.setRawMode(true);
  return {
    carryTo: (next) => {
      taker = next;
      passOn();
      return () => {
        if (taker === next) taker = null;
      };
    },
    setRaw: (isRaw) => void stdin.setRawMode(isRaw),
    close: () => {
      stopWaiting();
      stdin.off("data", onData);
      stdin.off("end", given.onEnd);
      stdin.setRawMode(false);
      stdin.pause();
      stdin.unref();
    },
  };
};
