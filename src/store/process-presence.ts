/**
 * Who is alive. Each process that leaves unfinished work in the store has a folder `tmp/<owner>` and a lock file
 * `tmp/<owner>.lock` that it keeps locked as long as it lives, however it ends. What a dead one left is swept by the
 * next process that opens the store.
 *
 * The lock is SQLite's own (fcntl locks on a file of no bytes): it needs no native module, so opening the store and
 * taking a lease cost less than a millisecond, and it works across pid namespaces, where a pid would say nothing.
 */
import { mkdirSync, readdirSync, statSync, unlinkSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import { errnoOf } from "../errors.ts";
import { randomBytes } from "../kernel/random.ts";
import { sqliteCode } from "./database.ts";

const lockSuffix = ".lock";
const busy = 5;

export interface Presence extends Disposable {
  readonly owner: string;
  /** `tmp/<owner>`: what this process has not finished. */
  readonly folder: string;
}

/** Makes this process known. */
export function announce(temporaryFolder: string): Presence {
  for (;;) {
    const owner = randomBytes(8).toString("hex");
    const lockFile = `${temporaryFolder}/${owner}${lockSuffix}`;
    const lock = tryLock(lockFile);
    // A sweeper took the file for a dead process's before it was locked, and has removed or will remove it.
    if (lock === undefined) continue;
    if (statSync(lockFile, { throwIfNoEntry: false }) === undefined) {
      lock.close();
      continue;
    }
    const folder = `${temporaryFolder}/${owner}`;
    mkdirSync(folder, { mode: 0o700 });
    return {
      owner,
      folder,
      [Symbol.dispose](): void {
        unlinkIfThere(lockFile);
        lock.close();
      },
    };
  }
}

export interface DeadProcess extends Disposable {
  readonly owner: string;
  readonly folder: string;
}

/**
 * The processes that left something and live no more; each is locked until disposed, so that no two sweepers meet.
 * Disposing removes the lock file: the folder must be gone by then.
 */
export function* deadProcesses(temporaryFolder: string, except: string | undefined): Generator<DeadProcess> {
  const names = readdirSync(temporaryFolder);
  const owners = new Set(names.map((name) => (name.endsWith(lockSuffix) ? name.slice(0, -lockSuffix.length) : name)));
  for (const owner of owners) {
    if (owner === except || !/^[0-9a-f]{16}$/.test(owner)) continue;
    const lockFile = `${temporaryFolder}/${owner}${lockSuffix}`;
    const lock = tryLock(lockFile);
    if (lock === undefined) continue;
    try {
      yield {
        owner,
        folder: `${temporaryFolder}/${owner}`,
        [Symbol.dispose](): void {
          unlinkIfThere(lockFile);
        },
      };
    } finally {
      lock.close();
    }
  }
}

/** Is the process behind `owner` alive? */
export function isAlive(temporaryFolder: string, owner: string): boolean {
  const lockFile = `${temporaryFolder}/${owner}${lockSuffix}`;
  if (statSync(lockFile, { throwIfNoEntry: false }) === undefined) return false;
  const lock = tryLock(lockFile);
  lock?.close();
  return lock === undefined;
}

function tryLock(file: string): DatabaseSync | undefined {
  const lock = new DatabaseSync(file, { timeout: 0 });
  try {
    // No journal file: there is nothing to roll back, and it would have to be swept, too.
    lock.exec("PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE");
    return lock;
  } catch (error) {
    lock.close();
    if (sqliteCode(error) === busy) return undefined;
    throw error;
  }
}

function unlinkIfThere(file: string): void {
  try {
    unlinkSync(file);
  } catch (error) {
    if (errnoOf(error) !== "ENOENT") throw error;
  }
}
