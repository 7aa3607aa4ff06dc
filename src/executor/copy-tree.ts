/**
 * COPY: writes a Selection into a fresh upperdir, so that the image looks as if the files had been copied into its root.
 * Pure file work in sync calls; `copy-tree.worker.ts` runs it beside the build when there are many files.
 * Source: BuildKit's fsutil `copy`.
 */
import {
  chmodSync,
  closeSync,
  constants,
  copyFileSync,
  fchmodSync,
  fchownSync,
  fstatSync,
  lchownSync,
  linkSync,
  openSync,
  readSync,
  symlinkSync,
  unlinkSync,
  writeSync,
} from "node:fs";
import { errnoOf } from "../errors.ts";
import { type BytePath, bytePath, fsPath, joinBytePath } from "../kernel/byte-path.ts";
import { makeNode, type NodeKind, setMtime, setMtimeOfOpen } from "../kernel/files.ts";
import { check, libc } from "../kernel/libc.ts";
import type { SelectedEntry, SelectedSource } from "../planner/selection.ts";
import { changeMode, type ModeChange } from "./change-mode.ts";
import { cannotCopyToNonDirectory, cannotReplaceDirectory, changedWhileCopied } from "./errors.ts";
import { linkEarlier, type ReusableFiles } from "./reusable-files.ts";
import { type FolderMetadata, type FoundNode, type ImpliedMetadata, parentOf, UpperTree } from "./upper-tree.ts";

/** Plain data: it crosses to a worker as it is. */
export interface CopyTask {
  readonly upperdir: string;
  /** Trees below, bottom first. Empty for `--link`, which looks at nothing. */
  readonly lowerdirs: readonly string[];
  /** Absolute; a trailing `/` means a folder. */
  readonly destination: string;
  readonly sources: readonly SelectedSource[];
  /** −1 leaves a part of the owner as it is. */
  readonly owner: { readonly uid: number; readonly gid: number } | undefined;
  readonly chmod: ModeChange | undefined;
  /** `--parents`: the destination is a folder, and each source brings the folders it lay in. */
  readonly parents: boolean;
  /** What an earlier run of the same step made. */
  readonly reusable?: ReusableFiles | undefined;
}

/** @throws {TsbuildError} `COPY_FAILED`, `NO_SPACE` */
export function copyTree(task: CopyTask): void {
  const steps = copySteps(task);
  while (steps.next().done !== true);
}

/** The same, stopping between files for whoever else is to have this thread: a signal, the progress. */
export function copySteps(task: CopyTask): Generator<void> {
  const tree = new UpperTree(task.upperdir, task.lowerdirs);
  return copyInto(tree, task, leavesOnDisk(tree, task));
}

/** All of a task into a tree that holds nothing yet; what is no folder goes to `leaves`. */
export function* copyInto(tree: UpperTree, task: CopyTask, leaves: Leaves): Generator<void> {
  for (const source of task.sources) yield* copySource(tree, task, source, leaves);
  if (task.parents && task.sources.length === 0) makeDestination(tree, task);
  tree.finish();
}

/** Writes what is no folder. Paths are those of the tree, parents are there. */
export interface Leaves {
  /** False, and nothing done, when the name is taken. */
  write(place: BytePath, entry: SelectedEntry, attributes: FolderMetadata): boolean;
  /** A further name of what was written at `first`. */
  link(first: BytePath, place: BytePath): void;
  /** Takes away what was written at `place`. */
  clear(place: BytePath): void;
  /** Need it not be written, because the layers below have just that, which is `below`? */
  isThere(below: FoundNode, entry: SelectedEntry, attributes: FolderMetadata): boolean;
}

function leavesOnDisk(tree: UpperTree, { reusable }: Pick<CopyTask, "reusable">): Leaves {
  const hostPath = (place: BytePath): string | Buffer => tree.hostPath(place);
  return {
    write(place, entry, { uid, gid, mode }) {
      const to = hostPath(place);
      try {
        if (entry.type === "file") {
          if (reusable !== undefined && linkEarlier(reusable, { place, entry, uid, gid, mode }, to)) return true;
          const isOwned = uid === processUid && gid === 0 && !tree.passesOnGroup(parentOf(place));
          writeFile(to, entry, isOwned ? undefined : { uid, gid }, mode);
        } else writeSpecial(to, entry, { uid, gid, mode });
        return true;
      } catch (error) {
        if (errnoOf(error) === "EEXIST") return false;
        throw error;
      }
    },
    link: (first, place) => linkSync(hostPath(first), hostPath(place)),
    clear: (place) => unlinkSync(hostPath(place)),
    // What is no change is found out when the layer is sealed.
    isThere: () => false,
  };
}

