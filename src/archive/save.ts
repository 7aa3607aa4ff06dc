/**
 * Store → archive. Three forms: docker's archive, which is an OCI layout as well and holds bare layers; an OCI archive or
 * folder, whose layers are compressed. The same images make the same bytes: no clock, no owner, a fixed order.
 */
import { rmSync } from "node:fs";
import { join } from "node:path";
import type { Descriptor } from "../oci/descriptor.ts";
import { blobDigestOf, type Digest, hexOf, sha256 } from "../oci/digest.ts";
import type { Manifest } from "../oci/manifest.ts";
import { compressionOf, mediaTypes, ociLayerType } from "../oci/media-types.ts";
import type { Platform } from "../oci/platform.ts";
import { canonicalReference, familiarReference, type Reference } from "../oci/reference.ts";
import { blobsOfDocument } from "../store/indexes.ts";
import type { LayerId, Store, StoredImage, StoredIndex } from "../store/store.ts";
import type { ArchiveSink } from "./archive-sink.ts";
import { layoutFile } from "./save-documents.ts";

export type ArchiveFormat = "docker-archive" | "oci-archive" | "oci-dir";

export interface SavedImage {
  readonly image: StoredImage;
  /** Names it has in the archive: with tag. */
  readonly references: readonly Reference[];
  /** The index that these names stand for: an OCI layout gets all of it. */
  readonly index?: StoredIndex | undefined;
}

export interface SaveOptions {
  readonly store: Store;
  readonly images: readonly SavedImage[];
  readonly format: ArchiveFormat;
  readonly sink: ArchiveSink;
  /** A folder of ours, for layers that are compressed before their size is known. */
  readonly scratch: string;
  readonly signal: AbortSignal;
}

/** @throws {TsbuildError} `NO_SPACE`, `STORE_CORRUPT` */
export async function saveImages(options: SaveOptions): Promise<void> {
  using lease = options.store.lease("save");
  for (const { image } of options.images) lease.addImage(image.id);
  const writer = new BlobWriter(options);
  if (options.format === "docker-archive") await saveDockerArchive(options, writer);
  else await saveLayout(options, writer);
  await options.sink.end();
}

/** Blobs are written once, however many images share them. */
class BlobWriter {
  readonly #options: SaveOptions;
  readonly #written = new Set<Digest>();

  constructor(options: SaveOptions) {
    this.#options = options;
  }

