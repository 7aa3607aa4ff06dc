/**
 * The root file system of an image as a step sees it while its layer is being written: trees of layers below (never
 * changed) and one upperdir of ours on top. It answers what stands at a path, resolves symlinks without ever leaving the
 * root, and makes the upperdir look as if overlayfs had been written through.
 *
 * Why plain paths are safe here: the upperdir belongs to this step alone, no process of the image runs meanwhile, and each
 * folder of it that a path goes through was made by us as a folder, or looked at without following. So no component of
 * `upperdir + path` can be a symlink.
 */
import {
  type BigIntStats,
  chmodSync,
  chownSync,
  constants,
  copyFileSync,
  lchownSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  type Stats,
  symlinkSync,
} from "node:fs";
import { type BytePath, bytePathOfLatin1, fsPathBelow, joinBytePath } from "../kernel/byte-path.ts";
import { deviceNumber, makeNode, type NodeKind, setMtime } from "../kernel/files.ts";
import { isOpaque, markOpaque, ownLayout } from "../store/overlay-marks.ts";
import { notAFolder, tooManyLinks } from "./errors.ts";

export type NodeType = "file" | "dir" | "symlink" | "other";

export interface FoundNode {
  readonly type: NodeType;
  /** Where it lies on the host: absolute. */
  readonly hostPath: string | Buffer;
  readonly inUpper: boolean;
}

export interface FolderMetadata {
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
}

/** What folders look like that are made because something below them is. */
export interface ImpliedMetadata {
  readonly mode: number;
  /** Undefined: root's, but for the group that a folder above passes on. */
  readonly owner: { readonly uid: number; readonly gid: number } | undefined;
}

/** One folder of the merged root. */
interface Folder {
  inUpper: boolean;
  /** Trees below in which it is part of the merged folder, topmost first. */
  readonly trees: readonly string[];
}

const maxLinks = 255;

/** Node has no constant for it: S_ISGID of inode(7). */
const setGroupId = 0o2000;

/** The root's own path. */
const noPath = bytePathOfLatin1("");

/** How a tree looks into its upperdir and makes folders there. Paths are below it, parents are there. */
export interface Upperdir {
  /** Undefined: no such name. */
  look(path: BytePath): "whiteout" | NodeType | undefined;
  /** Of a folder. */
  isOpaque(path: BytePath): boolean;
  /** `below`: what it has in the layers below, with which it will merge. */
  makeFolder(path: BytePath, metadata: FolderMetadata, below?: FolderMetadata): void;
  setFolderMetadata(path: BytePath, metadata: FolderMetadata): void;
  /** Of a folder that is there. */
  metadata(path: BytePath): FolderMetadata;
  setTime(path: BytePath, mtimeNs: bigint): void;
}

export function upperdirOnDisk(upperdir: string): Upperdir {
  const hostPath = (path: BytePath): string | Buffer => fsPathBelow(upperdir, path);
  const setFolderMetadata = (path: BytePath, { mode, uid, gid }: FolderMetadata): void => {
    chownSync(hostPath(path), uid, gid);
    chmodSync(hostPath(path), mode);
  };
  return {
    look(path) {
      const stats = lstatSync(hostPath(path), { throwIfNoEntry: false });
      if (stats === undefined) return undefined;
      return isWhiteout(stats) ? "whiteout" : typeOf(stats);
    },
    isOpaque: (path) => isOpaque(hostPath(path), ownLayout()),
    makeFolder(path, metadata) {
      mkdirSync(hostPath(path));
      setFolderMetadata(path, metadata);
    },
    setFolderMetadata,
    metadata(path) {
      const { mode, uid, gid } = lstatSync(hostPath(path));
      return { mode: mode & 0o7777, uid, gid };
    },
    setTime: (path, mtimeNs) => setMtime(hostPath(path), mtimeNs),
  };
}

export class UpperTree {
  readonly upperdir: string;
  readonly #disk: Upperdir;
  readonly #folders = new Map<BytePath, Folder>();
  readonly #fresh = new Set<BytePath>();
  readonly #passing = new Map<BytePath, boolean>();
  /** Folders whose time is to be set when all is written; undefined: what writing into them made of it. */
  readonly #times = new Map<BytePath, bigint | undefined>();

