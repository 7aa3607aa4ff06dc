/**
 * A COPY whose layer is written as one tar, no file made: see store/folded-layer.ts. The same steps as on the disk, into a
 * record of it. What is too rare to be told without making it has the answer "not so": the caller then copies as ever.
 */
import { lstatSync, readFileSync, readlinkSync } from "node:fs";
import { type BytePath, bytePathOfLatin1 } from "../kernel/byte-path.ts";
import { getXattr } from "../kernel/xattr.ts";
import { sha256 } from "../oci/digest.ts";
import { whiteoutPrefix } from "../oci/whiteout.ts";
import type { SelectedEntry } from "../planner/selection.ts";
import { comparePaths } from "../store/extracted-inodes.ts";
import type { FoldedTar } from "../store/folded-layer.ts";
import type { LayerEntry } from "../store/layer-entry.ts";
import type { FileContent } from "../store/pack-layer.ts";
import type { Snapshot } from "../store/store.ts";
import { type CopyTask, copyInto, type Leaves, readUnchanged } from "./copy-tree.ts";
import {
  type FolderMetadata,
  type FoundNode,
  type NodeType,
  type Upperdir,
  UpperTree,
  upperdirOnDisk,
} from "./upper-tree.ts";

type Recorded =
  | (FolderMetadata & { readonly type: "dir"; readonly below: FolderMetadata | undefined; mtimeNs: bigint | undefined })
  | (FolderMetadata & { readonly type: "leaf"; readonly entry: SelectedEntry })
  | { readonly type: "link"; readonly target: BytePath };

type FoldedCopy = Parameters<Snapshot["fold"]>[0];

/** Longer ones are the file system's to refuse. */
const maxPathBytes = 1024;
const second = 1_000_000_000n;

/** Ends the recording: this COPY has to be done on the disk. */
class NotFoldable extends Error {}

/**
 * The layer that `task` makes, or undefined when it cannot be told without making it. `now`: epoch ms, the time of folders
 * that no source gives one.
 * @throws {TsbuildError} `COPY_FAILED`, as the copy itself; `contentOf` for a file that changes meanwhile
 */
export function foldedCopy(task: CopyTask, earlier: FoldedTar | undefined, now: number): FoldedCopy | undefined {
  // The upperdir has the root's attributes already, and nothing in it.
  const record = new CopyRecord(upperdirOnDisk(task.upperdir).metadata(bytePathOfLatin1("")));
  try {
    const steps = copyInto(new UpperTree(task.upperdir, task.lowerdirs, record), task, record);
    while (steps.next().done !== true);
  } catch (error) {
    if (error instanceof NotFoldable) return undefined;
    throw error;
  }
  return record.contents(earlier, BigInt(Math.trunc(now)) * 1_000_000n);
}

class CopyRecord implements Upperdir, Leaves {
  readonly #names = new Map<BytePath, Recorded>();
  readonly #root: FolderMetadata;
  #rootMtimeNs: bigint | undefined;
  #hasLinks = false;

  constructor(root: FolderMetadata) {
    this.#root = root;
  }

  // The folders -----------------------------------------------------------------------------------------------------

  look(path: BytePath): NodeType | undefined {
    const recorded = this.#names.get(path);
    if (recorded === undefined || recorded.type === "dir") return recorded?.type;
    const { type } = recorded.type === "leaf" ? recorded.entry : { type: "file" };
    // Where it leads is written nowhere yet.
    if (type === "symlink") throw new NotFoldable();
    return type === "file" ? "file" : "other";
  }

  isOpaque(): boolean {
    return false;
  }

  makeFolder(path: BytePath, metadata: FolderMetadata, below?: FolderMetadata): void {
    this.#names.set(checked(path), { type: "dir", ...metadata, below, mtimeNs: undefined });
  }

  setFolderMetadata(path: BytePath, metadata: FolderMetadata): void {
    // The root of a layer is that of the layers below.
    if (path === "") return;
    const folder = this.#names.get(path);
    if (folder?.type === "dir") this.#names.set(path, { ...folder, ...metadata });
  }

  metadata(path: BytePath): FolderMetadata {
    if (path === "") return this.#root;
    const folder = this.#names.get(path);
    if (folder?.type !== "dir") throw new Error(`no folder was recorded: ${path}`);
    return folder;
  }

  setTime(path: BytePath, mtimeNs: bigint): void {
    if (path === "") this.#rootMtimeNs = mtimeNs;
    const folder = this.#names.get(path);
    if (folder?.type === "dir") folder.mtimeNs = mtimeNs;
  }

  // What is in them -------------------------------------------------------------------------------------------------

