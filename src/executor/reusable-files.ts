/**
 * Files of an earlier layer that a COPY may share instead of writing them again: the last time the same step copied, most
 * of its files were what they are now. Layers are immutable, so a further name for an inode is as good as a copy, and ext4
 * makes ten of them in the time of one new file.
 */
import { linkSync, lstatSync } from "node:fs";
import { errnoOf } from "../errors.ts";
import { type BytePath, fsPathBelow } from "../kernel/byte-path.ts";
import type { SelectedEntry } from "../planner/selection.ts";
import type { LayerEntry } from "../store/layer-entry.ts";

type FileEntry = Extract<LayerEntry, { type: "file" }>;

/** Plain data: it crosses to a worker as it is. */
export interface ReusableFiles {
  /** The earlier layer's tree. */
  readonly tree: string;
  readonly files: ReadonlyMap<BytePath, FileEntry>;
}

export function reusableFiles(tree: string, index: readonly LayerEntry[]): ReusableFiles {
  const files = new Map<BytePath, FileEntry>();
  for (const entry of index) if (entry.type === "file") files.set(entry.path, entry);
  return { tree, files };
}

export interface WantedFile {
  /** In the image. */
  readonly place: BytePath;
  readonly entry: SelectedEntry;
  readonly uid: number;
  readonly gid: number;
  readonly mode: number;
}

/** Why a link cannot be made and a copy can: too many links, gone meanwhile, another file system, not allowed. */
const copyInstead = new Set(["EMLINK", "ENOENT", "EXDEV", "EPERM"]);

/** Makes `hostPath` a further name of the earlier layer's file, if that is in all respects the wanted one. */
export function linkEarlier(reusable: ReusableFiles, wanted: WantedFile, hostPath: string | Buffer): boolean {
  const { entry } = wanted;
  const earlier = reusable.files.get(wanted.place);
  if (earlier === undefined || earlier.digest !== entry.digest || earlier.size !== entry.size) return false;
  if (earlier.mode !== wanted.mode || earlier.uid !== wanted.uid || earlier.gid !== wanted.gid) return false;
  if (earlier.capability !== entry.capability) return false;
  const from = fsPathBelow(reusable.tree, wanted.place);
  // The index has whole seconds.
  const stat = lstatSync(from, { bigint: true, throwIfNoEntry: false });
  if (stat === undefined || !stat.isFile() || stat.mtimeNs !== entry.mtimeNs) return false;
  try {
    linkSync(from, hostPath);
    return true;
  } catch (error) {
    if (copyInstead.has(errnoOf(error) ?? "")) return false;
    throw error;
  }
}
