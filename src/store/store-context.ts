/** What the parts of an open store share. Only src/store knows it. */
import { closeSync, fsyncSync, mkdirSync, openSync, renameSync, rmSync } from "node:fs";
import { randomBytes } from "../kernel/random.ts";
import type { Database } from "./database.ts";
import { explainingRoot } from "./explain-root.ts";
import { announce, type Presence } from "./process-presence.ts";

export type Layout = "trusted" | "user";

export type HoldKind = "layer" | "image" | "blob";

export interface StorePaths {
  readonly root: string;
  readonly blobs: string;
  readonly layers: string;
  readonly tmp: string;
  readonly containers: string;
  readonly volumes: string;
  readonly cacheMounts: string;
  readonly failed: string;
  readonly git: string;
  readonly runtime: string;
  readonly database: string;
}

export function storePaths(root: string): StorePaths {
  return {
    root,
    blobs: `${root}/blobs/sha256`,
    layers: `${root}/layers`,
    tmp: `${root}/tmp`,
    containers: `${root}/containers`,
    volumes: `${root}/volumes`,
    cacheMounts: `${root}/cache-mounts`,
    failed: `${root}/failed`,
    git: `${root}/git`,
    runtime: `${root}/runtime`,
    database: `${root}/store.db`,
  };
}

export class StoreContext {
  readonly paths: StorePaths;
  readonly db: Database;
  readonly layout: Layout;
  #presence: Presence | undefined;
  #isOpen = true;

  constructor(paths: StorePaths, db: Database, layout: Layout) {
    this.paths = paths;
    this.db = db;
    this.layout = layout;
  }

  /** Made at first use: a command that only reads leaves nothing to sweep. */
  presence(): Presence {
    this.#presence ??= explainingRoot(this.paths.root, () => announce(this.paths.tmp));
    return this.#presence;
  }

  get isOpen(): boolean {
    return this.#isOpen;
  }

  /** The owner id, if this process has one already. */
  get owner(): string | undefined {
    return this.#presence?.owner;
  }

  /** A name below this process's folder in `tmp/` that nothing has yet. */
  temporaryPath(purpose: string): string {
    return `${this.presence().folder}/${purpose}-${freshName()}`;
  }

  /** Keeps `target` from being collected until this process ends or lets go. */
  hold(lease: string, kind: HoldKind, target: string): void {
    this.db.run(
      "INSERT OR IGNORE INTO holds (owner, lease, kind, target) VALUES (?, ?, ?, ?)",
      this.presence().owner,
      lease,
      kind,
      target,
    );
  }

  /** A row refers to the blob now. Call it in the transaction that wrote the row. */
  releaseBlob(digest: string): void {
    if (this.owner === undefined) return;
    this.db.run("DELETE FROM holds WHERE owner = ? AND kind = 'blob' AND target = ?", this.owner, digest);
  }

  releaseLease(lease: string): void {
    if (this.owner === undefined) return;
    this.db.run("DELETE FROM holds WHERE owner = ? AND lease = ?", this.owner, lease);
  }

  /** Ends this process's presence: its unfinished work and its holds go. */
  close(): void {
    this.#isOpen = false;
    const presence = this.#presence;
    if (presence === undefined) return;
    this.#presence = undefined;
    this.db.lossyTransaction(() => this.db.run("DELETE FROM holds WHERE owner = ?", presence.owner));
    removeTree(presence.folder);
    presence[Symbol.dispose]();
  }
}

/** 13 base-32 digits: short enough for a mount option, and never drawn twice. */
export function freshName(): string {
  return randomBytes(8).readBigUInt64LE().toString(32).padStart(13, "0");
}

/** What is already gone is no error. Never follows a symlink. */
export function removeTree(path: string | Buffer): void {
  rmSync(path, { recursive: true, force: true, maxRetries: 2 });
}

export function syncFolder(path: string): void {
  const fd = openSync(path, "r");
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/** Renames, and makes sure that the new name outlives a power cut. */
export function publish(from: string, to: string): void {
  renameSync(from, to);
  syncFolder(to.slice(0, to.lastIndexOf("/")));
}

export function makeFolder(path: string): void {
  mkdirSync(path, { recursive: true, mode: 0o700 });
}