  write(place: BytePath, entry: SelectedEntry, attributes: FolderMetadata): boolean {
    if (this.#names.has(place)) return false;
    if (entry.type !== "file" && entry.type !== "symlink") throw new NotFoldable();
    this.#names.set(checked(place), { type: "leaf", ...attributes, entry });
    return true;
  }

  link(first: BytePath, place: BytePath): void {
    this.#hasLinks = true;
    this.#names.set(checked(place), { type: "link", target: first });
  }

  clear(place: BytePath): void {
    if (this.#hasLinks) throw new NotFoldable();
    this.#names.delete(place);
  }

  /** The rule by which a layer that is sealed leaves out what is no change. */
  isThere(below: FoundNode, entry: SelectedEntry, { mode, uid, gid }: FolderMetadata): boolean {
    const stat = lstatSync(below.hostPath, { bigint: true });
    if (entry.type !== below.type || stat.mtimeNs !== entry.mtimeNs) return false;
    if (Number(stat.uid) !== uid || Number(stat.gid) !== gid) return false;
    if (entry.type === "symlink") return readlinkSync(below.hostPath, "latin1") === entry.target;
    if (Number(stat.mode & 0o7777n) !== mode || Number(stat.size) !== entry.size) return false;
    // A further name, or a privilege: seldom enough.
    if (entry.inode !== undefined || entry.capability !== undefined) throw new NotFoldable();
    if (getXattr(below.hostPath, "security.capability") !== undefined) return false;
    return sha256(readFileSync(below.hostPath)) === entry.digest;
  }

  // The layer -------------------------------------------------------------------------------------------------------

  contents(earlier: FoldedTar | undefined, nowNs: bigint): FoldedCopy {
    const entries: LayerEntry[] = [];
    const nanoseconds: number[] = [];
    const unchanged = this.#unchangedFolders();
    const sources = new Map<BytePath, SelectedEntry>();
    for (const [path, recorded] of this.#inTarOrder()) {
      if (unchanged.has(path)) continue;
      const leaf = recorded.type === "link" ? this.#names.get(recorded.target) : recorded;
      // A link's first name is a leaf.
      if (leaf === undefined || leaf.type === "link") throw new Error(`a link to no file: ${path}`);
      const mtimeNs = leaf.type === "dir" ? (leaf.mtimeNs ?? nowNs) : leaf.entry.mtimeNs;
      const nanosecond = ((mtimeNs % second) + second) % second;
      const { mode, uid, gid } = leaf;
      const common = { path, mode, uid, gid, mtime: Number((mtimeNs - nanosecond) / second) };
      nanoseconds.push(Number(nanosecond));
      if (recorded.type === "link") entries.push({ type: "hardlink", ...common, target: recorded.target });
      else if (leaf.type === "dir") entries.push({ type: "dir", ...common });
      else {
        entries.push(entryOf(leaf.entry, common));
        sources.set(path, leaf.entry);
      }
    }
    const contents = new Contents(sources, earlier);
    return {
      entries,
      nanoseconds,
      contentOf: ({ path }) => contents.of(path),
      earlier,
      rootMtimeNs: this.#rootMtimeNs ?? nowNs,
    };
  }

  /** Mostly they were recorded so. */
  #inTarOrder(): readonly (readonly [BytePath, Recorded])[] {
    const names = [...this.#names];
    const isSorted = names.every(([path], at) => at === 0 || comparePaths(names[at - 1]?.[0] ?? path, path) < 0);
    return isSorted ? names : names.sort(([a], [b]) => comparePaths(a, b));
  }

  /** Folders of the layers below that only lie above others which did not change, or that got what they had. */
  #unchangedFolders(): ReadonlySet<BytePath> {
    const unchanged = new Set<BytePath>();
    for (const [path, recorded] of this.#names) {
      if (recorded.type !== "dir" || recorded.below === undefined) continue;
      const { below } = recorded;
      if (below.mode === recorded.mode && below.uid === recorded.uid && below.gid === recorded.gid) unchanged.add(path);
    }
    if (unchanged.size === 0) return unchanged;
    for (const path of this.#names.keys()) {
      if (unchanged.has(path)) continue;
      for (let at = path.lastIndexOf("/"); at > 0; at = path.lastIndexOf("/", at - 1))
        unchanged.delete(path.slice(0, at) as BytePath);
    }
    return unchanged;
  }
}

function checked(path: BytePath): BytePath {
  if (path.length > maxPathBytes || path.slice(path.lastIndexOf("/") + 1).startsWith(whiteoutPrefix))
    throw new NotFoldable();
  return path;
}

function entryOf(
  { type, digest, size, capability, target }: SelectedEntry,
  common: FolderMetadata & { readonly path: BytePath; readonly mtime: number },
): LayerEntry {
  if (type === "symlink") return { type, ...common, mode: 0o777, target: target ?? ("" as BytePath) };
  if (digest === undefined) throw new Error(`a file without digest: ${common.path}`);
  return { type: "file", ...common, size, digest, ...(capability !== undefined && { capability }) };
}

/** Bytes that are at hand, those that the earlier layer has of the same digest, or those of the file. */
class Contents {
  readonly #sources: ReadonlyMap<BytePath, SelectedEntry>;
  readonly #earlier: FoldedTar | undefined;
  #buffer = Buffer.allocUnsafeSlow(64 * 1024);

  constructor(sources: ReadonlyMap<BytePath, SelectedEntry>, earlier: FoldedTar | undefined) {
    this.#sources = sources;
    this.#earlier = earlier;
  }

  /** Valid until the next call. */
  of(path: BytePath): FileContent {
    const source = this.#sources.get(path);
    if (source?.digest === undefined) throw new Error(`a file that nobody recorded: ${path}`);
    const bytes = source.content ?? this.#earlier?.content(path, source.digest);
    if (bytes !== undefined) return { kind: "bytes", bytes };
    if (this.#buffer.length <= source.size) this.#buffer = Buffer.allocUnsafeSlow(2 * source.size);
    return { kind: "bytes", bytes: readUnchanged(source, this.#buffer) };
  }
}
