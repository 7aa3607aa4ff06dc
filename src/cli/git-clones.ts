/** Clones of git repositories that builds took files from, as things that weigh something and can go. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { tryLockFile, tryLockFolder } from "../kernel/file-lock.ts";
import type { Store } from "../store/store.ts";
import { removeStoreFolder, type StoreFolder, storeFolders } from "./store-folders.ts";

export interface GitClone extends StoreFolder {
  /** Where it came from, without credentials. */
  readonly url: string;
}

/** Largest first. */
export function gitClones(store: Store): readonly GitClone[] {
  return storeFolders(store.gitFolder).map((folder) => ({
    ...folder,
    url: readFileSync(join(store.gitFolder, folder.name, "description"), "utf8").trim(),
  }));
}

/** False when a build fetches into it or takes from it: then it stays. */
export function removeGitClone(store: Store, name: string): boolean {
  const path = join(store.gitFolder, name);
  using lock = tryLockFile(`${path}.lock`);
  if (lock === undefined || !existsSync(path)) return false;
  using alone = tryLockFolder(path, "alone");
  return alone !== undefined && removeStoreFolder(store, path);
}
