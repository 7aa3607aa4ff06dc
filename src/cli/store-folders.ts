/** Folders of the store that hold something between builds, cache mounts and git clones: what they weigh, and their end. */
import { readdirSync, renameSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { errnoOf } from "../errors.ts";
import { diskUsage } from "../store/disk-usage.ts";
import type { Store } from "../store/store.ts";

export interface StoreFolder {
  readonly name: string;
  readonly sizeBytes: number;
  readonly lastUsed: Date;
}

/** The folders below `parent`, largest first; files beside them are locks. */
export function storeFolders(parent: string): readonly StoreFolder[] {
  const folders: StoreFolder[] = [];
  for (const name of namesIn(parent)) {
    const path = join(parent, name);
    const stat = statSync(path, { throwIfNoEntry: false });
    if (stat?.isDirectory() !== true) continue;
    folders.push({ name, sizeBytes: diskUsage(path), lastUsed: stat.mtime });
  }
  return folders.sort((a, b) => b.sizeBytes - a.sizeBytes);
}

/** The caller holds its lock. False when it was gone already. */
export function removeStoreFolder(store: Store, path: string): boolean {
  using rubbish = store.temporaryFolder("removed");
  const moved = join(rubbish.path, "folder");
  try {
    // Gone for others at once; its files follow.
    renameSync(path, moved);
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return false;
    throw error;
  }
  rmSync(moved, { recursive: true, force: true });
  return true;
}

function namesIn(folder: string): readonly string[] {
  try {
    return readdirSync(folder).sort();
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return [];
    throw error;
  }
}
