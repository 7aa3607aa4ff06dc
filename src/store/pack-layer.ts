/** A layer's tree as its tar: a pure function of the tree and the entries. Nothing here knows of threads. */
import { createHash, hash as hashOnce } from "node:crypto";
import { closeSync, constants, openSync, readSync } from "node:fs";
import { type BytePath, fsPath, joinBytePath, textOfBytePath } from "../kernel/byte-path.ts";
import { type DiffId, type Digest, diffIdOf } from "../oci/digest.ts";
import { storeCorrupt } from "./errors.ts";
import type { LayerEntry } from "./layer-entry.ts";
import { paddingOf, tarHeader, trailerBytes } from "./tar-headers.ts";

/** An entry whose content has not been read yet. */
export type UnhashedEntry = LayerEntry extends infer Entry
  ? Entry extends { readonly type: "file" }
    ? Omit<Entry, "digest"> & { readonly digest?: Digest }
    : Entry
  : never;

export interface Packed {
  readonly entries: readonly LayerEntry[];
  readonly diffId: DiffId;
  /** Of the tar. */
  readonly sizeBytes: number;
}

/** What fits together with its header is hashed and written in one piece. */
const pieceBytes = 1 << 20;

/** Where a file's bytes are: at hand, or behind a descriptor from its position on, which is closed when they are read. */
export type FileContent =
  | { readonly kind: "bytes"; readonly bytes: Uint8Array }
  | { readonly kind: "open"; readonly fd: number };

export type ContentOf = (file: UnhashedEntry & { readonly type: "file" }) => FileContent;

/** Files of a layer's tree. @throws {TsbuildError} `STORE_CORRUPT` when one is missing */
export function contentIn(tree: BytePath): ContentOf {
  return ({ path }) => ({ kind: "open", fd: openEntry(tree, path) });
}

/**
 * Reads every file once and yields the tar in pieces of at most 1 MiB. A piece is valid until the next is asked for,
 * unless `keepPieces` gives each a buffer of its own. Digests that the entries do not have are computed on the way.
 * @throws {TsbuildError} `STORE_CORRUPT` when a file is shorter than its entry says
 */
export function* packLayer(
  entries: readonly UnhashedEntry[],
  contentOf: ContentOf,
  options: {
    readonly keepPieces: boolean;
    /** Headers, content and padding of an entry that has been packed before, as they were. */
    readonly ready?: ((entry: UnhashedEntry) => Uint8Array | undefined) | undefined;
  },
): Generator<Buffer, Packed> {
  const out = new TarPieces(options.keepPieces);
  const capabilities = new Map<BytePath, string>();
  const packed: LayerEntry[] = [];
  for (const entry of entries) {
    const ready = options.ready?.(entry);
    if (ready !== undefined) {
      yield* out.append(ready);
      // What was packed before has its digest.
      packed.push(entry as LayerEntry);
      continue;
    }
    const capability =
      entry.type === "file" ? entry.capability : entry.type === "hardlink" ? capabilities.get(entry.target) : undefined;
    if (entry.type === "file" && capability !== undefined) capabilities.set(entry.path, capability);
    // The header does not depend on the digest.
    yield* out.append(tarHeader(entry as LayerEntry, capability));
    if (entry.type !== "file") {
      packed.push(entry);
      continue;
    }
    const digest = entry.size === 0 ? (entry.digest ?? emptyDigest) : yield* out.appendFile(entry, contentOf(entry));
    yield* out.append(zeros.subarray(0, paddingOf(entry.size)));
    packed.push({ ...entry, digest });
  }
  yield* out.append(zeros.subarray(0, trailerBytes));
  yield* out.flush();
  return { entries: packed, diffId: out.diffId(), sizeBytes: out.sizeBytes };
}

/** Runs the packing for its result alone. */
export function packedLayer(entries: readonly UnhashedEntry[], contentOf: ContentOf): Packed {
  const packing = packLayer(entries, contentOf, { keepPieces: false });
  for (;;) {
    const { done, value } = packing.next();
    if (done) return value;
  }
}

class TarPieces {
  sizeBytes = 0;
  readonly #keepPieces: boolean;
  readonly #hash = createHash("sha256");
  #piece = Buffer.allocUnsafeSlow(pieceBytes);
  #used = 0;

  constructor(keepPieces: boolean) {
    this.#keepPieces = keepPieces;
  }

  *append(bytes: Uint8Array): Generator<Buffer, void> {
    for (let offset = 0; offset < bytes.length; ) {
      if (this.#used === pieceBytes) yield* this.flush();
      const length = Math.min(bytes.length - offset, pieceBytes - this.#used);
      this.#piece.set(length === bytes.length ? bytes : bytes.subarray(offset, offset + length), this.#used);
      this.#used += length;
      offset += length;
    }
  }

  *appendFile(entry: UnhashedEntry & { readonly type: "file" }, content: FileContent): Generator<Buffer, Digest> {
    if (content.kind === "open") return yield* this.#appendOpenFile(entry, content.fd);
    yield* this.append(content.bytes);
    return entry.digest ?? (`sha256:${hashOnce("sha256", content.bytes, "hex")}` as string as Digest);
  }

  *#appendOpenFile(entry: UnhashedEntry & { readonly type: "file" }, fd: number): Generator<Buffer, Digest> {
    const { path, size } = entry;
    try {
      if (this.#used + size > pieceBytes) yield* this.flush();
      if (size <= pieceBytes) {
        const content = this.#piece.subarray(this.#used, this.#used + size);
        readExactly(fd, content, path);
        this.#used += size;
        return entry.digest ?? (`sha256:${hashOnce("sha256", content, "hex")}` as string as Digest);
      }
      const hash = entry.digest === undefined ? createHash("sha256") : undefined;
      for (let left = size; left > 0; left -= this.#used) {
        if (left < size) yield* this.flush();
        const content = this.#piece.subarray(0, Math.min(left, pieceBytes));
        readExactly(fd, content, path);
        hash?.update(content);
        this.#used = content.length;
      }
      return entry.digest ?? (`sha256:${hash?.digest("hex")}` as string as Digest);
    } finally {
      closeSync(fd);
    }
  }

  *flush(): Generator<Buffer, void> {
    if (this.#used === 0) return;
    const piece = this.#piece.subarray(0, this.#used);
    this.#hash.update(piece);
    this.sizeBytes += this.#used;
    this.#used = 0;
    yield piece;
    if (this.#keepPieces) this.#piece = Buffer.allocUnsafeSlow(pieceBytes);
  }

  diffId(): DiffId {
    return diffIdOf(`sha256:${this.#hash.digest("hex")}` as string as Digest);
  }
}

const zeros = Buffer.alloc(trailerBytes);
const emptyDigest = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" as string as Digest;

function openEntry(tree: BytePath, path: BytePath): number {
  try {
    return openSync(fsPath(joinBytePath(tree, path)), constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NOATIME);
  } catch (cause) {
    throw storeCorrupt(`a file of a layer's tree cannot be read: ${cause instanceof Error ? cause.message : path}`);
  }
}

export function readExactly(fd: number, into: Buffer, path: BytePath): void {
  for (let done = 0; done < into.length; ) {
    const length = readSync(fd, into, done, into.length - done, null);
    if (length === 0)
      throw storeCorrupt(`a file of a layer's tree is shorter than its entry says: ${textOfBytePath(path)}`);
    done += length;
  }
}
