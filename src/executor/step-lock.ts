/**
 * One build at a time runs a step: another that comes to the same step waits, and then finds the result in the cache. The
 * lock is a file's, so it ends with its process, however that ends.
 */
import { closeSync, constants, fstatSync, mkdirSync, openSync, readdirSync, statSync, unlinkSync } from "node:fs";
import { setTimeout as wait } from "node:timers/promises";
import { errnoOf } from "../errors.ts";
import { libc } from "../kernel/libc.ts";
import { type Digest, hexOf } from "../oci/digest.ts";

const LOCK_EX = 2;
const LOCK_NB = 4;
const pollMs = 20;

/** `lineage` names what the step makes; `root` is the store's. Rejects with the signal's reason. */
export async function lockStep(root: string, lineage: Digest, signal: AbortSignal): Promise<Disposable> {
  const folder = `${root}/locks`;
  sweep(folder);
  const file = `${folder}/step-${hexOf(lineage).slice(0, 32)}`;
  for (;;) {
    signal.throwIfAborted();
    const fd = tryLock(file);
    if (fd !== undefined) return { [Symbol.dispose]: () => release(file, fd) };
    await wait(pollMs, undefined, { signal }).catch(() => signal.throwIfAborted());
  }
}

const swept = new Set<string>();

/** Files of builds that were killed: nobody holds them. Once a process. */
function sweep(folder: string): void {
  if (swept.has(folder)) return;
  swept.add(folder);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  for (const name of readdirSync(folder)) {
    const file = `${folder}/${name}`;
    const fd = tryLock(file);
    if (fd !== undefined) release(file, fd);
  }
}

function tryLock(file: string): number | undefined {
  const fd = openSync(file, constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW, 0o600);
  if (libc("flock", fd, LOCK_EX | LOCK_NB) === 0 && isStill(file, fd)) return fd;
  closeSync(fd);
  return undefined;
}

/** The holder before us takes the file away: a lock on a file without a name locks nobody out. */
function isStill(file: string, fd: number): boolean {
  const named = statSync(file, { throwIfNoEntry: false });
  return named !== undefined && named.ino === fstatSync(fd).ino;
}

function release(file: string, fd: number): void {
  try {
    unlinkSync(file);
  } catch (error) {
    if (errnoOf(error) !== "ENOENT") throw error;
  } finally {
    closeSync(fd);
  }
}
