// The table `kernels`: kernel objects on this host, each named by its hash.
import { fail } from "../spec/errors.ts";
import { KernelRecord } from "../spec/records.ts";
import { type Connection, isForeignKeyViolation, type Row } from "./connection.ts";
import { parseJson, readColumns } from "./documents.ts";

export type KernelTable = {
  /** A kernel that is known already stays as it is: the same hash is the same kernel. */
  insert(kernel: KernelRecord): void;
  get(id: string): KernelRecord | null;
  /** Oldest first. */
  all(): readonly KernelRecord[];
  /** Succeeds when there is none; a kernel that an image refers to is a bug of the caller's. */
  remove(id: string): void;
};

export const kernelTable = (connection: Connection): KernelTable => {
  const insert = connection.prepare(
    "INSERT INTO kernels (id, dir, release, cmdline, created_at) VALUES (?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING",
  );
  const select = connection.prepare("SELECT * FROM kernels WHERE id = ?");
  const selectAll = connection.prepare("SELECT * FROM kernels ORDER BY created_at, id");
  const remove = connection.prepare("DELETE FROM kernels WHERE id = ?");

  const read = (row: Row): KernelRecord =>
    readColumns(
      KernelRecord,
      { path: connection.path, row: `kernel ${String(row.id)}` },
      {
        id: row.id,
        dir: row.dir,
        release: row.release,
        cmdline: parseJson(row.cmdline),
        createdAt: row.created_at,
      },
    );

  return {
    insert: ({ id, dir, release, cmdline, createdAt }) =>
      void insert.run(id, dir, release, JSON.stringify(cmdline), createdAt),
    get: (id) => {
      const row = select.get(id);
      return row === null ? null : read(row);
    },
    all: () => selectAll.all().map(read),
    remove: (id) => {
      try {
        remove.run(id);
      } catch (error) {
        if (isForeignKeyViolation(error)) throw fail("internal.bug", { detail: `an image needs kernel ${id}` }, error);
        throw error;
      }
    },
  };
};
