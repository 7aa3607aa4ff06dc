/**
 * Layers: `layers/<id>/tree` is what overlayfs mounts, `layers/<id>/index` says what its tar holds. A layer exists when
 * its row does, and the row comes last. Until then a marker in the process's folder below `tmp/` names it, so that the
 * next process removes what a dead one left.
 */
import { existsSync, lstatSync, mkdirSync, renameSync, writeFileSync } from "node:fs";
import { TsbuildError } from "../errors.ts";
import { bytePath } from "../kernel/byte-path.ts";
import type { Descriptor } from "../oci/descriptor.ts";
import { type DiffId, type Digest, hexOf } from "../oci/digest.ts";
import { mediaTypes } from "../oci/media-types.ts";
import { blobPath } from "./blobs.ts";
import { chainIdOf, chainOf, recordChain, resultIdOf } from "./chains.ts";
import type { Row } from "./database.ts";
import { archiveInvalid, layerGone } from "./errors.ts";
import { tocDigestAnnotation, uncompressedSizeAnnotation } from "./estargz.ts";
import { explained, explainingRoot } from "./explain-root.ts";
import { FoldedTar, isFolded, tarFile, unfoldLayer } from "./folded-layer.ts";
import type { LayerEntry } from "./layer-entry.ts";
import { type LayerTaskResult, runLayerTask } from "./layer-work.ts";
import { readIndex, type Sealed, type SealTask, sealLayer } from "./seal-layer.ts";
import { applyRoot, OpenSnapshot, type RootAttributes, rootAttributes } from "./snapshots.ts";
import type { BlobStore, Chain, LayerBlob, LayerId, LayerRecord, LayerStore, Snapshot } from "./store.ts";
import { freshName, removeTree, type StoreContext } from "./store-context.ts";
import { lowersOf, type UnpackTask } from "./unpack-blob.ts";
import { recordUnsynced, syncOlder } from "./unsynced.ts";
import type { WriteTask } from "./write-layer.ts";

/** Up to here a tree is sealed on the calling thread: starting or waking a worker costs more. */
const inlineBudget = { entries: 100, bytes: 4 << 20 };
const keptIndexes = 8;
/** The lease under which layers of this process are held until something refers to them. */
const freshLayerLease = "fresh-layers";
export const pendingPrefix = "pending-";

export class Layers implements LayerStore {
  readonly #context: StoreContext;
  readonly #blobs: BlobStore;
  /** Layers whose `seal` is under way, by id: what stands on them is recorded after them. */
  readonly #sealing = new Map<LayerId, Promise<LayerRecord>>();
  readonly #indexes = new Map<LayerId, readonly LayerEntry[]>();
  /** Known to have a tree. */
  readonly #unfolded = new Set<LayerId>();
  /** Recorded by this process. */
  readonly fresh: Set<LayerId> = new Set();

  constructor(context: StoreContext, blobs: BlobStore) {
    this.#context = context;
    this.#blobs = blobs;
  }

  prepare(parents: Chain): Snapshot {
    return explainingRoot(this.#context.paths.root, () => {
      const upperdir = this.#context.temporaryPath("upper");
      mkdirSync(upperdir, { mode: 0o700 });
      const root = this.#mergedRoot(parents);
      applyRoot(upperdir, root);
      return new OpenSnapshot(this.#context, this, { parents, upperdir, root });
    });
  }

