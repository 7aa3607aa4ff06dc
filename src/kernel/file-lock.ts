/** Advisory locks between processes: a lock is a file's, so it ends with its process, however that ends. */
import { closeSync, constants, fstatSync, openSync, statSync, unlinkSync } from "node:fs";
import { setTimeout as wait } from "node:timers/promises";
import { errnoOf } from "../errors.ts";
import { libc } from "./libc.ts";

const LOCK_SH = 1;
const LOCK_EX = 2;
const LOCK_NB = 4;
const pollMs = 20;

/** Waits until nobody else holds it. The file goes when the lock does. Rejects with the signal's reason. */
export async function lockFile(file: string, signal: AbortSignal): Promise<Disposable> {
  for (;;) {
    signal.throwIfAborted();
    const lock = tryLockFile(file);
    if (lock !== undefined) return lock;
    await wait(pollMs, undefined, { signal }).catch(() => signal.throwIfAborted());
  }
}

/** Undefined while somebody else holds it. */
export function tryLockFile(file: string): Disposable | undefined {
  const fd = openSync(file, constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW, 0o600);
  if (libc("flock", fd, LOCK_EX | LOCK_NB) === 0 && isStill(file, fd))
    return { [Symbol.dispose]: () => release(file, fd) };
  closeSync(fd);
  return undefined;
}

/**
 * Of a folder that several use at once and that goes only when nobody does: undefined when somebody else has it alone,
 * or for `alone` when somebody has it at all.
 * @throws the system's error when it is not there
 */
export function tryLockFolder(folder: string, how: "shared" | "alone"): Disposable | undefined {
  const fd = openSync(folder, constants.O_RDONLY | constants.O_DIRECTORY);
  if (libc("flock", fd, (how === "alone" ? LOCK_EX : LOCK_SH) | LOCK_NB) === 0)
    return { [Symbol.dispose]: () => closeSync(fd) };
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
