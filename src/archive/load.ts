/**
 * Archive → store. In: a file, a folder or a stream that `docker save`, `podman save`, skopeo, umoci, BuildKit or we
 * wrote. Out: images, whole and named; layers the store has are not unpacked again. An image is recorded after its
 * layers, so what is interrupted leaves whole layers or nothing.
 */
import { createHash } from "node:crypto";
import { closeSync, createReadStream, createWriteStream, existsSync, openSync, readSync, statSync } from "node:fs";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { TsbuildError } from "../errors.ts";
import { decompressor, sniffCompression } from "../oci/decompress.ts";
import type { Descriptor } from "../oci/descriptor.ts";
import { blobDigestOf, type DiffId, type Digest, diffIdOf, imageIdOf } from "../oci/digest.ts";
import { availablePlatforms, selectPlatform } from "../oci/image-index.ts";
import type { ImageIndex } from "../oci/manifest.ts";
import { compressionOf, mediaTypes } from "../oci/media-types.ts";
import { parseImageConfig } from "../oci/parse-image-config.ts";
import { parseImageIndex, parseManifestDocument } from "../oci/parse-manifest.ts";
import { formatPlatform, hostPlatform, type Platform } from "../oci/platform.ts";
import { parseReference, type Reference } from "../oci/reference.ts";
import { spaceExplained } from "../store/errors.ts";
import type { LayerId, Lease, Store, StoredImage, TemporaryFolder } from "../store/store.ts";
import { type ArchiveFiles, openFolder, openStream, openTarFile, sniffFile, unpackTar } from "./archive-files.ts";
import { parseDockerManifest, parseRepositories } from "./docker-archive.ts";
import { archiveInvalid, noImageArchive, noLayout, noMatchForPlatform, notInLayout } from "./errors.ts";
import { configOfLegacyImage } from "./legacy-config.ts";

export interface LoadOptions {
  readonly store: Store;
  readonly source:
    | { readonly kind: "path"; readonly path: string }
    | { readonly kind: "stream"; readonly stream: Readable };
  /** Which image of an index; undefined: the host's, or else the only one there is. */
  readonly platform?: Platform | undefined;
  readonly signal: AbortSignal;
}

export interface LoadedImage {
  readonly image: StoredImage;
  /** Names that now point at it. */
  readonly references: readonly Reference[];
}

interface Loading {
  readonly store: Store;
  readonly files: ArchiveFiles;
  readonly folder: TemporaryFolder;
  readonly lease: Lease;
  readonly platform: Platform | undefined;
  readonly signal: AbortSignal;
}

/**
 * All images of the archive, in its order.
 * @throws {TsbuildError} `ARCHIVE_INVALID`, `INVALID_MANIFEST`, `INVALID_CONFIG`, `IMAGE_NOT_FOUND` (platform), `NO_SPACE`
 */
export async function loadImages(options: LoadOptions): Promise<readonly LoadedImage[]> {
  const { store, source, platform, signal } = options;
  using folder = store.temporaryFolder("load");
  using lease = store.lease("load");
  try {
    using files = await openArchive(source, folder, signal);
    return await loadFrom({ store, files, folder, lease, platform, signal });
  } catch (error) {
    throw spaceExplained(store.root, error);
  }
}

export interface LayoutImage {
  readonly store: Store;
  /** A folder, and which of its images: `latest` when neither is given, and the only one there is without a name. */
  readonly layout: { readonly path: string; readonly tag: string | undefined; readonly digest: string | undefined };
  readonly platform: Platform;
  readonly signal: AbortSignal;
}

/**
 * One image of an OCI layout, which gets no name here.
 * @throws {TsbuildError} `CONTEXT_NOT_FOUND`, `IMAGE_NOT_FOUND`, and what `loadImages` throws
 */
export async function loadLayoutImage({ store, layout, platform, signal }: LayoutImage): Promise<StoredImage> {
  const { path, tag, digest } = layout;
  if (!existsSync(join(path, "oci-layout"))) throw noLayout(path);
  using folder = store.temporaryFolder("load");
  using lease = store.lease("load");
  try {
    using files = openFolder(path);
    const { manifests } = parseImageIndex(files.read("index.json"), "index.json");
    const wanted = tag ?? "latest";
    const named = manifests.find((one) =>
      digest === undefined ? tagOf(one.annotations) === wanted : one.digest === digest,
    );
    const [only, ...others] = manifests;
    const chosen = named ?? (digest === undefined && tag === undefined && others.length === 0 ? only : undefined);
    if (chosen === undefined) {
      const names = manifests.flatMap(({ annotations, digest: of }) => tagOf(annotations) ?? of);
      throw notInLayout(path, digest ?? wanted, names);
    }
    const loading: Loading = { store, files, folder, lease, platform, signal };
    return await loadManifest(findManifest(chosen, loading), loading);
  } catch (error) {
    throw spaceExplained(store.root, error);
  }
}

