/**
 * Folders that the native driver needs before a container has a root: two to mount on, and the stub tree. Most
 * containers need the same, and what is mounted there is seen by nobody else; so these are made once for a store and
 * never changed, which spares each step a dozen folders on the disk.
 */
import { existsSync, mkdirSync, renameSync, rmSync } from "node:fs";
import { errnoOf } from "../errors.ts";
import { type MountPoint, makeStubTree } from "./stub-tree.ts";

export interface MountFolders {
  /** Where the root is mounted. */
  readonly mountDir: string;
  /** What masked directories are clones of. */
  readonly maskDir: string;
  readonly stubTree: string;
}

/** The mount points that containers without mounts of their own have. */
const common: ReadonlyMap<string, MountPoint["type"]> = new Map([
  ["/proc", "directory"],
  ["/dev", "directory"],
  ["/sys", "directory"],
  ["/etc/hosts", "file"],
  ["/etc/resolv.conf", "file"],
  ["/etc/hostname", "file"],
]);

/** `scratchDir` is asked for a stub tree that others hardly need. Undefined `points`: the root brings its own. */
export function mountFolders(
  places: { readonly sharedDir: string; readonly scratchDir: () => string },
  points: readonly MountPoint[] | undefined,
): MountFolders {
  const { sharedDir, scratchDir } = places;
  const isCommon = points?.every(({ path, type }) => common.get(path) === type) ?? true;
  const names = (points ?? []).map(({ path }) => path.slice(path.lastIndexOf("/") + 1)).sort();
  const folders = {
    mountDir: `${sharedDir}/root`,
    maskDir: `${sharedDir}/mask`,
    stubTree: isCommon ? `${sharedDir}/stub-${names.join("-")}` : `${scratchDir()}/stub`,
  };
  for (const folder of [folders.mountDir, folders.maskDir])
    if (!existsSync(folder)) mkdirSync(folder, { recursive: true, mode: 0o700 });
  if (!isCommon) makeStubTree(folders.stubTree, points ?? []);
  else if (!existsSync(folders.stubTree)) publishStubTree(folders.stubTree, points ?? [], scratchDir());
  return folders;
}

/** Two processes may make it at once: whoever is first has made the same. */
function publishStubTree(stubTree: string, points: readonly MountPoint[], scratchDir: string): void {
  const unfinished = `${scratchDir}/stub`;
  makeStubTree(unfinished, points);
  try {
    renameSync(unfinished, stubTree);
  } catch (error) {
    if (errnoOf(error) !== "ENOTEMPTY" && errnoOf(error) !== "EEXIST") throw error;
    rmSync(unfinished, { recursive: true });
  }
}
