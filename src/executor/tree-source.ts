/** A folder or file of a chain of layers as a source that can be copied, with what the layers keep of it. */
import { readlinkSync } from "node:fs";
import { type BytePath, bytePath, bytePathOfLatin1 } from "../kernel/byte-path.ts";
import { deviceNumber } from "../kernel/files.ts";
import type { SelectedEntry, SelectedSource } from "../planner/selection.ts";
import { type Found, type LayeredView, layeredView } from "../store/layered-view.ts";
import { baseNameOf } from "./upper-tree.ts";

/** `trees` bottom first; symlinks on the way to `path` are followed inside the root. Undefined when nothing is there. */
export function treeSource(trees: readonly string[], path: string): SelectedSource | undefined {
  const view = layeredView(trees);
  const top = view.lookup(bytePath(path));
  if (top === undefined) return undefined;
  const root = entryOf(top, "" as BytePath);
  if (root === undefined) return undefined;
  const below = top.type === "dir" ? [...entriesBelow(view, top, top.path)] : [];
  return { basename: baseNameOf(bytePath(path)), matched: false, entries: [root, ...below], keptParents: [] };
}

function* entriesBelow(view: LayeredView, folder: Found, top: BytePath): Generator<SelectedEntry> {
  for (const found of view.readdir(folder)) {
    const inside = bytePathOfLatin1(top === "" ? found.path : found.path.slice(top.length + 1));
    const entry = entryOf(found, inside);
    if (entry !== undefined) yield entry;
    if (found.type === "dir") yield* entriesBelow(view, found, top);
  }
}

/** A socket means nothing without its server. */
function entryOf({ type, stat, hostPath }: Found, path: BytePath): SelectedEntry | undefined {
  if (type === "socket") return undefined;
  return {
    path,
    type,
    mode: Number(stat.mode) & 0o7777,
    uid: Number(stat.uid),
    gid: Number(stat.gid),
    mtimeNs: stat.mtimeNs,
    size: type === "file" ? Number(stat.size) : 0,
    hostPath,
    ...(type === "symlink" && { target: bytePathOfLatin1(readlinkSync(hostPath, "latin1")) }),
    ...((type === "char" || type === "block") && deviceNumber(stat.rdev)),
    ...(type === "file" && stat.nlink > 1n && { inode: `${stat.dev}:${stat.ino}` }),
  };
}
