/**
 * One build at a time runs a step: another that comes to the same step waits, and then finds the result in the cache. The
 * lock is a file's, so it ends with its process, however that ends.
 */
import { closeSync, constants, fstatSync, mkdirSync, openSync, statSync, unlinkSync } from "node:fs";
import { setTimeout as wait } from "node:timers/promises";
import { errnoOf } from "../errors.ts";
import { libc } from "../kernel/libc.ts";
import { type Digest, hexOf } from "../oci/digest.ts";

export interface StepLock extends Disposable {
  /** Somebody else had it first: what the step makes may be there by now. */
  readonly waited: boolean;
}

const LOCK_EX = 2;
const LOCK_NB = 4;
const pollMs = 20;

/** `lineage` names what the step makes; `root` is the store's. Rejects with the signal's reason. */
export async function lockStep(root: string, lineage: Digest, signal: AbortSignal): Promise<StepLock> {
  const folder = `${root}/locks`;
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const file = `${folder}/step-${hexOf(lineage).slice(0, 32)}`;
  for (let waited = false; ; waited = true) {
    signal.throwIfAborted();
    const fd = openSync(file, constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW, 0o600);
    if (libc("flock", fd, LOCK_EX | LOCK_NB) === 0 && isStill(file, fd))
      return { waited, [Symbol.dispose]: () => release(file, fd) };
    closeSync(fd);
    await wait(pollMs, undefined, { signal });
  }
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
