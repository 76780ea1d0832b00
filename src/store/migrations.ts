// The schema's history: each entry is one version, never edited once released, since databases of every version exist.

/** `BNGR`: tells our database from anybody else's that happens to be in the way. */
export const APPLICATION_ID = 0x424e4752;

export type Migration = { version: number; sql: string };

export const migrations: readonly Migration[] = [
  {
    version: 1,
    sql: `
      PRAGMA application_id = ${APPLICATION_ID};
      CREATE TABLE meta (
        key TEXT PRIMARY KEY,
        value TEXT NOT NULL
      ) STRICT, WITHOUT ROWID;
      CREATE TABLE vms (
        id TEXT PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,
        state TEXT NOT NULL,
        spec TEXT NOT NULL,
        runtime TEXT NOT NULL,
        created_at TEXT NOT NULL,
        revision INTEGER NOT NULL DEFAULT 1
      ) STRICT;
      CREATE TABLE kernels (
        id TEXT PRIMARY KEY,
        dir TEXT NOT NULL,
        release TEXT NOT NULL,
        cmdline TEXT NOT NULL,
        created_at TEXT NOT NULL
      ) STRICT;
      CREATE TABLE images (
        id TEXT PRIMARY KEY,
        dir TEXT NOT NULL,
        size_mib REAL NOT NULL,
        used_mib REAL NOT NULL,
        kernel_id TEXT NOT NULL REFERENCES kernels (id),
        helper_version TEXT,
        created_at TEXT NOT NULL,
        origin TEXT NOT NULL
      ) STRICT;
      CREATE TABLE image_names (
        name TEXT PRIMARY KEY,
        image_id TEXT NOT NULL REFERENCES images (id) ON DELETE CASCADE,
        is_alias INTEGER NOT NULL
      ) STRICT, WITHOUT ROWID;
      CREATE INDEX image_names_by_image ON image_names (image_id);
      CREATE TABLE operations (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        kind TEXT NOT NULL,
        subject TEXT NOT NULL,
        plan_version INTEGER NOT NULL,
        plan TEXT NOT NULL,
        requested_by TEXT NOT NULL,
        started_at TEXT NOT NULL,
        done_at TEXT,
        ended_at TEXT,
        outcome TEXT,
        detail TEXT
      ) STRICT;
      CREATE INDEX operations_by_subject ON operations (subject, id);
      CREATE INDEX operations_open ON operations (id) WHERE ended_at IS NULL;
      CREATE TABLE steps (
        operation_id INTEGER NOT NULL REFERENCES operations (id) ON DELETE CASCADE,
        ordinal INTEGER NOT NULL,
        name TEXT NOT NULL,
        phase TEXT NOT NULL,
        ms REAL,
        detail TEXT,
        PRIMARY KEY (operation_id, ordinal),
        UNIQUE (operation_id, name)
      ) STRICT, WITHOUT ROWID;
      CREATE TABLE events (
        cursor INTEGER PRIMARY KEY AUTOINCREMENT,
        at TEXT NOT NULL,
        event TEXT NOT NULL
      ) STRICT;
      CREATE TABLE priv_log (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        at TEXT NOT NULL,
        requested_by TEXT NOT NULL,
        op TEXT NOT NULL,
        detail TEXT NOT NULL,
        ok INTEGER NOT NULL,
        ms REAL NOT NULL,
        error TEXT
      ) STRICT;
    `,
  },
];

/** The schema version that this banger writes. */
export const latestVersion = (known: readonly Migration[] = migrations): number =>
  known.reduce((highest, { version }) => Math.max(highest, version), 0);