/** What created parents get. */
export function parentMetadata({ owner, chmod }: Pick<CopyTask, "owner" | "chmod">): ImpliedMetadata {
  return {
    mode: chmod?.kind === "octal" ? chmod.mode : 0o755,
    owner: owner && { uid: Math.max(owner.uid, 0), gid: Math.max(owner.gid, 0) },
  };
}

/** One source of several, into a tree that the caller finishes. */
export function* copySource(
  tree: UpperTree,
  task: CopyTask,
  source: SelectedSource,
  leaves: Leaves = leavesOnDisk(tree, task),
): Generator<void> {
  const copy = new SourceCopy(tree, task, leaves);
  const [root, ...below] = source.entries;
  if (task.parents) {
    const destination = makeDestination(tree, task);
    for (const parent of source.keptParents) copy.folder(joinBytePath(destination, parent.path), parent);
    const place = joinBytePath(
      destination,
      joinBytePath(source.keptParents.at(-1)?.path ?? ("" as BytePath), source.basename),
    );
    if (root.type === "dir") copy.folder(place, root);
    else copy.leaf(place, root);
    yield* copy.entries(place, below);
    return;
  }
  if (/\/\.?$/.test(task.destination)) makeDestination(tree, task);
  const wanted = tree.resolve(bytePath(task.destination));
  if (root.type === "dir") {
    if (wanted.node !== undefined && wanted.node.type !== "dir") throw cannotCopyToNonDirectory(wanted.path);
    tree.makeFolders(wanted.path, parentMetadata(task));
    yield* copy.entries(wanted.path, below);
    // The top folder keeps its own mode and owner: only the time is the source's.
    tree.setFolderTime(wanted.path, root.mtimeNs);
    return;
  }
  const place = wanted.node?.type === "dir" ? joinBytePath(wanted.path, source.basename) : wanted.path;
  tree.makeFolders(parentOf(place), parentMetadata(task));
  copy.leaf(place, root);
}

function makeDestination(tree: UpperTree, task: CopyTask): BytePath {
  const { path } = tree.resolve(bytePath(task.destination));
  tree.makeFolders(path, parentMetadata(task));
  return path;
}

/** Some milliseconds of work. */
const filesAtOnce = 200;

/** One source: hard links hold within it. */
class SourceCopy {
  readonly #tree: UpperTree;
  readonly #task: CopyTask;
  readonly #leaves: Leaves;
  readonly #firstNames = new Map<string, BytePath>();

  constructor(tree: UpperTree, task: CopyTask, leaves: Leaves) {
    this.#tree = tree;
    this.#task = task;
    this.#leaves = leaves;
  }

  *entries(top: BytePath, entries: readonly SelectedEntry[]): Generator<void> {
    for (const [count, entry] of entries.entries()) {
      if (count % filesAtOnce === filesAtOnce - 1) yield;
      const place = joinBytePath(top, entry.path);
      if (entry.type === "dir") this.folder(place, entry);
      else this.leaf(place, entry);
    }
  }

