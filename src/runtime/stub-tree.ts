/**
 * The stub tree: the lowest lower directory of a container's overlay. It holds an empty folder or file for each mount
 * point, so that a mount point the image lacks need not be made in the upper directory, where it would become part of
 * the layer. Where the image has the path, the image's own wins, because it lies above.
 */
import { mkdirSync, utimesSync, writeFileSync } from "node:fs";
import { dirname, normalize } from "node:path";

export interface MountPoint {
  /** Absolute, in the container. */
  readonly path: string;
  readonly type: "directory" | "file";
}

/**
 * Makes the tree at `folder` (new): directories 0755, files 0644 and empty, all of the epoch, owner ourselves.
 * A mount point below another's file is left out: the mount there will fail with its own sentence.
 */
export function makeStubTree(folder: string, mountPoints: readonly MountPoint[]): void {
  const made = new Map<string, MountPoint["type"]>([["/", "directory"]]);
  mkdirSync(folder, { mode: 0o755 });
  for (const point of mountPoints) {
    const path = normalize(`/${point.path}`).replace(/(?<=.)\/$/, "");
    if (makeParents(folder, dirname(path), made) && !made.has(path)) make(folder, path, point.type, made);
  }
  // The deepest first: making a child changes its parent's time.
  for (const path of [...made.keys()].reverse()) utimesSync(`${folder}${path}`, 0, 0);
}

function makeParents(folder: string, path: string, made: Map<string, MountPoint["type"]>): boolean {
  const known = made.get(path);
  if (known !== undefined) return known === "directory";
  if (!makeParents(folder, dirname(path), made)) return false;
  make(folder, path, "directory", made);
  return true;
}

function make(folder: string, path: string, type: MountPoint["type"], made: Map<string, MountPoint["type"]>): void {
  if (type === "directory") mkdirSync(`${folder}${path}`, { mode: 0o755 });
  else writeFileSync(`${folder}${path}`, "", { mode: 0o644, flag: "wx" });
  made.set(path, type);
}
