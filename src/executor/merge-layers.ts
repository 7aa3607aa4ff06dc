/**
 * The trees of several layers as one upperdir, on the layers below them: what overlayfs would show of both is the same.
 * Files are further names of the layers' own. Pure file work in sync calls; `merge-layers.worker.ts` runs it.
 * Source: Documentation/filesystems/overlayfs.rst, "whiteouts and opaque directories".
 */
import { type BigIntStats, chmodSync, lchownSync, linkSync, lstatSync, mkdirSync, readdirSync, rmSync } from "node:fs";
import { type BytePath, bytePath, bytePathOfLatin1, fsPath, fsPathBelow, joinBytePath } from "../kernel/byte-path.ts";
import { makeNode, setMtime } from "../kernel/files.ts";
import { layeredView } from "../store/layered-view.ts";
import { isOpaque, isWhiteout, markOpaque, ownLayout } from "../store/overlay-marks.ts";

export interface MergeTask {
  /** Bottom first. */
  readonly trees: readonly string[];
  /** Those below them, bottom first. */
  readonly lowers: readonly string[];
  /** Empty. */
  readonly upperdir: string;
}

const rootPath = bytePathOfLatin1("");

export function mergeLayers({ trees, lowers, upperdir }: MergeTask): void {
  const merge = new Merge(lowers, bytePath(upperdir));
  for (const tree of trees) merge.folder(tree, rootPath);
}

class Merge {
  readonly #below: ReturnType<typeof layeredView>;
  readonly #upper: BytePath;
  readonly #layout = ownLayout();

  constructor(lowers: readonly string[], upper: BytePath) {
    this.#below = layeredView(lowers);
    this.#upper = upper;
  }

  /** Puts what `tree` has in this folder over what is there. */
  folder(tree: string, path: BytePath): void {
    const from = fsPathBelow(tree, path);
    for (const name of readdirSync(from, { encoding: "latin1" })) {
      const child = joinBytePath(path, bytePathOfLatin1(name));
      const hostPath = fsPathBelow(tree, child);
      const stat = lstatSync(hostPath, { bigint: true });
      if (stat.isDirectory()) this.#folder(tree, child, stat);
      else if (isWhiteout(stat)) this.#whiteout(child);
      else {
        this.#remove(child);
        linkSync(hostPath, this.#host(child));
      }
    }
    const stat = lstatSync(from, { bigint: true });
    const to = this.#host(path);
    lchownSync(to, Number(stat.uid), Number(stat.gid));
    // After the owner, whose change takes the set-ID bits away; and the time last of all.
    chmodSync(to, Number(stat.mode & 0o7777n));
    setMtime(to, stat.mtimeNs);
  }

  #folder(tree: string, path: BytePath, stat: BigIntStats): void {
    const to = this.#host(path);
    const there = lstatSync(to, { bigint: true, throwIfNoEntry: false });
    const hides = isOpaque(fsPathBelow(tree, path), this.#layout);
    const replaces = there !== undefined && (hides || !there.isDirectory());
    if (replaces) this.#remove(path);
    if (there === undefined || replaces) mkdirSync(to, { mode: Number(stat.mode & 0o7777n) });
    // Instead of what was there a folder that shows nothing of the layers below.
    if (hides || replaces) markOpaque(to, this.#layout);
    this.folder(tree, path);
  }

  #whiteout(path: BytePath): void {
    this.#remove(path);
    const below = this.#below.lookup(path, { followLast: false });
    if (below !== undefined) makeNode(this.#host(path), { type: "char", device: { major: 0, minor: 0 } }, 0);
  }

  #remove(path: BytePath): void {
    rmSync(this.#host(path), { recursive: true, force: true });
  }

  #host(path: BytePath): string | Buffer {
    return path === "" ? fsPath(this.#upper) : fsPath(joinBytePath(this.#upper, path));
  }
}
