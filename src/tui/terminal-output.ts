// Writes to the terminal as fast as it takes it: of frames the newest, whole, and never more than one ahead of it.
import { constants, openSync, writeSync } from "node:fs";
import { type Frame, renderChanges } from "./frame.ts";

export type TerminalOutput = {
  /** Shows this frame, once the terminal has taken what it was given before; frames between are never written. */
  show: (frame: Frame) => void;
  /** Nobody knows what is on the screen: the next frame is written whole. */
  forget: () => void;
  /** Writes it before the next frame. */
  say: (text: string) => void;
  /** Waits until the terminal has taken everything of `text`, for a second at most: it may be gone. */
  insist: (text: string) => void;
};

/** How soon a terminal that takes no more is asked again, and until when where there is no later. */
const RETRY_MS = { first: 10, longest: 160 };
const INSIST_MS = 1000;
const PAUSE_MS = 2;

const pause = new Int32Array(new SharedArrayBuffer(4));

/**
 * The terminal under a description of its own, so that being asked not to wait does not reach the shell and whoever else has
 * it. Where it cannot be opened anew (it belongs to another user), the writer waits for the terminal as any program does.
 */
const openTerminal = (): number => {
  try {
    return openSync("/proc/self/fd/1", constants.O_WRONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
  } catch {
    return 1;
  }
};

/** How much of it the terminal took. One that is gone takes everything, since nothing can be done about it. */
const writeSome = (fd: number, bytes: Uint8Array): number => {
  try {
    return writeSync(fd, bytes);
  } catch (error) {
    const { code } = error as { code?: string };
    return code === "EAGAIN" || code === "EINTR" ? 0 : bytes.length;
  }
};

export const openTerminalOutput = (): TerminalOutput => {
  const fd = openTerminal();
  let shown: Frame | null = null;
  let wanted: Frame | null = null;
  /** What is to be said before the next frame: bounded, as nobody says more than a few sequences. */
  let said = "";
  let left: Uint8Array = new Uint8Array();
  let timer: ReturnType<typeof setTimeout> | null = null;
  let retryMs = RETRY_MS.first;

  const takeNext = (): void => {
    const changes = wanted === null ? "" : renderChanges(shown, wanted);
    shown = wanted ?? shown;
    wanted = null;
    left = Buffer.from(said + changes);
    said = "";
  };
  const write = (): void => {
    timer = null;
    do {
      if (left.length === 0) takeNext();
      const taken = writeSome(fd, left);
      left = left.subarray(taken);
      if (left.length > 0) {
        retryMs = taken > 0 ? RETRY_MS.first : Math.min(retryMs * 2, RETRY_MS.longest);
        timer = setTimeout(write, retryMs);
        return;
      }
    } while (said !== "" || wanted !== null);
  };
  const soon = (): void => {
    if (timer === null) write();
  };

  return {
    show: (frame) => {
      wanted = frame;
      soon();
    },
    forget: () => {
      shown = null;
    },
    say: (text) => {
      said += text;
      soon();
    },
    insist: (text) => {
      if (timer !== null) clearTimeout(timer);
      timer = null;
      left = Buffer.concat([left, Buffer.from(said + text)]);
      said = "";
      wanted = null;
      const deadline = performance.now() + INSIST_MS;
      while (left.length > 0 && performance.now() < deadline) {
        const taken = writeSome(fd, left);
        left = left.subarray(taken);
        if (taken === 0) Atomics.wait(pause, 0, 0, PAUSE_MS);
      }
      left = new Uint8Array();
    },
  };
};
