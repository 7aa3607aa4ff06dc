/** Folders of `RUN --mount=type=cache`, as things that weigh something and can go. */
import { closeSync, constants, openSync, readdirSync, renameSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { errnoOf } from "../errors.ts";
import { libc } from "../kernel/libc.ts";
import { diskUsage } from "../store/disk-usage.ts";
import type { Store } from "../store/store.ts";

export interface CacheMount {
  /** The folder's: a digest of what identifies the mount. */
  readonly name: string;
  readonly sizeBytes: number;
  readonly lastUsed: Date;
}

/** Largest first. */
export function cacheMounts(store: Store): readonly CacheMount[] {
  const mounts: CacheMount[] = [];
  for (const name of namesIn(store.cacheMountsFolder)) {
    const path = join(store.cacheMountsFolder, name);
    const stat = statSync(path, { throwIfNoEntry: false });
    if (stat?.isDirectory() !== true) continue;
    mounts.push({ name, sizeBytes: diskUsage(path), lastUsed: stat.mtime });
  }
  return mounts.sort((a, b) => b.sizeBytes - a.sizeBytes);
}

const lockExclusive = 2;
const lockWithoutWaiting = 4;

/** False when a running step uses it: then it stays. */
export function removeCacheMount(store: Store, name: string): boolean {
  const path = join(store.cacheMountsFolder, name);
  const lock = openSync(`${path}.lock`, constants.O_RDWR | constants.O_CREAT, 0o600);
  try {
    if (libc("flock", lock, lockExclusive | lockWithoutWaiting) < 0) return false;
    using rubbish = store.temporaryFolder("cache-mount");
    // Gone for others at once; its files follow. The lock file stays: another process may hold it open.
    renameSync(path, join(rubbish.path, "mount"));
    rmSync(join(rubbish.path, "mount"), { recursive: true, force: true });
    return true;
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return false;
    throw error;
  } finally {
    closeSync(lock);
  }
}

function namesIn(folder: string): readonly string[] {
  try {
    return readdirSync(folder).sort();
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return [];
    throw error;
  }
}
