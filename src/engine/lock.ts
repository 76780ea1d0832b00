// A lock by key: operations on one VM go one after the other, those on different VMs side by side.

export type KeyedLock = {
  /** Runs `work` when every earlier holder of `key` has finished. */
  run<Result>(key: string, work: () => Promise<Result>): Promise<Result>;
  isHeld(key: string): boolean;
};

export const createKeyedLock = (): KeyedLock => {
  const tails = new Map<string, Promise<unknown>>();
  return {
    run(key, work) {
      const before = tails.get(key) ?? Promise.resolve();
      const result = before.then(work, work);
      const tail = result.then(
        () => {},
        () => {},
      );
      tails.set(key, tail);
      void tail.then(() => {
        if (tails.get(key) === tail) tails.delete(key);
      });
      return result;
    },
    isHeld: (key) => tails.has(key),
  };
};