  /** Mode, owner and time of the root of a chain: overlayfs shows those of the topmost layer. */
  #mergedRoot(parents: Chain): RootAttributes {
    const top = parents.at(-1);
    if (top === undefined) return { mode: 0o755, uid: 0, gid: 0, mtimeNs: 0n };
    const stat = lstatSync(this.tree(top), { throwIfNoEntry: false, bigint: true });
    if (stat === undefined) throw layerGone(top);
    return rootAttributes(stat);
  }

  get(id: LayerId): LayerRecord {
    const row = this.#context.db.get("SELECT * FROM layers WHERE id = ?", id);
    if (row === undefined) throw layerGone(id);
    return recordOf(row);
  }

  tree(id: LayerId): string {
    if (!this.#unfolded.has(id)) this.#unfold(id);
    return this.treePath(id);
  }

  #unfold(id: LayerId): void {
    const folder = this.folder(id);
    const { paths, layout } = this.#context;
    if (isFolded(folder)) {
      const temporary = this.#context.temporaryPath("unfold");
      try {
        explainingRoot(paths.root, () => unfoldLayer(folder, temporary, layout));
      } finally {
        removeTree(temporary);
      }
    }
    this.#unfolded.add(id);
  }

  treePath(id: LayerId): string {
    return `${this.folder(id)}/tree`;
  }

  isFolded(id: LayerId): boolean {
    return isFolded(this.folder(id));
  }

  foldedTar(id: LayerId, maxBytes: number): FoldedTar | undefined {
    return FoldedTar.read(this.folder(id), this.index(id), maxBytes);
  }

  folder(id: LayerId): string {
    return `${this.#context.paths.layers}/${id}`;
  }

  trees(chain: Chain): readonly string[] {
    return chain.map((id) => this.tree(id));
  }

  /** Indexes do not change; a build asks for the same few again and again. */
  index(id: LayerId): readonly LayerEntry[] {
    const known = this.#indexes.get(id);
    if (known !== undefined) return known;
    const { entries } = readIndex(this.folder(id));
    const [oldest] = this.#indexes.keys();
    if (this.#indexes.size >= keptIndexes && oldest !== undefined) this.#indexes.delete(oldest);
    this.#indexes.set(id, entries);
    return entries;
  }

  findByDiffId(diffId: DiffId): LayerId | undefined {
    const row = this.#context.db.get(
      "SELECT id FROM layers WHERE diff_id = ? ORDER BY blob IS NULL, created_ms LIMIT 1",
      diffId,
    );
    return row?.["id"] as LayerId | undefined;
  }

  findByChainId(id: Parameters<LayerStore["findByChainId"]>[0]): Chain | undefined {
    const row = this.#context.db.get("SELECT id FROM nodes WHERE chain_id = ? ORDER BY id LIMIT 1", id);
    return row === undefined ? undefined : chainOf(this.#context.db, Number(row["id"]));
  }

  findByResult(id: Parameters<LayerStore["findByResult"]>[0]): Chain | undefined {
    const row = this.#context.db.get("SELECT id FROM nodes WHERE result_id = ? ORDER BY id LIMIT 1", id);
    return row === undefined ? undefined : chainOf(this.#context.db, Number(row["id"]));
  }

  chainId(chain: Chain): ReturnType<LayerStore["chainId"]> {
    return chainIdOf(this.#context.db, chain);
  }

  resultId(chain: Chain): ReturnType<LayerStore["resultId"]> {
    return resultIdOf(this.#context.db, chain);
  }

  async addBlob(blob: LayerBlob, parents: Chain, signal: AbortSignal): Promise<LayerId> {
    signal.throwIfAborted();
    const known = blob.diffId === undefined ? undefined : this.#hold(this.findByDiffId(blob.diffId));
    const { descriptor } = blob;
    // Any other blob could be another layer's, whatever the image says of it.
    if (known !== undefined && descriptor !== undefined && this.get(known).blob?.digest === descriptor.digest) {
      this.#blobs.adopt(blob.file, descriptor.digest);
      return this.#recordBlob(known, descriptor, parents);
    }
    const folder = this.#context.temporaryPath("layer");
    explainingRoot(this.#context.paths.root, () => mkdirSync(folder, { mode: 0o700 }));
    try {
      const sealed = await this.#run<UnpackTask>(
        {
          kind: "unpack",
          file: blob.file,
          growing: blob.growing?.shared,
          expected: descriptor && { digest: descriptor.digest, size: descriptor.size },
          diffId: blob.diffId,
          folder,
          lowers: lowersOf(this.trees(parents)),
          layout: this.#context.layout,
          // The bytes are verified, but the tree is here already.
          verifyOnly: known !== undefined,
        },
        signal,
      );
      const found = descriptor ?? sealed.blob;
      this.#blobs.adopt(blob.file, found.digest);
      // Without a diffID from the image, or when another process was faster.
      const same = known ?? this.#hold(this.findByDiffId(sealed.diffId));
      if (same !== undefined) return this.#recordBlob(same, found, parents);
      const id = this.adoptTree(folder);
      this.#record(id, sealed, parents, { blob: found, created: blob.created });
      return id;
    } catch (error) {
      throw descriptor === undefined ? error : namingLayer(descriptor.digest, error);
    } finally {
      removeTree(folder);
    }
  }

  /** The known layer of these bytes, if it is still there when it is held. */
  #hold(id: LayerId | undefined): LayerId | undefined {
    if (id === undefined) return undefined;
    const { db } = this.#context;
    return db.lossyTransaction(() => {
      if (db.get("SELECT 1 FROM layers WHERE id = ?", id) === undefined) return undefined;
      this.#context.hold(freshLayerLease, "layer", id);
      return id;
    });
  }

  #recordBlob(id: LayerId, descriptor: Descriptor, parents: Chain): LayerId {
    const { db } = this.#context;
    db.transaction(() => {
      const isItsBlob =
        db.run("UPDATE layers SET blob = ? WHERE id = ? AND blob IS NULL", JSON.stringify(descriptor), id) > 0 ||
        this.get(id).blob?.digest === descriptor.digest;
      // Another blob of the same layer is kept by the manifest that names it.
      if (isItsBlob) this.#context.releaseBlob(descriptor.digest);
      recordChain(db, [...parents, id]);
    });
    return id;
  }

  async writeTar(id: LayerId, file: string, signal: AbortSignal, options = { append: false }): Promise<void> {
    await this.#write(id, { file, append: options.append }, "none", signal);
  }

  async withMaxMtime(id: LayerId, maxMtime: number, parents: Chain, signal: AbortSignal): Promise<LayerId> {
    if (this.index(id).every(({ mtime }) => mtime <= maxMtime)) return id;
    const folder = this.#context.temporaryPath("times");
    explainingRoot(this.#context.paths.root, () => mkdirSync(folder, { mode: 0o700 }));
    try {
      const file = `${folder}/layer.tar`;
      await this.#write(id, { file, append: false, maxMtime }, "none", signal);
      return await this.addBlob({ file, descriptor: undefined, diffId: undefined }, parents, signal);
    } finally {
      removeTree(folder);
    }
  }

  async asEstargz(
    id: LayerId,
    { level, known }: { readonly level: number; readonly known: DiffId | undefined },
    parents: Chain,
    signal: AbortSignal,
  ): Promise<LayerId> {
    const before = known === undefined ? undefined : this.#hold(this.findByDiffId(known));
    const blob = before === undefined ? undefined : this.get(before).blob;
    if (before !== undefined && blob !== undefined && this.#blobs.hold(blob.digest))
      return this.#recordBlob(before, blob, parents);
    this.tree(id);
    const folder = this.#context.temporaryPath("estargz");
    explainingRoot(this.#context.paths.root, () => mkdirSync(folder, { mode: 0o700 }));
    try {
      const file = `${folder}/layer`;
      const made = await runLayerTask({ kind: "estargz", folder: this.folder(id), file, level }, signal);
      const { digest, size, diffId, sizeBytes, tocDigest } = made;
      const annotations = {
        [tocDigestAnnotation]: tocDigest,
        [uncompressedSizeAnnotation]: String(sizeBytes),
      };
      const descriptor = { mediaType: mediaTypes.ociLayerGzip, digest, size, annotations };
      const { created } = this.get(id);
      return await this.addBlob({ file, descriptor, diffId, created }, parents, signal);
    } finally {
      removeTree(folder);
    }
  }

  async writeCompressed(
    id: LayerId,
    file: string,
    compression: "gzip" | "zstd",
    signal: AbortSignal,
    { level }: { readonly level?: number } = {},
  ): Promise<Descriptor> {
    const target = { file, append: false, ...(level !== undefined && { level }) };
    const { digest, size } = await this.#write(id, target, compression, signal);
    const mediaType = compression === "gzip" ? mediaTypes.ociLayerGzip : mediaTypes.ociLayerZstd;
    return { mediaType, digest, size };
  }

  #write(
    id: LayerId,
    target: Pick<WriteTask, "file" | "append" | "level" | "maxMtime">,
    compression: "none" | "gzip" | "zstd",
    signal: AbortSignal,
  ): Promise<{ readonly digest: Digest; readonly size: number }> {
    const { diffId, blob } = this.get(id);
    const blobFile = blob === undefined ? tarFile(this.folder(id)) : blobPath(this.#context.paths.root, blob.digest);
    if (target.maxMtime !== undefined) this.tree(id);
    return runLayerTask(
      {
        kind: "write",
        folder: this.folder(id),
        // The exact bytes of a layer that came from elsewhere are in its blob alone; a folded layer has nothing else.
        blob: existsSync(blobFile) ? blobFile : undefined,
        diffId,
        ...target,
        compression,
      },
      signal,
    );
  }

  async #run<Task extends SealTask | UnpackTask>(task: Task, signal: AbortSignal): Promise<LayerTaskResult<Task>> {
    try {
      return await runLayerTask(task, signal);
    } catch (error) {
      throw explained(this.#context.paths.root, error);
    }
  }

  // For the snapshots of this store -----------------------------------------------------------------------------------

  /** A tree that is complete, though not recorded, gets its place; a marker says whose it is. */
  adoptTree(folder: string): LayerId {
    const id = freshName() as LayerId;
    writeFileSync(this.#marker(id), "");
    renameSync(folder, this.folder(id));
    return id;
  }

  /** As above, for an upperdir alone. */
  adoptUpper(upperdir: string): LayerId {
    const id = freshName() as LayerId;
    writeFileSync(this.#marker(id), "");
    mkdirSync(this.folder(id), { mode: 0o700 });
    renameSync(upperdir, this.treePath(id));
    return id;
  }

  dropUnrecorded(id: LayerId): void {
    removeTree(this.folder(id));
    removeTree(this.#marker(id));
  }

  /** `digests`: of a folded layer. */
  seal(id: LayerId, parents: Chain, signal: AbortSignal, digests?: Sealed): Promise<LayerRecord> {
    const sealed = digests === undefined ? this.#seal(id, parents, signal) : Promise.resolve(digests);
    const sealing = sealed
      .then(async (done) => {
        // A child may be done first: it is recorded after what it stands on.
        for (const parent of parents) await this.#sealing.get(parent);
        return this.#record(id, done, parents, {});
      })
      .finally(() => this.#sealing.delete(id));
    this.#sealing.set(id, sealing);
    return sealing;
  }

  async #seal(id: LayerId, parents: Chain, signal: AbortSignal): Promise<Sealed> {
    signal.throwIfAborted();
    const task: SealTask = {
      kind: "seal",
      folder: this.folder(id),
      tree: bytePath(this.treePath(id)),
      lowers: lowersOf(this.trees(parents)),
      layout: this.#context.layout,
    };
    const sealed = explainingRoot(this.#context.paths.root, () => sealLayer(task, { ...inlineBudget }));
    return sealed ?? (await this.#run(task, signal));
  }

  #record(
    id: LayerId,
    sealed: Sealed,
    parents: Chain,
    { blob, created }: { readonly blob?: Descriptor; readonly created?: Date | undefined },
  ): LayerRecord {
    const { db, layout } = this.#context;
    const now = Date.now();
    const record: LayerRecord = {
      id,
      diffId: sealed.diffId,
      contentDigest: sealed.contentDigest,
      sizeBytes: sealed.sizeBytes,
      created: created ?? new Date(now),
      blob,
      layout,
    };
    // Whatever refers to the layer is written later, and reaches the disk after this: alone it is no loss.
    if (this.fresh.size === 0) syncOlder(this.#context, now);
    db.lossyTransaction(() => {
      this.#context.hold(freshLayerLease, "layer", id);
      db.run(
        "INSERT INTO layers (id, diff_id, content_digest, size_bytes, created_ms, layout, blob) VALUES (?, ?, ?, ?, ?, ?, ?)",
        id,
        record.diffId,
        record.contentDigest,
        record.sizeBytes,
        record.created.getTime(),
        layout,
        blob === undefined ? null : JSON.stringify(blob),
      );
      recordUnsynced(this.#context, id, now);
      if (blob !== undefined) this.#context.releaseBlob(blob.digest);
      recordChain(db, [...parents, id]);
    });
    this.fresh.add(id);
    return record;
  }

  #marker(id: LayerId): string {
    return `${this.#context.presence().folder}/${pendingPrefix}${id}`;
  }
}

export function recordOf(row: Row): LayerRecord {
  const blob = row["blob"];
  return {
    id: row["id"] as LayerId,
    diffId: row["diff_id"] as DiffId,
    contentDigest: row["content_digest"] as LayerRecord["contentDigest"],
    sizeBytes: Number(row["size_bytes"]),
    created: new Date(Number(row["created_ms"])),
    blob: typeof blob === "string" ? (JSON.parse(blob) as Descriptor) : undefined,
    layout: row["layout"] as LayerRecord["layout"],
  };
}

/** An image has several: which of them it is that cannot be read. */
function namingLayer(digest: Digest, error: unknown): unknown {
  if (!(error instanceof TsbuildError) || error.code !== "ARCHIVE_INVALID" || error.message.includes(digest))
    return error;
  return archiveInvalid(`layer ${hexOf(digest).slice(0, 12)}: ${error.message}`);
}
