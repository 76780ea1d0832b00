// Ctrl-C: the first one cancels the request and waits for what is undone, the second one leaves at once.
import { EXIT } from "../spec/errors.ts";
import type { Session } from "./session.ts";

export type Interrupt = { signal: AbortSignal; isInterrupted: () => boolean; end: () => void };

/** How long we stay to see the daemon undo what was cancelled. */
const UNDO_WAIT_MS = 30_000;

/** Watches for Ctrl-C from now on. `say` tells the user what it does. */
export const watchInterrupt = (say: (text: string) => void, options: { isCancellable: boolean }): Interrupt => {
  const controller = new AbortController();
  const onSignal = () => {
    if (controller.signal.aborted) process.exit(EXIT.interrupted);
    if (options.isCancellable) say("cancelling; what was done is being undone (Ctrl-C again leaves at once)\n");
    else say("leaving; bangerd finishes what it has begun\n");
    controller.abort();
  };
  process.on("SIGINT", onSignal);
  process.on("SIGTERM", onSignal);
  return {
    signal: controller.signal,
    isInterrupted: () => controller.signal.aborted,
    end: () => {
      process.off("SIGINT", onSignal);
      process.off("SIGTERM", onSignal);
    },
  };
};

/** Waits until the daemon has undone what was cancelled, so that the next command finds nothing of it. */
export const untilUndone = async (session: Session): Promise<void> => {
  const deadline = performance.now() + UNDO_WAIT_MS;
  while (performance.now() < deadline) {
    const hello = await session.client.peek().catch(() => null);
    if (!hello?.isBusy) return;
    await Bun.sleep(50);
  }
};