/** A full name's tag, too: skopeo and buildah write names, umoci tags. */
function tagOf(annotations: Descriptor["annotations"]): string | undefined {
  const name = annotations?.["org.opencontainers.image.ref.name"];
  return name?.slice(name.lastIndexOf(":") + 1);
}

function loadFrom(loading: Loading): Promise<readonly LoadedImage[]> {
  const { files } = loading;
  // A folder or archive that is both is read as OCI: its manifests keep their digests.
  if (files.has("oci-layout") && files.has("index.json")) return loadLayout(loading);
  if (files.has("manifest.json")) return loadDockerArchive(loading);
  if (files.has("repositories")) return loadLegacyArchive(loading);
  throw noImageArchive();
}

function openArchive(
  source: LoadOptions["source"],
  folder: TemporaryFolder,
  signal: AbortSignal,
): Promise<ArchiveFiles> {
  if (source.kind === "stream") return unpackTar(source.stream, folder.path, signal);
  const { path } = source;
  const stats = statSync(path);
  if (stats.isDirectory()) return Promise.resolve(openFolder(path));
  if (!stats.isFile() || sniffFile(path) !== "none") return unpackTar(openStream(path), folder.path, signal);
  return Promise.resolve(openTarFile(path));
}

// OCI layout. Source: image-spec, image-layout.md -----------------------------------------------------------------

async function loadLayout(loading: Loading): Promise<readonly LoadedImage[]> {
  const index = parseImageIndex(loading.files.read("index.json"), "index.json");
  // An index.json of one image for several platforms is that image's index.
  const isOneImage =
    index.manifests.length > 1 &&
    index.manifests.every(({ platform, annotations }) => platform !== undefined && nameOf(annotations) === undefined);
  const entries = isOneImage ? [chooseImage(index, loading)] : index.manifests;
  const loaded: LoadedImage[] = [];
  for (const descriptor of entries) {
    if (descriptor.platform?.os === "unknown") continue; // an attestation
    const found = findManifest(descriptor, loading);
    const image = known(loaded, imageIdOf(found.config.digest)) ?? (await loadManifest(found, loading));
    const name = nameOf(descriptor.annotations);
    add(loaded, image, name === undefined ? [] : [name], loading.store);
  }
  if (loaded.length === 0) throw noImageArchive();
  return loaded;
}

interface FoundManifest {
  readonly raw: Buffer;
  readonly config: Descriptor;
  readonly layers: readonly Descriptor[];
}

function findManifest(descriptor: Descriptor, loading: Loading): FoundManifest {
  const raw = readBlob(loading.files, descriptor.digest);
  const document = parseManifestDocument(raw, descriptor.digest, descriptor.mediaType);
  if (document.kind === "manifest") return { raw, ...document.value };
  return findManifest(chooseImage(document.value, loading), loading);
}

/** Of those that are in the archive: a part of a big image is often all there is. */
function chooseImage(index: ImageIndex, { files, platform }: Loading): Descriptor {
  const present = { ...index, manifests: index.manifests.filter(({ digest }) => files.has(blobName(digest))) };
  const wanted = platform ?? hostPlatform();
  const chosen = selectPlatform(present, wanted);
  const images = present.manifests.filter((each) => each.platform?.os !== "unknown");
  const only = platform === undefined && images.length === 1 ? images[0] : undefined;
  if (chosen !== undefined || only !== undefined) return (chosen ?? only) as Descriptor; // one of them is there
  throw noMatchForPlatform(formatPlatform(wanted), availablePlatforms(present));
}

/** containerd's and docker's full name, else what others put into `ref.name` when it is more than a tag. */
function nameOf(annotations: Descriptor["annotations"]): string | undefined {
  const full = annotations?.["io.containerd.image.name"];
  if (full !== undefined) return full;
  const name = annotations?.["org.opencontainers.image.ref.name"];
  return name !== undefined && /[/:]/.test(name) ? name : undefined;
}

