/**
 * The merged tree of a chain, entry by entry, for whoever wants the files alone. Nothing is mounted.
 * Source: BuildKit, exporter/local and exporter/tar.
 */
import { createHash } from "node:crypto";
import { closeSync, constants, openSync, readSync } from "node:fs";
import { type BytePath, bytePathOfLatin1, joinBytePath, textOfBytePath } from "../kernel/byte-path.ts";
import type { Digest } from "../oci/digest.ts";
import { type Found, layeredView } from "../store/layered-view.ts";

export interface ExportedTree {
  /** Bottom first. */
  readonly trees: readonly string[];
  /** Every time is this one; undefined: each its own. Seconds. */
  readonly mtime: number | undefined;
  /** Throws when nobody wants the rest any more; asked at every entry. */
  readonly checkAbort: () => void;
}

export interface ExportedEntry {
  /** Relative, "" for the root. */
  readonly path: BytePath;
  readonly found: Found;
  /** An earlier path that is the same file. */
  readonly linkTo: BytePath | undefined;
}

/** Path and digest of every file, sorted: what statements about exported files are about. */
export function fileDigests(tree: ExportedTree): readonly { readonly name: string; readonly digest: Digest }[] {
  const digests: { readonly name: string; readonly digest: Digest }[] = [];
  for (const { path, found } of exportedEntries(tree)) {
    if (found.type !== "file") continue;
    const hash = createHash("sha256");
    const fd = openSync(found.hostPath, constants.O_RDONLY | constants.O_NOFOLLOW);
    try {
      const piece = Buffer.allocUnsafe(pieceBytes);
      for (let count = readSync(fd, piece); count > 0; count = readSync(fd, piece))
        hash.update(piece.subarray(0, count));
    } finally {
      closeSync(fd);
    }
    digests.push({ name: textOfBytePath(path), digest: `sha256:${hash.digest("hex")}` as string as Digest });
  }
  return digests;
}

/** Depth first, names sorted as bytes, folders before what is in them; without sockets. The root comes first. */
export function* exportedEntries({ trees, checkAbort }: ExportedTree): Generator<ExportedEntry> {
  const view = layeredView(trees);
  const linked = new Map<string, BytePath>();
  const root = view.lookup(bytePathOfLatin1(""));
  if (root === undefined) return;
  const visit = function* (found: Found, path: BytePath): Generator<ExportedEntry> {
    checkAbort();
    if (found.type === "socket") return;
    let linkTo: BytePath | undefined;
    if (found.type === "file" && found.stat.nlink > 1n) {
      // Layers share unchanged files: only names within one layer are links of each other.
      const tree = trees.find((each) => Buffer.from(found.hostPath).indexOf(`${each}/`) === 0);
      const key = `${tree} ${found.stat.ino}`;
      linkTo = linked.get(key);
      if (linkTo === undefined) linked.set(key, path);
    }
    yield { path, found, linkTo };
    if (found.type !== "dir") return;
    for (const child of view.readdir(found)) {
      const name = child.path.slice(child.path.lastIndexOf("/") + 1) as BytePath;
      yield* visit(child, path === "" ? name : joinBytePath(path, name));
    }
  };
  yield* visit(root, bytePathOfLatin1(""));
}

/** What is read at once. */
export const pieceBytes: number = 1 << 20;
