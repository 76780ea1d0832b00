// The table `meta`: what the instance decided once and keeps, such as the subnet it chose.
import type { Connection } from "./connection.ts";

export type MetaTable = {
  get(key: string): string | null;
  set(key: string, value: string): void;
  /** Succeeds when there is none. */
  remove(key: string): void;
  all(): Readonly<Record<string, string>>;
};

export const metaTable = (connection: Connection): MetaTable => {
  const select = connection.prepare("SELECT value FROM meta WHERE key = ?");
  const selectAll = connection.prepare("SELECT key, value FROM meta ORDER BY key");
  const upsert = connection.prepare(
    "INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
  );
  const remove = connection.prepare("DELETE FROM meta WHERE key = ?");
  return {
    get: (key) => {
      const row = select.get(key);
      return row === null ? null : String(row.value);
    },
    set: (key, value) => void upsert.run(key, value),
    remove: (key) => void remove.run(key),
    all: () => Object.fromEntries(selectAll.all().map(({ key, value }) => [String(key), String(value)])),
  };
};