async function loadManifest({ raw, config, layers }: FoundManifest, loading: Loading): Promise<StoredImage> {
  const configBytes = readBlob(loading.files, config.digest);
  const diffIds = diffIdsOf(configBytes, config.digest, layers.length);
  const chain: LayerId[] = [];
  for (const [i, layer] of layers.entries()) {
    if (compressionOf(layer.mediaType) === undefined)
      throw new TsbuildError({
        code: "UNSUPPORTED",
        what: `a layer of media type ${JSON.stringify(layer.mediaType)} cannot be unpacked`,
      });
    const diffId = diffIds[i] as DiffId; // as many as layers
    chain.push(await loadLayer({ name: blobName(layer.digest), diffId, descriptor: layer }, chain, loading));
  }
  // A manifest of bare tars is no use to a registry: those are compressed when they are pushed.
  const keeps = layers.length > 0 && layers.every(({ mediaType }) => compressionOf(mediaType) !== "none");
  return loading.store.images.add({ config: configBytes, chain, ...(keeps && { manifest: { raw } }) });
}

// docker save, since Docker 1.10 ----------------------------------------------------------------------------------

async function loadDockerArchive(loading: Loading): Promise<readonly LoadedImage[]> {
  const { files, store } = loading;
  const loaded: LoadedImage[] = [];
  for (const { Config, RepoTags, Layers } of parseDockerManifest(files.read("manifest.json"))) {
    const configBytes = files.read(Config);
    const diffIds = diffIdsOf(configBytes, Config, Layers.length);
    const chain: LayerId[] = [];
    for (const [i, name] of Layers.entries()) {
      const diffId = diffIds[i] as DiffId; // as many as layers
      chain.push(await loadLayer({ name, diffId, descriptor: undefined }, chain, loading));
    }
    add(loaded, store.images.add({ config: configBytes, chain }), RepoTags, store);
  }
  if (loaded.length === 0) throw noImageArchive();
  return loaded;
}

// docker save before that: a folder a layer, each with its own config and parent ------------------------------------

async function loadLegacyArchive(loading: Loading): Promise<readonly LoadedImage[]> {
  const { files, store } = loading;
  const loaded: LoadedImage[] = [];
  const byOldId = new Map<string, StoredImage>();
  const diffIds = new Map<string, DiffId>();
  for (const [repository, tags] of parseRepositories(files.read("repositories")))
    for (const [tag, id] of tags) {
      const image = byOldId.get(id) ?? (await loadLegacyImage(id, diffIds, loading));
      byOldId.set(id, image);
      add(loaded, image, [`${repository}:${tag}`], store);
    }
  if (loaded.length === 0) throw noImageArchive();
  return loaded;
}

/** `known`: the diffIDs of layers that were read already, by their places: a layer may be a link to another. */
async function loadLegacyImage(id: string, known: Map<string, DiffId>, loading: Loading): Promise<StoredImage> {
  const jsons: Buffer[] = [];
  const ids: string[] = [];
  for (let current: string | undefined = id; current !== undefined; ) {
    if (ids.includes(current)) throw archiveInvalid("the parents of an image go round");
    if (!/^[0-9a-f]{1,64}$/.test(current)) throw archiveInvalid(`${JSON.stringify(current)} is no image ID`);
    const json = loading.files.read(`${current}/json`);
    jsons.unshift(json);
    ids.unshift(current);
    current = parentOf(json, current);
  }
  const chain: LayerId[] = [];
  const diffIds: DiffId[] = [];
  for (const each of ids) {
    const place = loading.files.resolve(`${each}/layer.tar`);
    const layer = await loadLegacyLayer(each, known.get(place), chain, loading);
    known.set(place, layer.diffId);
    chain.push(layer.id);
    diffIds.push(layer.diffId);
  }
  return loading.store.images.add({ config: configOfLegacyImage(jsons, diffIds), chain });
}

/** Only the bytes know the diffID. */
async function loadLegacyLayer(
  oldId: string,
  diffId: DiffId | undefined,
  parents: readonly LayerId[],
  loading: Loading,
): Promise<{ readonly id: LayerId; readonly diffId: DiffId }> {
  const present = diffId === undefined ? undefined : loading.store.layers.findByDiffId(diffId);
  if (present !== undefined && diffId !== undefined) return { id: present, diffId };
  const file = join(loading.folder.path, `legacy-${oldId}`);
  loading.files.take(`${oldId}/layer.tar`, file);
  const plain = await plainFile(file);
  const computed = diffIdOf(hashFile(plain));
  return { id: await addPlainLayer(plain, computed, parents, loading), diffId: computed };
}

function parentOf(json: Buffer, id: string): string | undefined {
  try {
    const { parent } = JSON.parse(json.toString("utf8")) as { parent?: unknown };
    return typeof parent === "string" && parent !== "" ? parent : undefined;
  } catch (cause) {
    throw archiveInvalid(`${id}/json is not JSON`, cause);
  }
}

