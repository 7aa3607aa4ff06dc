/** What a tar has put into a tree, by name: inodes, of which a file may have several names; and their index. */
import type { BigIntStats } from "node:fs";
import type { BytePath } from "../kernel/byte-path.ts";
import type { Digest } from "../oci/digest.ts";
import { wholeSeconds } from "./layer-changes.ts";
import type { LayerEntry } from "./layer-entry.ts";

export interface Attributes {
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly mtime: number;
}

export function attributesOfStat(stat: BigIntStats): Attributes {
  return {
    mode: Number(stat.mode & 0o7777n),
    uid: Number(stat.uid),
    gid: Number(stat.gid),
    mtime: wholeSeconds(stat.mtimeNs),
  };
}

/** An inode of the tree; a file may have several names. */
export type Inode =
  | { kind: "file"; attributes: Attributes; size: number; digest: Digest; capability: string | undefined }
  | { kind: "dir"; attributes: Attributes; opaque: boolean }
  | { kind: "symlink"; attributes: Attributes; target: BytePath }
  | { kind: "char" | "block"; attributes: Attributes; major: number; minor: number }
  | { kind: "fifo"; attributes: Attributes }
  | { kind: "whiteout" };

/** The index, in the order that layers of our own have: depth first, names by bytes. */
export function sortedEntries(inodes: ReadonlyMap<BytePath, Inode>): readonly LayerEntry[] {
  const first = new Map<Inode, BytePath>();
  return [...inodes].sort(([a], [b]) => comparePaths(a, b)).flatMap(([path, inode]) => entriesOf(path, inode, first));
}

/** As if each slash were lower than all other bytes. Without keys to sort by: a layer may have a million names. */
export function comparePaths(a: BytePath, b: BytePath): number {
  const length = Math.min(a.length, b.length);
  for (let at = 0; at < length; at += 1) {
    const [x, y] = [a.charCodeAt(at), b.charCodeAt(at)];
    if (x !== y) return x === SLASH ? -1 : y === SLASH ? 1 : x - y;
  }
  return a.length - b.length;
}

const SLASH = 0x2f;

function entriesOf(path: BytePath, inode: Inode, first: Map<Inode, BytePath>): readonly LayerEntry[] {
  switch (inode.kind) {
    case "whiteout":
      return [{ type: "whiteout", path, mode: 0, uid: 0, gid: 0, mtime: 0 }];
    case "file": {
      const target = first.get(inode);
      if (target !== undefined) return [{ type: "hardlink", path, ...inode.attributes, target }];
      first.set(inode, path);
      const { size, digest, capability } = inode;
      return [
        { type: "file", path, ...inode.attributes, size, digest, ...(capability !== undefined && { capability }) },
      ];
    }
    case "dir": {
      const entry: LayerEntry = { type: "dir", path, ...inode.attributes };
      return inode.opaque ? [entry, { type: "opaque", path, mode: 0, uid: 0, gid: 0, mtime: 0 }] : [entry];
    }
    case "symlink":
      return [{ type: "symlink", path, ...inode.attributes, target: inode.target }];
    case "fifo":
      return [{ type: "fifo", path, ...inode.attributes }];
    default:
      return [{ type: inode.kind, path, ...inode.attributes, major: inode.major, minor: inode.minor }];
  }
}
