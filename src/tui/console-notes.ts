// While the screen is ours, what a library prints is a note on it: printed, it would be in the middle of a row.

const methods = ["debug", "error", "info", "log", "trace", "warn"] as const;

/** Answers what makes the console print again. */
export const divertConsole = (note: (text: string) => void): (() => void) => {
  // biome-ignore lint/suspicious/noConsole: nothing is printed; what prints is put aside and put back.
  const printing = methods.map((method) => [method, console[method]] as const);
  for (const method of methods) {
    console[method] = (...words: readonly unknown[]) =>
      note(words.map((word) => (typeof word === "string" ? word : Bun.inspect(word))).join(" "));
  }
  return () => {
    for (const [method, print] of printing) console[method] = print;
  };
};
