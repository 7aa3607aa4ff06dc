/**
 * The store as its users see it: blobs, layers, images, references, cache records, and leases on what is in use.
 * Calls are synchronous unless they touch many files. Several processes share one store at any time; nothing has its
 * final name before it is complete, and the database row that says "this exists" comes last.
 */

import type { TsbuildError } from "../errors.ts";
import type { Descriptor } from "../oci/descriptor.ts";
import type { Brand, CacheKey, ChainId, ContentDigest, DiffId, Digest, ImageId, ResultId } from "../oci/digest.ts";
import type { ImageConfig } from "../oci/image-config.ts";
import type { ImageIndex, Manifest } from "../oci/manifest.ts";
import type { Reference } from "../oci/reference.ts";
import type { FoldedContents, FoldedTar } from "./folded-layer.ts";
import type { GrowingFile } from "./growing-file.ts";
import type { LayerEntry } from "./layer-entry.ts";

/** Names a layer's folder in this store; short, random, never reused. */
export type LayerId = Brand<"LayerId">;

/** Layers from bottom to top. The empty chain is the empty root file system. */
export type Chain = readonly LayerId[];

export interface Store extends Disposable {
  /** Absolute path of the root folder. */
  readonly root: string;
  readonly blobs: BlobStore;
  readonly layers: LayerStore;
  readonly images: ImageStore;
  readonly cache: CacheStore;
  /** Small named values that are cheaper to remember than to find out (context digests, probes). Lost without harm. */
  readonly memo: MemoStore;
  /** Holds layers and images against removal until disposed; ends with this process, however it ends. */
  lease(purpose: string): Lease;
  /**
   * Holds an image and its layers for a container, across processes, until `unpin(owner)`. The same again is a no-op.
   * @throws {TsbuildError} `STORE_CORRUPT` when a layer is gone
   */
  pin(owner: string, image: ImageId | undefined, layers: Chain): void;
  unpin(owner: string): void;
  /** The owners whose pins name this image, sorted. */
  pinnedBy(image: ImageId): readonly string[];
  /** Those that are kept, newest first; manifests may name some of them, too. */
  compressedForms(): readonly CompressedForm[];
  /** Compressed forms of layers that are kept for the next archive or push go. Returns freed bytes. */
  dropCompressedForms(): number;
  /** Removes what no image, cache record, pin or living process reaches. Bytes as du counts. */
  collect(): { readonly freedBytes: number; readonly layers: number; readonly blobs: number };
  /** A fresh folder under `tmp/`, removed on dispose, or by a later process if this one is killed. */
  temporaryFolder(purpose: string): TemporaryFolder;
  /** Folder of a container: `containers/<id>`. The runtime owns what is in it. */
  containerFolder(id: string): string;
  /** `volumes/<name>/_data` and `cache-mounts/<hash>` lie here. */
  readonly volumesFolder: string;
  readonly cacheMountsFolder: string;
  /** Clones of git repositories that builds took from, a folder each; made when the first is. */
  readonly gitFolder: string;
  /** What containers have in common; made when it is missing. */
  readonly runtimeFolder: string;
  /** Trees of failed steps, the newest few; not among layers. */
  readonly failedFolder: string;
}

export interface Lease extends Disposable {
  addLayers(layers: Iterable<LayerId>): void;
  addImage(image: ImageId): void;
}

export interface TemporaryFolder extends Disposable {
  readonly path: string;
}

// Blobs: configs, manifests and the layers whose bytes came from elsewhere ---------------------------------------

export interface BlobStore {
  has(digest: Digest): boolean;
  /** The same, and what is there stays until this process ends. */
  hold(digest: Digest): boolean;
  /** Absolute path: `blobs/sha256/<hex>`. */
  path(digest: Digest): string;
  /** @throws {TsbuildError} `STORE_CORRUPT` when it is absent. */
  read(digest: Digest): Buffer;
  size(digest: Digest): number | undefined;
  /** Content that is in memory. Writing the same again is a no-op. */
  write(bytes: Uint8Array): Digest;
  /** Takes over a complete, verified file from a temporary folder of this store. */
  adopt(file: string, digest: Digest): void;
}

// Layers ---------------------------------------------------------------------------------------------------------