  /** Made, or merged with one that is there: mode, owner and time become the source's. */
  folder(place: BytePath, entry: SelectedEntry): void {
    const tree = this.#tree;
    const metadata = this.#attributes(entry);
    const node = tree.find(place);
    // A link to a folder is not followed here: merging stays inside what the destination itself names.
    if (node !== undefined && node.type !== "dir") throw cannotCopyToNonDirectory(place);
    if (node === undefined) tree.makeFolder(place, metadata);
    else {
      tree.makeFolders(place, parentMetadata(this.#task));
      tree.setFolderMetadata(place, metadata);
    }
    tree.setFolderTime(place, entry.mtimeNs);
  }

  /** Anything but a folder; what is there is replaced, never followed. */
  leaf(place: BytePath, entry: SelectedEntry): void {
    const tree = this.#tree;
    const leaves = this.#leaves;
    // The common case without a look: the name is free unless an earlier source took it.
    if (entry.type === "file" && entry.inode === undefined && tree.isFresh(parentOf(place)))
      if (leaves.write(place, entry, this.#attributes(entry))) return;
    const node = tree.find(place);
    if (node?.type === "dir") throw cannotReplaceDirectory(place);
    if (node?.inUpper === true) leaves.clear(place);
    tree.touch(parentOf(place));
    if (node?.inUpper === false && leaves.isThere(node, entry, this.#attributes(entry))) return;
    const first = entry.inode === undefined ? undefined : this.#firstNames.get(entry.inode);
    if (first !== undefined) {
      leaves.link(first, place);
      return;
    }
    if (entry.inode !== undefined) this.#firstNames.set(entry.inode, place);
    if (!leaves.write(place, entry, this.#attributes(entry)))
      throw new Error(`a name that was free is taken: ${place}`);
  }

  #attributes(entry: SelectedEntry): FolderMetadata {
    return { mode: this.#mode(entry), ...this.#owner(entry) };
  }

  #mode(entry: SelectedEntry): number {
    const { chmod } = this.#task;
    return chmod === undefined ? entry.mode : changeMode(chmod, entry.mode, entry.type === "dir");
  }

  #owner(entry: SelectedEntry): { readonly uid: number; readonly gid: number } {
    const { owner } = this.#task;
    if (owner === undefined) return { uid: entry.uid, gid: entry.gid };
    return { uid: owner.uid < 0 ? entry.uid : owner.uid, gid: owner.gid < 0 ? entry.gid : owner.gid };
  }
}

function writeSpecial(hostPath: string | Buffer, entry: SelectedEntry, { mode, uid, gid }: FolderMetadata): void {
  if (entry.type === "symlink") symlinkSync(fsPath(entry.target ?? ("" as BytePath)), hostPath);
  else makeNode(hostPath, nodeKind(entry), 0o600);
  lchownSync(hostPath, uid, gid);
  // A symlink has no mode of its own.
  if (entry.type !== "symlink") chmodSync(hostPath, mode);
  setMtime(hostPath, entry.mtimeNs);
}

function nodeKind({ type, major = 0, minor = 0 }: SelectedEntry): NodeKind {
  return type === "char" || type === "block" ? { type, device: { major, minor } } : { type: "fifo" };
}

const smallFile = 256 * 1024;
const buffer = Buffer.allocUnsafeSlow(smallFile + 1);

/** `owner`: undefined when it is what a new file has there anyway. */
function writeFile(
  hostPath: string | Buffer,
  entry: SelectedEntry,
  owner: { readonly uid: number; readonly gid: number } | undefined,
  mode: number,
): void {
  const output =
    entry.content !== undefined
      ? writeBytes(hostPath, entry.content)
      : entry.size > smallFile
        ? copyLarge(hostPath, entry)
        : copySmall(hostPath, entry);
  try {
    if (owner !== undefined) fchownSync(output, owner.uid, owner.gid);
    // After the owner: chown(2) clears set-user-ID and set-group-ID.
    fchmodSync(output, mode);
    if (entry.capability !== undefined) {
      const value = Buffer.from(entry.capability, "base64");
      check(libc("fsetxattr", output, "security.capability", value, value.length, 0), "setting file capabilities");
    }
    setMtimeOfOpen(output, hostPath, entry.mtimeNs);
  } finally {
    closeSync(output);
  }
}

const processUid = process.geteuid?.() ?? 0;

function writeBytes(hostPath: string | Buffer, content: Uint8Array): number {
  const output = openSync(hostPath, "wx", 0o600);
  for (let offset = 0; offset < content.length; ) offset += writeSync(output, content, offset);
  return output;
}

/** One read and one write: for small files faster than any way without a copy. */
function copySmall(hostPath: string | Buffer, entry: SelectedEntry): number {
  return writeBytes(hostPath, readUnchanged(entry, buffer));
}

/**
 * The file's bytes, in `into`, which must have room for one more.
 * @throws {TsbuildError} `COPY_FAILED` when it is no longer what it was when it was looked at
 */
export function readUnchanged(entry: SelectedEntry, into: Buffer): Buffer {
  const input = openSource(entry);
  try {
    let length = 0;
    for (let read = -1; read !== 0 && length <= entry.size; length += read)
      read = readSync(input, into, length, entry.size + 1 - length, length);
    if (length !== entry.size || !isUnchanged(input, entry)) throw changedWhileCopied(nameOf(entry.hostPath));
    return into.subarray(0, length);
  } finally {
    closeSync(input);
  }
}

/** Shares the blocks where the file system can, else the kernel copies. */
function copyLarge(hostPath: string | Buffer, entry: SelectedEntry): number {
  const input = openSource(entry);
  try {
    copyFileSync(`/proc/self/fd/${input}`, hostPath, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE);
    if (!isUnchanged(input, entry)) throw changedWhileCopied(nameOf(entry.hostPath));
    return openSync(hostPath, constants.O_RDWR | constants.O_NOFOLLOW);
  } finally {
    closeSync(input);
  }
}

function openSource(entry: SelectedEntry): number {
  try {
    return openSync(entry.hostPath, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    // It was there when it was hashed.
    if (errnoOf(error) === "ENOENT" || errnoOf(error) === "ELOOP") throw changedWhileCopied(nameOf(entry.hostPath));
    throw error;
  }
}

/** What was hashed is what is copied: an editor that saves in between must not put its bytes under the old key. */
function isUnchanged(fd: number, entry: SelectedEntry): boolean {
  const stats = fstatSync(fd);
  return stats.size === entry.size && Math.abs(stats.mtimeMs - Number(entry.mtimeNs) / 1e6) < 0.001;
}

function nameOf(hostPath: string | Buffer): string {
  // A Buffer that came to a thread is a plain array of bytes.
  return typeof hostPath === "string" ? hostPath : Buffer.from(hostPath).toString("utf8");
}