  /** `lowerdirs` bottom first, as everywhere. */
  constructor(upperdir: string, lowerdirs: readonly string[], disk: Upperdir = upperdirOnDisk(upperdir)) {
    this.upperdir = upperdir;
    this.#disk = disk;
    this.#folders.set("" as BytePath, { inUpper: true, trees: lowerdirs.toReversed() });
  }

  // Looking ---------------------------------------------------------------------------------------------------------

  /** What stands at `path`, whose parents must be real folders (a result of `resolve`). Nothing is followed. */
  find(path: BytePath): FoundNode | undefined {
    if (path === "") return { type: "dir", hostPath: this.upperdir, inUpper: true };
    const parent = this.#folder(parentOf(path));
    return parent === undefined ? undefined : this.#look(parent, path);
  }

  /**
   * The path without symlinks, `..` stopping at the root, and what stands there. A name that is missing ends the looking:
   * what follows is taken as written. `root`: a folder (a result of `resolve`) that stands for the root of `path` and of
   * the links on its way.
   * @throws {TsbuildError} `COPY_FAILED` for a loop of links, or a file where a folder is needed
   */
  resolve(path: BytePath, root: BytePath = noPath): { readonly path: BytePath; readonly node: FoundNode | undefined } {
    let rest = path.split("/").reverse();
    let current = root;
    let node = this.find(current);
    let links = 0;
    for (let name = rest.pop(); name !== undefined; name = rest.pop()) {
      if (name === "" || name === ".") continue;
      if (name === "..") {
        if (current !== root) current = parentOf(current);
        node = this.find(current);
        continue;
      }
      if (node !== undefined && node.type !== "dir") throw notAFolder(current);
      const next = joinBytePath(current, bytePathOfLatin1(name));
      node = node === undefined ? undefined : this.find(next);
      if (node?.type !== "symlink") {
        current = next;
        continue;
      }
      links++;
      if (links > maxLinks) throw tooManyLinks(path);
      const target = readlinkSync(node.hostPath, "latin1");
      rest = rest.concat(target.split("/").reverse());
      if (target.startsWith("/")) current = root;
      node = this.find(current);
    }
    return { path: current, node };
  }

  /** The host's folders that show merged at `path` (a result of `resolve`), topmost first. */
  foldersAt(path: BytePath): readonly string[] {
    const folder = this.#folder(path);
    if (folder === undefined) return [];
    return [...(folder.inUpper ? [this.upperdir] : []), ...folder.trees].map((tree) => String(fsPathBelow(tree, path)));
  }

  /** Bytes of a regular file of the image, links followed inside the root; undefined when there is none. */
  readFile(path: BytePath): Buffer | undefined {
    const { node } = this.resolve(path);
    return node?.type === "file" ? readFileSync(node.hostPath) : undefined;
  }

  /** True while not even the root of a layer stands below and nothing was written. */
  isEmpty(): boolean {
    const root = this.#folders.get("" as BytePath);
    return root?.trees.length === 0 && readdirSync(this.upperdir).length === 0;
  }

  // Writing ---------------------------------------------------------------------------------------------------------