// Layers ----------------------------------------------------------------------------------------------------------

interface LayerInArchive {
  readonly name: string;
  readonly diffId: DiffId;
  /** Undefined: docker's archives do not say how a layer is packed. */
  readonly descriptor: Descriptor | undefined;
}

async function loadLayer(layer: LayerInArchive, parents: readonly LayerId[], loading: Loading): Promise<LayerId> {
  const { store, files, folder, lease, signal } = loading;
  signal.throwIfAborted();
  const { name, diffId, descriptor } = layer;
  const present = store.layers.findByDiffId(diffId);
  if (present !== undefined) {
    lease.addLayers([present]);
    return present;
  }
  const kind = sniffCompression(files.start(name));
  const file = join(folder.path, `layer-${parents.length}-${diffId.slice(-12)}`);
  files.take(name, file);
  if (descriptor !== undefined) return await addLayer(file, descriptor, layer.diffId, parents, loading);
  if (kind === "gzip" || kind === "zstd") {
    const mediaType = kind === "gzip" ? mediaTypes.ociLayerGzip : mediaTypes.ociLayerZstd;
    const packed = { mediaType, digest: hashFile(file), size: statSync(file).size };
    return await addLayer(file, packed, diffId, parents, loading);
  }
  return await addPlainLayer(await plainFile(file), diffId, parents, loading);
}

function addPlainLayer(file: string, diffId: DiffId, parents: readonly LayerId[], loading: Loading): Promise<LayerId> {
  const plain = { mediaType: mediaTypes.ociLayer, digest: blobDigestOf(diffId), size: statSync(file).size };
  return addLayer(file, plain, diffId, parents, loading);
}

async function addLayer(
  file: string,
  descriptor: Descriptor,
  diffId: DiffId,
  parents: readonly LayerId[],
  { store, lease, signal }: Loading,
): Promise<LayerId> {
  const id = await store.layers.addBlob({ file, descriptor, diffId }, [...parents], signal);
  lease.addLayers([id]);
  return id;
}

/** The file itself when it is a plain tar, else a new one beside it. */
async function plainFile(file: string): Promise<string> {
  const kind = sniffFile(file);
  if (kind === "none") return file;
  const plain = `${file}.tar`;
  await pipeline(createReadStream(file), decompressor(kind), createWriteStream(plain, { flags: "wx" }));
  return plain;
}

function hashFile(file: string): Digest {
  const hash = createHash("sha256");
  const fd = openSync(file, "r");
  try {
    const buffer = Buffer.allocUnsafe(1 << 20);
    for (let count = readSync(fd, buffer); count > 0; count = readSync(fd, buffer))
      hash.update(buffer.subarray(0, count));
  } finally {
    closeSync(fd);
  }
  return `sha256:${hash.digest("hex")}` as string as Digest;
}

// Small things ----------------------------------------------------------------------------------------------------

function blobName(digest: Digest): string {
  return `blobs/${digest.replace(":", "/")}`;
}

/** Verified. */
function readBlob(files: ArchiveFiles, digest: Digest): Buffer {
  const bytes = files.read(blobName(digest));
  const [algorithm = "sha256"] = digest.split(":");
  const actual = `${algorithm}:${createHash(algorithm).update(bytes).digest("hex")}`;
  if (actual !== digest) throw archiveInvalid(`the blob ${digest} has the digest ${actual}`);
  return bytes;
}

function diffIdsOf(configBytes: Buffer, from: string, layerCount: number): readonly DiffId[] {
  const diffIds = parseImageConfig(configBytes, from).rootfs.diff_ids;
  if (diffIds.length === layerCount) return diffIds;
  throw archiveInvalid(`${from} has ${diffIds.length} diffIDs for ${layerCount} layers`);
}

function known(loaded: readonly LoadedImage[], id: StoredImage["id"]): StoredImage | undefined {
  return loaded.find(({ image }) => image.id === id)?.image;
}

/** Names the image, and puts it into the list once. */
function add(loaded: LoadedImage[], image: StoredImage, names: readonly string[], store: Store): void {
  const references = names.map((name) => parseReference(name)).map(withoutDigest);
  for (const reference of references) store.images.tag(reference, image.id);
  const at = loaded.findIndex((each) => each.image.id === image.id);
  if (at < 0) loaded.push({ image, references });
  else loaded[at] = { image, references: [...(loaded[at]?.references ?? []), ...references] };
}

function withoutDigest({ digest: _, ...reference }: Reference): Reference {
  return reference.tag === undefined ? { ...reference, tag: "latest" } : reference;
}
