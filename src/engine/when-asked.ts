// Does one thing whenever it is asked for: what is asked within a moment is one, and what is asked while it is done has it done once more.

/** `work` must not reject; it sees all that had happened when it was asked for. */
export const whenAsked = (options: { settleMs: number; work: () => Promise<void> }): (() => void) => {
  let isAsked = false;
  let isRunning = false;
  const run = async (): Promise<void> => {
    isRunning = true;
    while (isAsked) {
      await Bun.sleep(options.settleMs);
      isAsked = false;
      await options.work();
    }
    isRunning = false;
  };
  return () => {
    isAsked = true;
    if (!isRunning) void run();
  };
};