  async bytes(bytes: Uint8Array): Promise<Digest> {
    const digest = sha256(bytes);
    if (this.#isNew(digest)) await this.#options.sink.bytes(blobName(digest), bytes);
    return digest;
  }

  /** A layer's bare tar. */
  async bareLayer(id: LayerId): Promise<Descriptor> {
    const { store, sink, signal } = this.#options;
    const { diffId, sizeBytes: size, blob } = store.layers.get(id);
    const digest = blobDigestOf(diffId);
    if (this.#isNew(digest)) {
      if (blob?.digest === digest && store.blobs.has(digest))
        await sink.copyFile(blobName(digest), store.blobs.path(digest), size);
      else await sink.fill(blobName(digest), size, (file, how) => store.layers.writeTar(id, file, signal, how));
    }
    return { mediaType: mediaTypes.ociLayer, digest, size };
  }

  /** As `expected` says if that is possible, else as it came from elsewhere, else with gzip. */
  async packedLayer(id: LayerId, expected: Descriptor | undefined): Promise<Descriptor> {
    const { store, sink, scratch, signal } = this.#options;
    const { diffId, blob } = store.layers.get(id);
    const packed = blob !== undefined && compressionOf(blob.mediaType) !== "none" ? blob : undefined;
    for (const known of [expected, packed]) {
      if (known === undefined || !store.blobs.has(known.digest)) continue;
      if (this.#isNew(known.digest))
        await sink.copyFile(blobName(known.digest), store.blobs.path(known.digest), known.size);
      return isOci(known)
        ? known
        : { mediaType: ociLayerType(known.mediaType), digest: known.digest, size: known.size };
    }
    const kind = compressionOf(expected?.mediaType ?? "") === "zstd" ? "zstd" : "gzip";
    const file = join(scratch, hexOf(diffId));
    const made = await store.layers.writeCompressed(id, file, kind, signal);
    if (this.#isNew(made.digest)) await sink.copyFile(blobName(made.digest), file, made.size);
    rmSync(file, { force: true });
    return made;
  }

  /** With all that it names. */
  async document({ digest, value }: Pick<StoredIndex, "digest" | "value">): Promise<void> {
    const { blobs } = this.#options.store;
    for (const blob of blobsOfDocument({ digest, mediaType: value.mediaType }, (each) => blobs.read(each)))
      if (this.#isNew(blob)) await this.#options.sink.copyFile(blobName(blob), blobs.path(blob), blobs.size(blob) ?? 0);
  }

  #isNew(digest: Digest): boolean {
    if (this.#written.has(digest)) return false;
    this.#written.add(digest);
    return true;
  }
}

// docker-archive --------------------------------------------------------------------------------------------------

/** What names the blobs stands in front of them: a reader of the stream knows what comes. */
async function saveDockerArchive({ store, images, sink }: SaveOptions, writer: BlobWriter): Promise<void> {
  const described = images.map(({ image, references }) => {
    const layers = image.chain.map((id): Descriptor => {
      const { diffId, sizeBytes: size } = store.layers.get(id);
      return { mediaType: mediaTypes.ociLayer, digest: blobDigestOf(diffId), size };
    });
    return { image, references, manifest: printManifest(image, layers) };
  });
  await sink.bytes("oci-layout", layoutFile);
  await sink.bytes("index.json", printIndex(described));
  await sink.bytes("manifest.json", Buffer.from(JSON.stringify(described.map(dockerEntry))));
  await sink.folder("blobs");
  await sink.folder("blobs/sha256");
  for (const { image, manifest } of described) {
    await writer.bytes(manifest);
    await writer.bytes(image.configBytes);
    for (const id of image.chain) await writer.bareLayer(id);
  }
}

interface Described extends SavedImage {
  readonly manifest: Buffer;
}

function dockerEntry({ image, references }: Described): unknown {
  return {
    Config: blobName(blobDigestOf(image.id)),
    RepoTags: references.length === 0 ? null : references.map(familiarReference),
    Layers: image.config.rootfs.diff_ids.map((diffId) => blobName(blobDigestOf(diffId))),
  };
}

// OCI layout ------------------------------------------------------------------------------------------------------

async function saveLayout({ images, sink }: SaveOptions, writer: BlobWriter): Promise<void> {
  await sink.bytes("oci-layout", layoutFile);
  await sink.folder("blobs");
  await sink.folder("blobs/sha256");
  const described: Described[] = [];
  for (const { image, references, index } of images) {
    if (index !== undefined) {
      await writer.document(index);
      described.push({ image, references, manifest: index.raw, index });
      continue;
    }
    const layers: Descriptor[] = [];
    for (const [i, id] of image.chain.entries())
      layers.push(await writer.packedLayer(id, image.manifest?.value.layers[i]));
    const before = image.manifest;
    // A layout holds OCI manifests: skopeo and umoci read no others in it.
    const same =
      before?.value.mediaType === mediaTypes.ociManifest &&
      before.value.layers.every(
        ({ digest, mediaType }, i) => digest === layers[i]?.digest && mediaType === layers[i]?.mediaType,
      );
    const manifest = before !== undefined && same ? before.raw : printManifest(image, layers);
    await writer.bytes(image.configBytes);
    await writer.bytes(manifest);
    described.push({ image, references, manifest });
  }
  await sink.bytes("index.json", printIndex(described));
}

// Documents -------------------------------------------------------------------------------------------------------

function printManifest(image: StoredImage, layers: readonly Descriptor[]): Buffer {
  const manifest: Manifest = {
    schemaVersion: 2,
    mediaType: mediaTypes.ociManifest,
    config: { mediaType: mediaTypes.ociConfig, digest: blobDigestOf(image.id), size: image.configBytes.length },
    layers,
  };
  return Buffer.from(JSON.stringify(manifest, undefined, 2));
}

/** An entry a name; an image without a name has one without. containerd reads the full name, skopeo and umoci the tag. */
function printIndex(described: readonly Described[]): Buffer {
  const manifests = described.flatMap(({ image, references, manifest, index }) => {
    const descriptor = {
      mediaType: mediaTypeOf(manifest),
      digest: sha256(manifest),
      size: manifest.length,
      ...(index === undefined && { platform: platformOf(image) }),
    };
    if (references.length === 0) return [descriptor];
    return references.map((reference) => ({
      ...descriptor,
      annotations: {
        "io.containerd.image.name": canonicalReference(reference),
        "org.opencontainers.image.ref.name": reference.tag ?? "latest",
      },
    }));
  });
  return Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests }));
}

function mediaTypeOf(manifest: Buffer): string {
  const { mediaType } = JSON.parse(manifest.toString("utf8")) as { mediaType?: string };
  return mediaType ?? mediaTypes.ociManifest;
}

function platformOf({ config: { architecture, os, variant } }: StoredImage): Platform {
  return { architecture, os, ...(variant !== undefined && { variant }) };
}

function isOci({ mediaType }: Descriptor): boolean {
  return mediaType === ociLayerType(mediaType);
}

function blobName(digest: Digest): string {
  return `blobs/${digest.replace(":", "/")}`;
}
