// The table `vms`: what each VM is and what is known of it; illegal moves between states never reach the disk.
import { isLegalMove } from "../core/vm-state.ts";
import { fail } from "../spec/errors.ts";
import { type VmRecord, VmRuntime, VmSpec, VmState } from "../spec/vm.ts";
import { type Connection, isUniqueViolation, type Row } from "./connection.ts";
import { frozen, readDocument, type Unreadable } from "./documents.ts";

const SPEC_VERSION = 1;
const RUNTIME_VERSION = 1;

/** Records that are handed out are frozen: change them by `updateSpec`, `setState` and `updateRuntime`. */
export type VmTable = {
  /** Errors: vm.name_taken. */
  insert(record: VmRecord): void;
  /** Null when there is none. Errors: store.newer_document, store.corrupt, when it is there but cannot be read. */
  get(id: string): VmRecord | null;
  byName(name: string): VmRecord | null;
  /** Every record that can be read, by name; see `unreadable` for the others. */
  all(): readonly VmRecord[];
  unreadable(): readonly Unreadable[];
  /** Errors of every update: vm.not_found. A changed name has to be free (vm.name_taken). */
  updateSpec(id: string, spec: VmSpec): VmRecord;
  /** An illegal move (core/vm-state.ts) is a bug of the caller's: internal.bug. */
  setState(id: string, state: VmState): VmRecord;
  updateRuntime(id: string, patch: Partial<Omit<VmRuntime, "version">>): VmRecord;
  /** Changes the name alone; the hostname in the spec is the caller's to decide. */
  rename(id: string, name: string): VmRecord;
  /** Succeeds when there is none. */
  remove(id: string): void;
  /** Forgets what was parsed; after a rollback a revision number may stand for something else. */
  forgetCache(): void;
};

type Read = { ok: true; record: VmRecord } | { ok: false; problem: Unreadable };

const readRow = (row: Row): Read => {
  const id = String(row.id);
  const bad = (reason: Unreadable["reason"], documentVersion: number | null, detail: string): Read => ({
    ok: false,
    problem: { id, name: String(row.name), reason, documentVersion, detail },
  });
  const spec = readDocument(String(row.spec), { schema: VmSpec, known: SPEC_VERSION });
  if (!spec.ok) return bad(spec.reason, spec.documentVersion, `spec: ${spec.detail}`);
  const runtime = readDocument(String(row.runtime), { schema: VmRuntime, known: RUNTIME_VERSION });
  if (!runtime.ok) return bad(runtime.reason, runtime.documentVersion, `runtime: ${runtime.detail}`);
  const state = VmState.safeParse(row.state);
  if (!state.success) return bad("damaged", null, `state: ${String(row.state)}`);
  const createdAt = String(row.created_at);
  return { ok: true, record: frozen({ id, state: state.data, spec: spec.value, runtime: runtime.value, createdAt }) };
};

export const vmTable = (connection: Connection): VmTable => {
  const insert = connection.prepare(
    "INSERT INTO vms (id, name, state, spec, runtime, created_at) VALUES (?, ?, ?, ?, ?, ?)",
  );
  const select = connection.prepare("SELECT * FROM vms WHERE id = ?");
  const idByName = connection.prepare("SELECT id FROM vms WHERE name = ?");
  const revisions = connection.prepare("SELECT id, revision FROM vms ORDER BY name");
  const revision = connection.prepare("SELECT revision FROM vms WHERE id = ?");
  const setSpec = connection.prepare("UPDATE vms SET name = ?, spec = ?, revision = revision + 1 WHERE id = ?");
  const setState = connection.prepare("UPDATE vms SET state = ?, revision = revision + 1 WHERE id = ?");
  const setRuntime = connection.prepare("UPDATE vms SET runtime = ?, revision = revision + 1 WHERE id = ?");
  const remove = connection.prepare("DELETE FROM vms WHERE id = ?");

  // Checking a thousand documents takes longer than a whole `vm list` may; each is checked once per revision.
  const cache = new Map<string, { revision: number; read: Read }>();

  const readOne = (id: string, current: number): Read | null => {
    const cached = cache.get(id);
    if (cached?.revision === current) return cached.read;
    const row = select.get(id);
    if (row === null) return null;
    const read = readRow(row);
    cache.set(id, { revision: Number(row.revision), read });
    return read;
  };

  const readAll = (): readonly Read[] => {
    const rows = revisions.all();
    const reads = rows.flatMap((row) => readOne(String(row.id), Number(row.revision)) ?? []);
    // Another connection may have deleted some.
    if (cache.size > rows.length) {
      const present = new Set(rows.map((row) => row.id));
      for (const id of cache.keys()) if (!present.has(id)) cache.delete(id);
    }
    return reads;
  };

  const get = (id: string): VmRecord | null => {
    const current = revision.get(id);
    const read = current === null ? null : readOne(id, Number(current.revision));
    if (read === null) return null;
    if (read.ok) return read.record;
    const { name, reason, documentVersion, detail } = read.problem;
    if (reason === "damaged") throw fail("store.corrupt", { path: connection.path, detail: `VM ${name}: ${detail}` });
    throw fail("store.newer_document", { what: `VM ${name}`, found: documentVersion ?? 0, known: SPEC_VERSION });
  };

  const mustGet = (id: string): VmRecord => {
    const record = get(id);
    if (record === null) throw fail("vm.not_found", { vm: id });
    return record;
  };

  const orNameTaken = (name: string, work: () => unknown): void => {
    try {
      work();
    } catch (error) {
      if (isUniqueViolation(error) && idByName.get(name) !== null) throw fail("vm.name_taken", { name }, error);
      throw error;
    }
  };

  const updateSpec: VmTable["updateSpec"] = (id, spec) => {
    mustGet(id);
    orNameTaken(spec.name, () => setSpec.run(spec.name, JSON.stringify(VmSpec.parse(spec)), id));
    return mustGet(id);
  };

  return {
    insert: ({ id, state, spec, runtime, createdAt }) => {
      const documents = [JSON.stringify(VmSpec.parse(spec)), JSON.stringify(VmRuntime.parse(runtime))] as const;
      orNameTaken(spec.name, () => insert.run(id, spec.name, state, ...documents, createdAt));
    },
    get,
    byName: (name) => {
      const row = idByName.get(name);
      return row === null ? null : get(String(row.id));
    },
    all: () => readAll().flatMap((read) => (read.ok ? [read.record] : [])),
    unreadable: () => readAll().flatMap((read) => (read.ok ? [] : [read.problem])),
    updateSpec,
    setState: (id, state) => {
      const record = mustGet(id);
      if (!isLegalMove(record.state, state)) {
        throw fail("internal.bug", { detail: `VM ${record.spec.name} cannot go from ${record.state} to ${state}` });
      }
      if (record.state === state) return record;
      setState.run(state, id);
      return mustGet(id);
    },
    updateRuntime: (id, patch) => {
      const runtime = VmRuntime.parse({ ...mustGet(id).runtime, ...patch });
      setRuntime.run(JSON.stringify(runtime), id);
      return mustGet(id);
    },
    rename: (id, name) => updateSpec(id, { ...mustGet(id).spec, name }),
    remove: (id) => {
      remove.run(id);
      cache.delete(id);
    },
    forgetCache: () => cache.clear(),
  };
};
