/**
 * A folded layer has its tar and no tree yet. Making ten thousand files takes a file system ten times as long as writing
 * their bytes one behind the other, and of an image that is only pushed nobody ever looks into the tree: so a COPY that no
 * other step stands on is folded, and unfolded when somebody wants its tree.
 *
 * `layers/<id>/tar` and `exact` (what a tar of whole seconds does not say) stand in place of `layers/<id>/tree`; the index
 * is the same. Unfolding makes the tree under another name, syncs and renames it, and takes the two files away last: with
 * both there, the tree counts.
 */
import {
  chmodSync,
  chownSync,
  closeSync,
  existsSync,
  fstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  readSync,
  renameSync,
  unlinkSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { errnoOf, TsbuildError } from "../errors.ts";
import type { BytePath } from "../kernel/byte-path.ts";
import { setMtime, syncFileSystem } from "../kernel/files.ts";
import { type Digest, sha256 } from "../oci/digest.ts";
import { archiveInvalid, storeCorrupt } from "./errors.ts";
import { LayerExtractor } from "./extract-layer.ts";
import type { LayerEntry } from "./layer-entry.ts";
import { contentDigest, encodeIndex } from "./layer-index.ts";
import { type ContentOf, packLayer, type UnhashedEntry } from "./pack-layer.ts";
import { indexFile, readIndex, type Sealed } from "./seal-layer.ts";
import type { Layout } from "./store-context.ts";
import { paddingOf, tarHeaderBytes, trailerBytes } from "./tar-headers.ts";
import { type TarHandler, type TarHeader, TarReader } from "./tar-reader.ts";

export interface FoldedContents {
  /** In tar order: files, folders, symlinks and hard links. */
  readonly entries: readonly LayerEntry[];
  /** Of each entry: of its time, what is below the whole second. */
  readonly nanoseconds: readonly number[];
  readonly root: FoldedRoot;
  readonly contentOf: ContentOf;
  /** Entries that are equal in it are taken from it as they are. */
  readonly earlier: FoldedTar | undefined;
}

export interface FoldedRoot {
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly mtimeNs: bigint;
}

interface Exact {
  readonly root: readonly [mode: number, uid: number, gid: number, mtimeNs: string];
  readonly nanoseconds: readonly number[];
}

export function tarFile(folder: string): string {
  return `${folder}/tar`;
}

function exactFile(folder: string): string {
  return `${folder}/exact`;
}

/**
 * Fills the new folder `folder`, stopping every MiB for whoever else is to have this thread. Nothing is synced yet.
 * @throws what `contentOf` throws, and what writing does
 */
export function* foldLayer(folder: string, contents: FoldedContents): Generator<void, Sealed> {
  const { entries, nanoseconds, root, contentOf, earlier } = contents;
  mkdirSync(folder, { mode: 0o700 });
  const fd = openSync(tarFile(folder), "wx", 0o600);
  try {
    const packing = packLayer(entries, contentOf, {
      keepPieces: false,
      ready: earlier && ((entry) => earlier.ready(entry)),
    });
    for (;;) {
      const { done, value } = packing.next();
      if (done) {
        writeFileSync(indexFile(folder), encodeIndex({ entries: value.entries, omitted: [] }), { mode: 0o600 });
        const exact: Exact = { root: [root.mode, root.uid, root.gid, String(root.mtimeNs)], nanoseconds };
        writeFileSync(exactFile(folder), JSON.stringify(exact), { mode: 0o600 });
        const { diffId, sizeBytes } = value;
        return { diffId, sizeBytes, contentDigest: contentDigest(value.entries) };
      }
      for (let written = 0; written < value.length; ) written += writeSync(fd, value, written);
      yield;
    }
  } finally {
    closeSync(fd);
  }
}

export function isFolded(folder: string): boolean {
  return existsSync(tarFile(folder)) && !existsSync(`${folder}/tree`);
}

const readBytes = 1 << 20;

/**
 * Gives the folded layer in `folder` its tree, by way of the new folder `temporary`, which the caller removes. Done by two
 * at once, the second one's work is for nothing.
 * @throws {TsbuildError} `STORE_CORRUPT`; what the system refuses
 */
export function unfoldLayer(folder: string, temporary: string, layout: Layout): void {
  const tree = `${temporary}/tree`;
  mkdirSync(tree, { recursive: true, mode: 0o700 });
  try {
    const exact = JSON.parse(readFileSync(exactFile(folder), "utf8")) as Exact;
    const entries = extract(tarFile(folder), { tree, layout, exact });
    // The tar goes: it must have been what the layer is.
    if (contentDigest(entries) !== contentDigest(readIndex(folder).entries)) throw archiveInvalid("it is another");
    syncFileSystem(temporary);
    renameSync(tree, `${folder}/tree`);
  } catch (error) {
    // Somebody was faster.
    if (existsSync(`${folder}/tree`)) return;
    if (error instanceof SyntaxError || (error instanceof TsbuildError && error.code === "ARCHIVE_INVALID"))
      throw storeCorrupt("the tar of a folded layer is damaged", tarFile(folder));
    throw error;
  }
  for (const file of [tarFile(folder), exactFile(folder)]) unlinkIfThere(file);
}

function extract(
  file: string,
  to: { readonly tree: string; readonly layout: Layout; readonly exact: Exact },
): readonly LayerEntry[] {
  let entries: readonly LayerEntry[];
  const fd = openSync(file, "r");
  try {
    using extractor = new LayerExtractor({ tree: to.tree, lowers: [], layout: to.layout });
    const reader = new TarReader(withNanoseconds(extractor, to.exact.nanoseconds));
    const buffer = Buffer.allocUnsafeSlow(readBytes);
    for (let length = readSync(fd, buffer); length > 0; length = readSync(fd, buffer))
      reader.push(buffer.subarray(0, length));
    reader.finish();
    entries = extractor.finish();
  } finally {
    closeSync(fd);
  }
  const [mode, uid, gid, mtimeNs] = to.exact.root;
  chownSync(to.tree, uid, gid);
  chmodSync(to.tree, mode);
  setMtime(to.tree, BigInt(mtimeNs));
  return entries;
}

function withNanoseconds(handler: TarHandler, nanoseconds: readonly number[]): TarHandler {
  let at = 0;
  return {
    begin: (header: TarHeader) =>
      handler.begin({ ...header, mtimeNs: header.mtimeNs + BigInt(nanoseconds[at++] ?? 0) }),
    data: (chunk) => handler.data(chunk),
    hole: (length) => handler.hole(length),
    end: () => handler.end(),
    skipped: (name, typeFlag) => handler.skipped(name, typeFlag),
  };
}

function unlinkIfThere(file: string): void {
  try {
    unlinkSync(file);
  } catch (error) {
    if (errnoOf(error) !== "ENOENT") throw error;
  }
}

interface Span {
  readonly entry: LayerEntry;
  readonly start: number;
  readonly content: number;
  readonly end: number;
}

/** A folded layer's tar in memory, by entry. */
export class FoldedTar {
  readonly #bytes: Buffer;
  readonly #spans = new Map<BytePath, Span>();
  readonly #end: number;

  /** Undefined when the layer is not folded, its tar has more than `maxBytes`, or is not that of the entries. */
  static read(folder: string, entries: readonly LayerEntry[], maxBytes: number): FoldedTar | undefined {
    let fd: number;
    try {
      fd = openSync(tarFile(folder), "r");
    } catch (error) {
      if (errnoOf(error) === "ENOENT") return undefined;
      throw error;
    }
    try {
      const { size } = fstatSync(fd);
      if (size > maxBytes) return undefined;
      const tar = new FoldedTar(readWhole(fd, size), entries);
      return tar.#end === size ? tar : undefined;
    } finally {
      closeSync(fd);
    }
  }

  private constructor(bytes: Buffer, entries: readonly LayerEntry[]) {
    this.#bytes = bytes;
    let at = 0;
    for (const entry of entries) {
      const capability =
        entry.type === "file"
          ? entry.capability
          : entry.type === "hardlink"
            ? this.#capability(entry.target)
            : undefined;
      const content = at + tarHeaderBytes(entry, capability);
      const size = entry.type === "file" ? entry.size : 0;
      const end = content + size + paddingOf(size);
      this.#spans.set(entry.path, { entry, start: at, content, end });
      at = end;
    }
    this.#end = at + trailerBytes;
  }

  #capability(target: BytePath): string | undefined {
    const entry = this.#spans.get(target)?.entry;
    return entry?.type === "file" ? entry.capability : undefined;
  }

  /** Header, content and padding of this very entry, if the layer has it. */
  ready(entry: UnhashedEntry): Uint8Array | undefined {
    const span = this.#spans.get(entry.path);
    if (span === undefined || !isSameEntry(span.entry, entry)) return undefined;
    return this.#bytes.subarray(span.start, span.end);
  }

  digest(): Digest {
    return sha256(this.#bytes);
  }

  /** The bytes that the tar has for the file of this name and digest. */
  content(path: BytePath, digest: Digest): Uint8Array | undefined {
    const span = this.#spans.get(path);
    if (span?.entry.type !== "file" || span.entry.digest !== digest) return undefined;
    return this.#bytes.subarray(span.content, span.content + span.entry.size);
  }
}

/** Hard links are left out: what their header repeats is their target's. */
function isSameEntry(a: LayerEntry, b: UnhashedEntry): boolean {
  if (a.mode !== b.mode || a.mtime !== b.mtime || a.uid !== b.uid || a.gid !== b.gid) return false;
  if (a.type === "file")
    return b.type === "file" && a.digest === b.digest && a.size === b.size && a.capability === b.capability;
  if (a.type === "symlink") return b.type === "symlink" && a.target === b.target;
  return a.type === "dir" && b.type === "dir";
}

function readWhole(fd: number, size: number): Buffer {
  const bytes = Buffer.allocUnsafeSlow(size);
  let done = 0;
  while (done < size) {
    const length = readSync(fd, bytes, done, size - done, done);
    if (length === 0) throw storeCorrupt("a folded layer's tar is shorter than it was", `/proc/self/fd/${fd}`);
    done += length;
  }
  return bytes;
}
