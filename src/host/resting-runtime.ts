// How the runtime behaves while a program of ours has nothing to do: that is set by its environment alone, when it begins.

/**
 * How often it looks for garbage when nothing happens, in milliseconds; allocations ask for it whenever they need it. At its default
 * of a second that is most of what an idle program of ours does.
 */
const IDLE_GC_MS = 10_000;

export const RESTING_RUNTIME = { BUN_GC_TIMER_INTERVAL: String(IDLE_GC_MS) } as const;

/** Begins this program anew, in the same process and with the same words, with a runtime that rests; returns where it does so already. */
export const beginAnewResting = (words: readonly string[]): void => {
  const [[name, value]] = Object.entries(RESTING_RUNTIME) as [[string, string]];
  if (process.env[name] !== undefined || process.execve === undefined) return;
  process.execve(process.execPath, [process.argv0, ...words], { ...process.env, [name]: value });
};
