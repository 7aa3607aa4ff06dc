/** Folders of `RUN --mount=type=cache`, as things that weigh something and can go. */
import { closeSync, constants, openSync } from "node:fs";
import { join } from "node:path";
import { libc } from "../kernel/libc.ts";
import type { Store } from "../store/store.ts";
import { removeStoreFolder, type StoreFolder, storeFolders } from "./store-folders.ts";

/** Its name is a digest of what identifies the mount. */
export type CacheMount = StoreFolder;

/** Largest first. */
export function cacheMounts(store: Store): readonly CacheMount[] {
  return storeFolders(store.cacheMountsFolder);
}

const lockExclusive = 2;
const lockWithoutWaiting = 4;

/** False when a running step uses it: then it stays. */
export function removeCacheMount(store: Store, name: string): boolean {
  const path = join(store.cacheMountsFolder, name);
  // Steps keep this file open and lock it: unlike a `tryLockFile` it stays where it is.
  const lock = openSync(`${path}.lock`, constants.O_RDWR | constants.O_CREAT, 0o600);
  try {
    return libc("flock", lock, lockExclusive | lockWithoutWaiting) === 0 && removeStoreFolder(store, path);
  } finally {
    closeSync(lock);
  }
}