export interface LayerStore {
  /** Starts a new layer: an empty overlay upperdir with the mode and owner of the merged root below. */
  prepare(parents: Chain): Snapshot;
  /** @throws {TsbuildError} `STORE_CORRUPT` */
  get(id: LayerId): LayerRecord;
  /** Absolute path of the layer's tree, an overlay lowerdir. A folded layer is unfolded for it. @throws {TsbuildError} `NO_SPACE` */
  tree(id: LayerId): string;
  trees(chain: Chain): readonly string[];
  /** The same path, for whoever only tells it: there may be no tree yet. */
  treePath(id: LayerId): string;
  /** The layer's tar, while it is folded and of at most `maxBytes`: see folded-layer.ts. */
  foldedTar(id: LayerId, maxBytes: number): FoldedTar | undefined;
  isFolded(id: LayerId): boolean;
  /** In tar order. */
  index(id: LayerId): readonly LayerEntry[];
  findByDiffId(diffId: DiffId): LayerId | undefined;
  /** The chain whose ChainID this is, if all of it is here. */
  findByChainId(chainId: ChainId): Chain | undefined;
  /** The oldest layers that make `result`: whoever makes the same again takes these. */
  findByResult(result: ResultId): Chain | undefined;
  chainId(chain: Chain): ChainId | undefined;
  resultId(chain: Chain): ResultId | undefined;
  /**
   * Unpacks a layer's tar (compressed or not), verifies `descriptor.digest` and, if given, `diffId` while reading, and
   * records it. Keeps the blob: its bytes cannot be made again. Equal layers are shared: a known diffId is returned
   * without reading. Runs in a worker.
   * @throws {TsbuildError} `ARCHIVE_INVALID`, `NO_SPACE`
   */
  addBlob(blob: LayerBlob, parents: Chain, signal: AbortSignal): Promise<LayerId>;
  /**
   * Writes the layer's uncompressed tar to `file`, bit for bit as its diffID says. Runs in a worker. With `append` it
   * goes behind what the file has, so that an archive need not be written twice.
   */
  writeTar(id: LayerId, file: string, signal: AbortSignal, options?: { readonly append: boolean }): Promise<void>;
  /**
   * The layer with the same entries, none with a time later than `maxMtime` (seconds): itself if it is that, else the one
   * that was made so before, else a new one. `parents`: what it will stand on.
   */
  withMaxMtime(id: LayerId, maxMtime: number, parents: Chain, signal: AbortSignal): Promise<LayerId>;
  /**
   * The layer with the same entries whose tar and blob are eStargz, the latter with its annotations. `known`: what it
   * became before, taken if it is still here. `level`: 0 to 9.
   */
  asEstargz(
    id: LayerId,
    options: { readonly level: number; readonly known: DiffId | undefined },
    parents: Chain,
    signal: AbortSignal,
  ): Promise<LayerId>;
  /** The same, compressed; the descriptor of what was written. Deterministic for one version of Node. */
  writeCompressed(
    id: LayerId,
    file: string,
    compression: "gzip" | "zstd",
    signal: AbortSignal,
    options?: { readonly level?: number },
  ): Promise<Descriptor>;
}

/** A layer as a blob, compressed for an archive or a push, and kept for the next. */
export interface CompressedForm {
  readonly digest: Digest;
  readonly sizeBytes: number;
  readonly lastUsed: Date;
}

export interface LayerBlob {
  /** A complete file holding the blob. It is moved into the blob store. */
  readonly file: string;
  /** `file` is still being written through it, and unpacked meanwhile. */
  readonly growing?: GrowingFile;
  /** Undefined: nobody has said what it is. It is found out while it is unpacked; its digest is not read twice. */
  readonly descriptor: Descriptor | undefined;
  readonly diffId: DiffId | undefined;
  /** When it was first built, elsewhere; undefined: now. */
  readonly created?: Date;
}

export interface LayerRecord {
  readonly id: LayerId;
  readonly diffId: DiffId;
  readonly contentDigest: ContentDigest;
  /** Of the uncompressed tar. */
  readonly sizeBytes: number;
  readonly created: Date;
  /** The blob it came from, if its bytes came from elsewhere. */
  readonly blob: Descriptor | undefined;
  readonly layout: "trusted" | "user";
}

/** A layer in the making. Disposing it without `seal` removes all trace. */
export interface Snapshot extends AsyncDisposable {
  readonly parents: Chain;
  readonly upperdir: string;
  /** A new empty workdir for one mount of `upperdir`. */
  newWorkdir(): string;
  /** For whatever the step needs beside it: a folder on the same file system, removed with the snapshot. */
  scratchDir(): string;
  /** Makes the layer a folded one, in place of what `upperdir` has. Stops every MiB. Attributes of the root are its own. */
  fold(contents: Omit<FoldedContents, "root"> & { readonly rootMtimeNs: bigint }): Generator<void, void>;
  /**
   * The upperdir becomes a layer's tree with one rename: usable at once as a lowerdir, though not yet recorded. The
   * snapshot gives up ownership.
   */
  commit(): UnsealedLayer;
  /** Moves the upperdir to the failed trees instead, under a new name; keeps the newest few. Returns its path. */
  keepAsFailed(description: string): string;
}

/** A layer's tree whose digests are still to be computed. Lost when the process ends before `seal`. */
export interface UnsealedLayer extends AsyncDisposable {
  readonly id: LayerId;
  readonly parents: Chain;
  /** Computes index, diffID and content digest in one pass (a worker, when the tree is not small), then records it. */
  seal(signal: AbortSignal): Promise<LayerRecord>;
}

// Images and references ------------------------------------------------------------------------------------------

