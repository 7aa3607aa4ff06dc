/** Why a store's root cannot be used, when the error that came says less than the disk does. */
import { accessSync, constants, existsSync, statfsSync, statSync } from "node:fs";
import { dirname } from "node:path";
import { errnoOf, type TsbuildError } from "../errors.ts";
import { rootNotReachable } from "./errors.ts";

/** Less than this is nothing: a database page and a folder do not fit. */
const fullBelowBytes = 64 << 10;

/**
 * SQLite has one code for many causes, and a recursive mkdir answers ENOENT on a read-only file system: so the nearest
 * folder that exists is asked.
 */
export function explainRoot(root: string, cause: unknown): TsbuildError {
  const errno = errnoOf(cause);
  if (errno !== undefined && clear.has(errno)) return rootNotReachable(root, cause);
  const found = nearest(root);
  if (!statSync(found).isDirectory()) return rootNotReachable(root, withCode("ENOTDIR", cause));
  try {
    accessSync(found, constants.W_OK | constants.X_OK);
    const { bavail, bsize, blocks } = statfsSync(found);
    // Where nothing can be stored at all, as in /proc, there are no blocks.
    if (blocks === 0 || bavail * bsize >= fullBelowBytes) return rootNotReachable(root, cause);
    return rootNotReachable(root, withCode("ENOSPC", cause));
  } catch (error) {
    return rootNotReachable(root, error);
  }
}

/** Runs file work below a root; what the system refuses becomes our error. */
export function explainingRoot<T>(root: string, action: () => T): T {
  try {
    return action();
  } catch (error) {
    throw explained(root, error);
  }
}

/** Errors that are no system's stay as they are. */
export function explained(root: string, error: unknown): unknown {
  const isSystems = error instanceof Error && ("syscall" in error || "errcode" in error);
  return isSystems ? explainRoot(root, error) : error;
}

const clear: ReadonlySet<string> = new Set(["EROFS", "EACCES", "EPERM", "ENOSPC", "EDQUOT", "ENOTDIR"]);

function withCode(code: string, cause: unknown): Error {
  return Object.assign(new Error(code, { cause }), { code });
}

/** Of the root and what is above it, the first that exists. */
function nearest(path: string): string {
  let found = path;
  while (!existsSync(found) && found !== "/") found = dirname(found);
  return found;
}
