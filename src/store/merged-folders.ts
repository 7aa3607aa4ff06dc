/** One name, or all names, in folders that overlayfs would show merged. The one place that knows its rules of lookup. */
import { type BigIntStats, lstatSync, readdirSync } from "node:fs";
import { type BytePath, bytePathOfLatin1, fsPath, joinBytePath } from "../kernel/byte-path.ts";
import { isOpaque, isWhiteout } from "./overlay-marks.ts";
import type { Layout } from "./store-context.ts";

export interface Merged {
  /** On the host, in bytes. */
  readonly host: BytePath;
  readonly stat: BigIntStats;
  /** The folders that show merged under this name, topmost first; empty unless it is a folder. */
  readonly folders: readonly BytePath[];
}

/** What `name` is in the merged view of `folders` (host paths, topmost first). Never follows a symlink. */
export function mergedName(name: string, folders: readonly BytePath[], layout: Layout): Merged | undefined {
  let found: { readonly host: BytePath; readonly stat: BigIntStats } | undefined;
  const merged: BytePath[] = [];
  for (const folder of folders) {
    const host = joinBytePath(folder, bytePathOfLatin1(name));
    const stat = lstatSync(fsPath(host), { bigint: true, throwIfNoEntry: false });
    if (stat === undefined) continue;
    if (found === undefined) {
      if (isWhiteout(stat)) return undefined;
      if (!stat.isDirectory()) return { host, stat, folders: [] };
      found = { host, stat };
      merged.push(host);
      continue;
    }
    if (!stat.isDirectory()) break;
    // Asked only where it makes a difference: reading an attribute needs a native module.
    const above = merged.at(-1);
    if (above !== undefined && isOpaque(fsPath(above), layout)) break;
    merged.push(host);
  }
  return found === undefined ? undefined : { ...found, folders: merged };
}

/** The names in the merged view of `folders`, sorted by bytes. */
export function mergedNames(folders: readonly BytePath[], layout: Layout): readonly string[] {
  const names = new Set<string>();
  for (const folder of folders) for (const name of readdirSync(fsPath(folder), { encoding: "latin1" })) names.add(name);
  return [...names].sort().filter((name) => mergedName(name, folders, layout) !== undefined);
}