export interface ImageStore {
  /** Writes config (and, when its bytes are known, manifest) and records the image. Idempotent. */
  add(image: NewImage): StoredImage;
  get(id: ImageId): StoredImage | undefined;
  /** Newest first. Damaged ones say so, and have an empty config. */
  list(): readonly StoredImage[];
  /** Points `reference` at the image; it moves silently. `digest` in the reference is not allowed. */
  tag(reference: Reference, image: ImageId): void;
  /** The image a reference names, by tag or by manifest digest. */
  resolve(reference: Reference): StoredImage | undefined;
  /**
   * What a user typed: reference, ID or unique prefix of one (with or without `sha256:`), in this order.
   * @throws {TsbuildError} `INVALID_ARGUMENT` when a prefix fits several.
   */
  find(text: string): StoredImage | undefined;
  /** As `find`. @throws {TsbuildError} `IMAGE_NOT_FOUND`: "No such image: x:latest" */
  lookup(text: string): StoredImage;
  /** The same, without looking whether the image is sound. */
  identify(text: string): ImageId | undefined;
  /** As `lookup`, and as `list` has it when it is damaged: to remove it. */
  lookupDamaged(text: string): StoredImage;
  /** Removes a name; the image stays. False if there was none. */
  untag(reference: Reference): boolean;
  /** Removes the image's rows and its names; layers and blobs that nothing reaches go too. Returns freed bytes. */
  remove(id: ImageId): number;
  /** Remembers the manifest an image has. With the repository it is in, its digest becomes a RepoDigest. */
  recordManifest(image: ImageId, reference: Reference | undefined, raw: Uint8Array): Digest;
  /**
   * Points `reference` at an index, of which `images` are here and the first is what runs. Manifests that it names, and
   * what those name, are blobs of this store already.
   */
  tagIndex(reference: Reference, raw: Uint8Array, images: readonly ImageId[]): Digest;
  /** The index that a name stands for; undefined for a name of a single image, and for none. */
  index(reference: Reference): StoredIndex | undefined;
  /** A further RepoDigest: of the index that an image was chosen from. The index itself is not kept. */
  recordRepoDigest(image: ImageId, reference: Reference, digest: Digest): void;
}

export interface NewImage {
  /** Exact bytes of the config. */
  readonly config: Uint8Array;
  readonly chain: Chain;
  readonly manifest?: { readonly raw: Uint8Array; readonly reference?: Reference };
}

export interface StoredIndex {
  readonly digest: Digest;
  readonly raw: Buffer;
  readonly value: ImageIndex;
  /** Those that are here, in the index's order. */
  readonly images: readonly StoredImage[];
}

export interface StoredImage {
  readonly id: ImageId;
  readonly config: ImageConfig;
  readonly configBytes: Buffer;
  readonly chain: Chain;
  /** Present for pulled, pushed and loaded images. */
  readonly manifest: { readonly digest: Digest; readonly raw: Buffer; readonly value: Manifest } | undefined;
  /** Sorted, with tag. */
  readonly references: readonly Reference[];
  /** `name@sha256:…`, sorted. */
  readonly repoDigests: readonly Reference[];
  /** Names of the indexes it is part of, sorted: it is not nameless, even if none of them is its own. */
  readonly indexReferences: readonly Reference[];
  /** Sum of the uncompressed layers. */
  readonly sizeBytes: number;
  readonly created: Date | undefined;
  readonly lastTagged: Date | undefined;
  /** Its config or manifest is missing or unreadable. Only where damaged images are given at all. */
  readonly damage?: TsbuildError;
}

// Cache ----------------------------------------------------------------------------------------------------------

export interface CacheStore {
  find(key: CacheKey): CacheRecord | undefined;
  /** Is there any record with this definition? Without one a step cannot hit, whatever its parent. */
  hasDefinition(definition: Digest): boolean;
  /** Candidates to explain a miss: records of the same site first, then of the same kind; newest first, at most 20. */
  nearest(site: string, kind: string): readonly CacheRecord[];
  /** The canonical input of a record, as it was hashed. */
  input(record: CacheRecord): string;
  /** Replaces a record of the same key. The layer must be sealed. */
  put(record: NewCacheRecord): void;
  /** The longest time in ms that a step which made this layer took; undefined for a layer that no record has. */
  durationOf(layer: LayerId): number | undefined;
  /** Counts one use, now. */
  touch(key: CacheKey): void;
  list(): readonly CacheRecord[];
  /** Removes records; layers that nothing else reaches go with them. Returns freed bytes. */
  remove(keys: readonly CacheKey[]): number;
}

export interface NewCacheRecord {
  readonly key: CacheKey;
  readonly definition: Digest;
  readonly parent: ResultId | undefined;
  /** Chain of the result: the parent's layers and the step's own on top. */
  readonly chain: Chain;
  readonly kind: string;
  /** Where in which file it stands: the same step of the next edit of the same Dockerfile has the same site. */
  readonly site: string;
  /** For people: `RUN npm ci`. */
  readonly instruction: string;
  /** Canonical JSON of the whole definition. */
  readonly input: string;
  readonly durationMs: number;
}

export interface CacheRecord extends Omit<NewCacheRecord, "input"> {
  readonly layer: LayerId;
  readonly sizeBytes: number;
  /** When the step ran: the `created` of its history entry, also in later builds that hit. */
  readonly created: Date;
  readonly lastUsed: Date;
  readonly uses: number;
}

export interface MemoStore {
  get(name: string): Buffer | undefined;
  set(name: string, value: Uint8Array): void;
}
