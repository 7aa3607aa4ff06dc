/** Clones of git repositories that builds took files from, as things that weigh something and can go. */
import { readdirSync, readFileSync, renameSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { errnoOf } from "../errors.ts";
import { tryLockFile } from "../kernel/file-lock.ts";
import { diskUsage } from "../store/disk-usage.ts";
import type { Store } from "../store/store.ts";

export interface GitClone {
  /** The folder's. */
  readonly name: string;
  /** Where it came from, without credentials. */
  readonly url: string;
  readonly sizeBytes: number;
  readonly lastUsed: Date;
}

/** Largest first. */
export function gitClones(store: Store): readonly GitClone[] {
  const clones: GitClone[] = [];
  for (const name of namesIn(store.gitFolder)) {
    const path = join(store.gitFolder, name);
    const stat = statSync(path, { throwIfNoEntry: false });
    if (stat?.isDirectory() !== true) continue;
    const url = readFileSync(join(path, "description"), "utf8").trim();
    clones.push({ name, url, sizeBytes: diskUsage(path), lastUsed: stat.mtime });
  }
  return clones.sort((a, b) => b.sizeBytes - a.sizeBytes);
}

/** False when a build fetches into it: then it stays. */
export function removeGitClone(store: Store, name: string): boolean {
  const path = join(store.gitFolder, name);
  using lock = tryLockFile(`${path}.lock`);
  if (lock === undefined) return false;
  using rubbish = store.temporaryFolder("git-clone");
  try {
    // Gone for others at once; its files follow.
    renameSync(path, join(rubbish.path, "clone"));
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return false;
    throw error;
  }
  rmSync(join(rubbish.path, "clone"), { recursive: true, force: true });
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
