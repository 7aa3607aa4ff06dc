/**
 * The store's one SQLite file: opening, numbered migrations, transactions. Several processes use it at once (WAL), so
 * every change is a short transaction that takes the write lock at its start: two of them wait, and never deadlock.
 */
import { DatabaseSync, type SQLOutputValue, type StatementSync } from "node:sqlite";
import { TsbuildError } from "../errors.ts";
import { databaseBroken, databaseBusy, newerFormat, noSpace } from "./errors.ts";
import { explainRoot } from "./explain-root.ts";

export type Row = Record<string, SQLOutputValue>;
type Value = string | number | bigint | null | Uint8Array;

/** How long one process waits for another's transaction. They last milliseconds; a prune on a slow disk, seconds. */
const busyTimeoutMs = 15_000;

/** Never edited once released: a change is a new entry. The number of entries is the store's format. */
const migrations: readonly string[] = [
  `
  CREATE TABLE layers (
    id TEXT PRIMARY KEY, diff_id TEXT NOT NULL, content_digest TEXT NOT NULL, size_bytes INTEGER NOT NULL,
    created_ms INTEGER NOT NULL, layout TEXT NOT NULL, blob TEXT
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX layers_by_diff_id ON layers (diff_id);

  -- A node is a layer standing on a node: what is called a chain is the path from a node down to the bottom.
  CREATE TABLE nodes (
    id INTEGER PRIMARY KEY, parent INTEGER NOT NULL, layer TEXT NOT NULL REFERENCES layers (id),
    chain_id TEXT NOT NULL, result_id TEXT NOT NULL, UNIQUE (parent, layer)
  ) STRICT;
  CREATE INDEX nodes_by_layer ON nodes (layer);
  CREATE INDEX nodes_by_chain_id ON nodes (chain_id);
  CREATE INDEX nodes_by_result_id ON nodes (result_id);

  CREATE TABLE images (
    id TEXT PRIMARY KEY, node INTEGER NOT NULL, size_bytes INTEGER NOT NULL, created_ms INTEGER, manifest TEXT,
    manifest_size INTEGER, last_tagged_ms INTEGER, added INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX images_by_node ON images (node);
  -- name: the canonical name without tag; tag: empty for a digest.
  CREATE TABLE refs (
    name TEXT NOT NULL, tag TEXT NOT NULL, image TEXT NOT NULL REFERENCES images (id), PRIMARY KEY (name, tag)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX refs_by_image ON refs (image);
  CREATE TABLE repo_digests (
    name TEXT NOT NULL, digest TEXT NOT NULL, image TEXT NOT NULL REFERENCES images (id), PRIMARY KEY (name, digest)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX repo_digests_by_image ON repo_digests (image);

  CREATE TABLE cache_records (
    key TEXT PRIMARY KEY, definition TEXT NOT NULL, parent TEXT, node INTEGER NOT NULL, kind TEXT NOT NULL,
    site TEXT NOT NULL, instruction TEXT NOT NULL, input_digest TEXT NOT NULL, duration_ms REAL NOT NULL,
    created_ms INTEGER NOT NULL, last_used_ms INTEGER NOT NULL, uses INTEGER NOT NULL, added INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX cache_by_definition ON cache_records (definition);
  CREATE INDEX cache_by_node ON cache_records (node);
  CREATE INDEX cache_by_site ON cache_records (site, added);
  CREATE INDEX cache_by_kind ON cache_records (kind, added);
  -- Canonical inputs, compressed: beside the records, so that a look-up does not read them.
  CREATE TABLE cache_inputs (digest TEXT PRIMARY KEY, bytes BLOB NOT NULL) STRICT;

  CREATE TABLE memos (name TEXT PRIMARY KEY, value BLOB NOT NULL, written_ms INTEGER NOT NULL) STRICT, WITHOUT ROWID;

  -- What may not go: kind is layer, image or blob. Holds end with their process, pins when their owner lets go.
  CREATE TABLE holds (
    owner TEXT NOT NULL, lease TEXT NOT NULL, kind TEXT NOT NULL, target TEXT NOT NULL,
    PRIMARY KEY (owner, lease, kind, target)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE pins (
    owner TEXT NOT NULL, kind TEXT NOT NULL, target TEXT NOT NULL, PRIMARY KEY (owner, kind, target)
  ) STRICT, WITHOUT ROWID;
  -- Files whose rows are gone and that are being removed: whoever comes next finishes it.
  CREATE TABLE removals (kind TEXT NOT NULL, target TEXT NOT NULL, PRIMARY KEY (kind, target)) STRICT, WITHOUT ROWID;
  `,
  `
  -- A name may stand for an index: target is its digest, image the one of its images that this machine runs.
  ALTER TABLE refs ADD COLUMN target TEXT;
  CREATE TABLE index_images (
    target TEXT NOT NULL, image TEXT NOT NULL REFERENCES images (id), PRIMARY KEY (target, image)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX index_images_by_image ON index_images (image);
  `,
  `
  -- Layers whose files the disk may not have yet, and the boot in which they were written.
  CREATE TABLE unsynced (
    layer TEXT PRIMARY KEY REFERENCES layers (id) ON DELETE CASCADE, boot TEXT NOT NULL, recorded_ms INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  `,
];