  /**
   * Makes the folder `path` and its missing parents in the upperdir. What exists below is copied up with its metadata; a
   * new one gets `metadata`, and its time is that of writing. Below a folder with the set-group-ID bit it has that bit too,
   * as mkdir(2) makes it. `path` must be a result of `resolve`.
   * @throws {TsbuildError} `COPY_FAILED` when a component is a file
   */
  makeFolders(path: BytePath, metadata: ImpliedMetadata): void {
    if (this.#folders.get(path)?.inUpper === true) return;
    const parent = parentOf(path);
    this.makeFolders(parent, metadata);
    const node = this.find(path);
    if (node !== undefined && node.type !== "dir") throw notAFolder(path);
    if (node?.inUpper === true) return;
    if (node === undefined) this.#makeImplied(path, metadata);
    else this.#copyUp(path, node);
  }

  #makeImplied(path: BytePath, { mode, owner }: ImpliedMetadata): void {
    const above = parentOf(path);
    const isPassedOn = this.passesOnGroup(above);
    const { uid, gid } = owner ?? { uid: 0, gid: isPassedOn ? this.#disk.metadata(above).gid : 0 };
    this.makeFolder(path, { mode: isPassedOn ? mode | setGroupId : mode, uid, gid });
  }

  /** Made here, with nothing below to merge with: it holds only what was written through this tree. */
  isFresh(path: BytePath): boolean {
    return this.#fresh.has(path);
  }

  /** Makes one new folder whose parent is in the upperdir already. */
  makeFolder(path: BytePath, metadata: FolderMetadata): void {
    const below = this.#treesBelow(path);
    if (below.length === 0) this.#fresh.add(path);
    this.#disk.makeFolder(path, metadata);
    this.#folders.set(path, { inUpper: true, trees: below });
    this.touch(parentOf(path));
  }

  setFolderMetadata(path: BytePath, metadata: FolderMetadata): void {
    this.#disk.setFolderMetadata(path, metadata);
    this.#passing.set(path, (metadata.mode & setGroupId) !== 0);
  }

  /** Do new names in the folder `path` of the upperdir get its group? */
  passesOnGroup(path: BytePath): boolean {
    const known = this.#passing.get(path);
    if (known !== undefined) return known;
    const isPassing = (this.#disk.metadata(path).mode & setGroupId) !== 0;
    this.#passing.set(path, isPassing);
    return isPassing;
  }

  /** Takes away whatever the upperdir has at `path`, whiteouts and whole folders too. Layers below stay as they are. */
  remove(path: BytePath): void {
    rmSync(this.hostPath(path), { recursive: true, force: true });
    this.forget(path);
  }

  /** What was known of `path` and all below it no longer holds. */
  forget(path: BytePath): void {
    for (const known of this.#folders.keys())
      if (known === path || known.startsWith(`${path}/`)) {
        this.#folders.delete(known);
        this.#fresh.delete(known);
        this.#passing.delete(known);
      }
    for (const known of this.#times.keys())
      if (known === path || known.startsWith(`${path}/`)) this.#times.delete(known);
  }

  /** A file of the layers below as one in the upperdir, as it is. */
  copyUpFile(path: BytePath, node: FoundNode, parents: ImpliedMetadata): void {
    this.makeFolders(parentOf(path), parents);
    const stats = lstatSync(node.hostPath, { bigint: true });
    const hostPath = this.hostPath(path);
    if (node.type === "symlink") symlinkSync(readlinkSync(node.hostPath, { encoding: "buffer" }), hostPath);
    else if (node.type === "other") makeNode(hostPath, nodeKindOf(stats), 0o600);
    else copyFileSync(node.hostPath, hostPath, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE);
    lchownSync(hostPath, Number(stats.uid), Number(stats.gid));
    if (node.type !== "symlink") chmodSync(hostPath, Number(stats.mode) & 0o7777);
    setMtime(hostPath, stats.mtimeNs);
  }

  /** What the layers below have at `path` is gone; what the upperdir has there stays. */
  hide(path: BytePath): void {
    const node = this.find(path);
    if (node === undefined) return;
    const hostPath = this.hostPath(path);
    if (!node.inUpper) makeNode(hostPath, { type: "char", device: { major: 0, minor: 0 } }, 0);
    else if (this.#folders.get(path)?.trees.length !== 0 && node.type === "dir") markOpaque(hostPath, ownLayout());
    this.forget(path);
  }

  /** The same for all that the layers below have in the folder `path`. */
  hideContents(path: BytePath): void {
    const trees = this.#folder(path)?.trees ?? [];
    const names = trees.flatMap((tree) => readdirSync(fsPathBelow(tree, path), { encoding: "latin1" }));
    for (const name of new Set(names)) this.hide(joinBytePath(path, bytePathOfLatin1(name)));
  }

  /** `path` in the upperdir: absolute. */
  hostPath(path: BytePath): string | Buffer {
    return fsPathBelow(this.upperdir, path);
  }

  /** The names in folder `path` have changed: it keeps the time that writing gave it, unless one was set. */
  touch(path: BytePath): void {
    if (this.#times.get(path) !== undefined && this.#copiedUp.delete(path)) this.#times.set(path, undefined);
  }

  /** The time folder `path` shall have once all is written. */
  setFolderTime(path: BytePath, mtimeNs: bigint): void {
    this.#copiedUp.delete(path);
    this.#times.set(path, mtimeNs);
  }

  /** Sets the times of folders, deepest first: each write into a folder moved its time. */
  finish(): void {
    const paths = [...this.#times.keys()].sort((a, b) => b.length - a.length);
    for (const path of paths) {
      const mtimeNs = this.#times.get(path);
      if (mtimeNs !== undefined) this.#disk.setTime(path, mtimeNs);
    }
    this.#times.clear();
    this.#copiedUp.clear();
  }

  // Inside ----------------------------------------------------------------------------------------------------------

  /** Copied up only to hold something deeper, names unchanged so far: these keep the time they have below. */
  readonly #copiedUp = new Set<BytePath>();

  #folder(path: BytePath): Folder | undefined {
    const known = this.#folders.get(path);
    if (known !== undefined) return known;
    const node = this.find(path);
    return node?.type === "dir" ? this.#folders.get(path) : undefined;
  }

  /** Looks up one name, and remembers it when it is a folder. */
  #look(parent: Folder, path: BytePath): FoundNode | undefined {
    if (parent.inUpper) {
      const type = this.#disk.look(path);
      if (type === "whiteout") return undefined;
      if (type !== undefined) {
        if (type === "dir") {
          const below = foldersFrom(parent.trees, path);
          const hidden = below.length > 0 && this.#disk.isOpaque(path);
          this.#folders.set(path, { inUpper: true, trees: hidden ? [] : below });
        }
        return { type, hostPath: this.hostPath(path), inUpper: true };
      }
    }
    for (const [position, tree] of parent.trees.entries()) {
      const hostPath = fsPathBelow(tree, path);
      const stats = lstatSync(hostPath, { throwIfNoEntry: false });
      if (stats === undefined) continue;
      if (isWhiteout(stats)) return undefined;
      if (stats.isDirectory())
        this.#folders.set(path, { inUpper: false, trees: foldersFrom(parent.trees.slice(position), path) });
      return { type: typeOf(stats), hostPath, inUpper: false };
    }
    return undefined;
  }

  /** Trees below with which a folder made at `path` in the upperdir will merge. */
  #treesBelow(path: BytePath): readonly string[] {
    const parent = this.#folder(parentOf(path));
    return parent === undefined ? [] : foldersFrom(parent.trees, path);
  }

  #copyUp(path: BytePath, node: FoundNode): void {
    const stats = lstatSync(node.hostPath, { bigint: true });
    const below = this.#folders.get(path)?.trees ?? [];
    const metadata = { mode: Number(stats.mode) & 0o7777, uid: Number(stats.uid), gid: Number(stats.gid) };
    this.#disk.makeFolder(path, metadata, metadata);
    this.#folders.set(path, { inUpper: true, trees: below });
    this.#times.set(path, stats.mtimeNs);
    this.#copiedUp.add(path);
  }
}

/** Of `trees` (topmost first) those in which `path` is a folder, down to the first that hides what is below it. */
function foldersFrom(trees: readonly string[], path: BytePath): readonly string[] {
  const found: string[] = [];
  for (const tree of trees) {
    const stats = lstatSync(fsPathBelow(tree, path), { throwIfNoEntry: false });
    if (stats === undefined) continue;
    if (!stats.isDirectory()) break;
    // Asked only where it makes a difference: reading an attribute needs a native module.
    const above = found.at(-1);
    if (above !== undefined && isOpaque(fsPathBelow(above, path), ownLayout())) break;
    found.push(tree);
  }
  return found;
}

function typeOf(stats: Stats): NodeType {
  if (stats.isDirectory()) return "dir";
  if (stats.isFile()) return "file";
  return stats.isSymbolicLink() ? "symlink" : "other";
}

function nodeKindOf(stats: BigIntStats): NodeKind {
  if (stats.isFIFO()) return { type: "fifo" };
  return { type: stats.isBlockDevice() ? "block" : "char", device: deviceNumber(stats.rdev) };
}

/** Source: kernel, Documentation/filesystems/overlayfs.rst, "whiteouts and opaque directories". */
function isWhiteout(stats: Stats): boolean {
  return (stats.mode & constants.S_IFMT) === constants.S_IFCHR && stats.rdev === 0;
}

export function parentOf(path: BytePath): BytePath {
  const slash = path.lastIndexOf("/");
  return (slash < 0 ? "" : path.slice(0, slash)) as BytePath;
}
