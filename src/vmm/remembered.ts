// Keeps what was measured about this host until it boots again, as small JSON files in the cache directory.
import { mkdir, readFile, rename, writeFile } from "node:fs/promises";

export type Memory<Value> = {
  /** The remembered value, null when there is none for this `key`, or it cannot be understood. Never throws. */
  recall(): Promise<Value | null>;
  /** Remembers; a cache that cannot be written is no failure. */
  keep(value: Value): Promise<void>;
};

/** `key` is everything that the value depends on, the boot id of the host first. */
export const memoryOf = <Value>(options: {
  cacheDir: string;
  name: string;
  key: string;
  isValue: (value: unknown) => value is Value;
}): Memory<Value> => {
  const path = `${options.cacheDir}/${options.name}.json`;
  return {
    recall: async () => {
      try {
        const found: unknown = JSON.parse(await readFile(path, "utf8"));
        if (typeof found !== "object" || found === null) return null;
        if (!("key" in found) || found.key !== options.key || !("value" in found)) return null;
        return options.isValue(found.value) ? found.value : null;
      } catch {
        return null;
      }
    },
    keep: async (value) => {
      const draft = `${path}.${process.pid}`;
      try {
        await mkdir(options.cacheDir, { recursive: true, mode: 0o700 });
        await writeFile(draft, JSON.stringify({ key: options.key, value }), { mode: 0o600 });
        await rename(draft, path);
      } catch {
        // Measured again next time.
      }
    },
  };
};
