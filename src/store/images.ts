// The tables `images` and `image_names`: one namespace of names and aliases, each of which stands for one image.
import { fail } from "../spec/errors.ts";
import { ImageRecord } from "../spec/records.ts";
import { type Connection, isUniqueViolation, type Row } from "./connection.ts";
import { parseJson, readColumns } from "./documents.ts";

export type ImageTable = {
  /** An alias that another image has moves to this one; a name does not. Errors: image.name_taken. */
  insert(image: ImageRecord): void;
  get(id: string): ImageRecord | null;
  /** By name or alias. */
  byName(name: string): ImageRecord | null;
  /** By name. */
  all(): readonly ImageRecord[];
  /** Changes what an image is called; its aliases are replaced by these. Errors: image.not_found, image.name_taken. */
  rename(id: string, names: { name: string; aliases: readonly string[] }): void;
  setUsedMiB(id: string, usedMiB: number): void;
  /** Succeeds when there is none. */
  remove(id: string): void;
};

type Transaction = <Result>(work: () => Result) => Result;

export const imageTable = (connection: Connection, transaction: Transaction): ImageTable => {
  const insert = connection.prepare(
    "INSERT INTO images (id, dir, size_mib, used_mib, kernel_id, helper_version, created_at, origin) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
  );
  const addName = connection.prepare("INSERT INTO image_names (name, image_id, is_alias) VALUES (?, ?, 0)");
  const addAlias = connection.prepare(
    `INSERT INTO image_names (name, image_id, is_alias) VALUES (?, ?, 1)
     ON CONFLICT (name) DO UPDATE SET image_id = excluded.image_id WHERE is_alias = 1`,
  );
  const dropNames = connection.prepare("DELETE FROM image_names WHERE image_id = ?");
  const namesOf = connection.prepare("SELECT name, is_alias FROM image_names WHERE image_id = ? ORDER BY name");
  const idOf = connection.prepare("SELECT image_id FROM image_names WHERE name = ?");
  const select = connection.prepare("SELECT * FROM images WHERE id = ?");
  const selectAll = connection.prepare(
    "SELECT images.* FROM images JOIN image_names ON image_id = id AND is_alias = 0 ORDER BY name",
  );
  const setUsed = connection.prepare("UPDATE images SET used_mib = ? WHERE id = ?");
  const remove = connection.prepare("DELETE FROM images WHERE id = ?");

  const read = (row: Row): ImageRecord => {
    const names = namesOf.all(String(row.id));
    return readColumns(
      ImageRecord,
      { path: connection.path, row: `image ${String(row.id)}` },
      {
        id: row.id,
        name: names.find(({ is_alias }) => is_alias === 0)?.name,
        aliases: names.flatMap(({ name, is_alias }) => (is_alias === 1 ? [name] : [])),
        dir: row.dir,
        sizeMiB: row.size_mib,
        usedMiB: row.used_mib,
        kernelId: row.kernel_id,
        helperVersion: row.helper_version,
        createdAt: row.created_at,
        origin: parseJson(row.origin),
      },
    );
  };

  const get = (id: string): ImageRecord | null => {
    const row = select.get(id);
    return row === null ? null : read(row);
  };

  const giveNames = (id: string, { name, aliases }: { name: string; aliases: readonly string[] }): void => {
    try {
      addName.run(name, id);
    } catch (error) {
      if (isUniqueViolation(error)) throw fail("image.name_taken", { name }, error);
      throw error;
    }
    for (const alias of aliases) {
      addAlias.run(alias, id);
      if (idOf.get(alias)?.image_id !== id) throw fail("image.name_taken", { name: alias });
    }
  };

  return {
    insert: (image) =>
      transaction(() => {
        const { id, dir, sizeMiB, usedMiB, kernelId, helperVersion, createdAt, origin } = ImageRecord.parse(image);
        insert.run(id, dir, sizeMiB, usedMiB, kernelId, helperVersion, createdAt, JSON.stringify(origin));
        giveNames(id, image);
      }),
    get,
    byName: (name) => {
      const row = idOf.get(name);
      return row === null ? null : get(String(row.image_id));
    },
    all: () => selectAll.all().map(read),
    rename: (id, names) =>
      transaction(() => {
        if (select.get(id) === null) throw fail("image.not_found", { image: id, known: [] });
        dropNames.run(id);
        giveNames(id, names);
      }),
    setUsedMiB: (id, usedMiB) => void setUsed.run(usedMiB, id),
    remove: (id) => void remove.run(id),
  };
};