export class Database implements Disposable {
  readonly #root: string;
  readonly #file: string;
  readonly #database: DatabaseSync;
  readonly #statements = new Map<string, StatementSync>();
  #depth = 0;

  constructor(root: string, file: string) {
    this.#root = root;
    this.#file = file;
    this.#database = this.#guard(() => new DatabaseSync(file, { timeout: busyTimeoutMs }));
    try {
      this.#guard(() => this.#setUp());
    } catch (error) {
      this.#database.close();
      throw error;
    }
  }

  #setUp(): void {
    const { user_version: format } = this.#database.prepare("PRAGMA user_version").get() as { user_version: number };
    if (format > migrations.length) throw newerFormat(this.#root, format, migrations.length);
    // The switch to WAL does not wait for other connections by itself; migrations below do.
    if (format === 0) this.#waiting(() => this.#database.exec("PRAGMA journal_mode = WAL"));
    this.#database.exec("PRAGMA synchronous = FULL; PRAGMA cache_size = -8000");
    if (format < migrations.length) this.#migrate();
  }

  #migrate(): void {
    this.transaction(() => {
      // Again, now that the write lock is ours: another process may have done it.
      const { user_version: format } = this.#database.prepare("PRAGMA user_version").get() as { user_version: number };
      for (const migration of migrations.slice(format)) this.#database.exec(migration);
      this.#database.exec(`PRAGMA user_version = ${migrations.length}`);
    });
  }

  #waiting(action: () => void): void {
    const deadline = Date.now() + busyTimeoutMs;
    const pause = new Int32Array(new SharedArrayBuffer(4));
    for (;;) {
      try {
        action();
        return;
      } catch (error) {
        if (sqliteCode(error) !== sqliteCodes.busy || Date.now() > deadline) throw error;
        Atomics.wait(pause, 0, 0, 5);
      }
    }
  }

  get(sql: string, ...values: readonly Value[]): Row | undefined {
    return this.#guard(() => this.#statement(sql).get(...values));
  }

  all(sql: string, ...values: readonly Value[]): readonly Row[] {
    return this.#guard(() => this.#statement(sql).all(...values));
  }

  /** Returns how many rows changed. */
  run(sql: string, ...values: readonly Value[]): number {
    return this.#guard(() => Number(this.#statement(sql).run(...values).changes));
  }

  /** All or nothing, alone among the writers of all processes. Nested calls belong to the outermost. */
  transaction<T>(action: () => T): T {
    if (this.#depth > 0) return action();
    this.#guard(() => this.#database.exec("BEGIN IMMEDIATE"));
    this.#depth += 1;
    try {
      const result = action();
      this.#guard(() => this.#database.exec("COMMIT"));
      return result;
    } catch (error) {
      if (this.#database.isTransaction) this.#database.exec("ROLLBACK");
      throw error;
    } finally {
      this.#depth -= 1;
    }
  }

  /** A transaction whose loss in a power cut does no harm: it does not wait for the disk. */
  lossyTransaction<T>(action: () => T): T {
    if (this.#depth > 0) return action();
    this.#database.exec("PRAGMA synchronous = NORMAL");
    try {
      return this.transaction(action);
    } finally {
      this.#database.exec("PRAGMA synchronous = FULL");
    }
  }

  /** SQLite's own check of the file; empty when it is sound. */
  integrityFaults(): readonly string[] {
    return this.all("PRAGMA integrity_check")
      .map((row) => String(row["integrity_check"]))
      .filter((line) => line !== "ok");
  }

  [Symbol.dispose](): void {
    if (!this.#database.isOpen) return;
    this.#statements.clear();
    this.#database.close();
  }

  #statement(sql: string): StatementSync {
    let statement = this.#statements.get(sql);
    if (statement === undefined) {
      statement = this.#database.prepare(sql);
      this.#statements.set(sql, statement);
    }
    return statement;
  }

  #guard<T>(action: () => T): T {
    try {
      return action();
    } catch (error) {
      throw this.#explain(error);
    }
  }

  #explain(error: unknown): unknown {
    if (error instanceof TsbuildError) return error;
    const code = sqliteCode(error);
    switch (code) {
      case sqliteCodes.busy:
        return databaseBusy(this.#root, error);
      case sqliteCodes.full:
        return noSpace(this.#root, error);
      case sqliteCodes.corrupt:
      case sqliteCodes.notADatabase:
        return databaseBroken(this.#file, error instanceof Error ? error.message : "damaged", error);
      case sqliteCodes.readOnly:
      case sqliteCodes.permission:
      case sqliteCodes.cannotOpen:
      case sqliteCodes.io:
        return explainRoot(this.#root, error);
      default:
        return error;
    }
  }
}

/** Source: sqlite.org/rescode.html. The low byte of an extended code is its primary one. */
const sqliteCodes = {
  permission: 3,
  busy: 5,
  readOnly: 8,
  io: 10,
  corrupt: 11,
  full: 13,
  cannotOpen: 14,
  notADatabase: 26,
};

export function sqliteCode(error: unknown): number | undefined {
  return error instanceof Error && "errcode" in error && typeof error.errcode === "number"
    ? error.errcode & 0xff
    : undefined;
}
