/**
 * Store → registry. Layers that came from elsewhere go as they came; our own are compressed on the way. An image that
 * was pulled or pushed before keeps its manifest, byte by byte, so its digest is the same wherever it lies.
 */
import { rmSync } from "node:fs";
import { join } from "node:path";
import PQueue from "p-queue";
import type { Descriptor } from "../oci/descriptor.ts";
import { blobDigestOf, type Digest, hexOf, type ImageId, sha256 } from "../oci/digest.ts";
import type { Manifest } from "../oci/manifest.ts";
import { compressionOf, mediaTypes, ociLayerType } from "../oci/media-types.ts";
import { formatPlatform, type Platform, samePlatform } from "../oci/platform.ts";
import { canonicalReference, type Reference } from "../oci/reference.ts";
import { storedIndex } from "../oci/stored-documents.ts";
import { recallCompressed, rememberCompressed } from "../store/packed-layer.ts";
import type { LayerId, LayerRecord, Store, StoredImage, TemporaryFolder } from "../store/store.ts";
import type { RegistryAccess } from "./access.ts";
import type { RegistryClient } from "./client.ts";
import { imageNotLocal, noMatchForPlatform, pushDenied } from "./errors.ts";
import { openRegistry } from "./open-registry.ts";
import { pushDocument } from "./push-document.ts";
import { RefusedRequest } from "./said.ts";
import type { LayerState, TransferEvent } from "./transfer-event.ts";

export interface PushOptions {
  readonly store: Store;
  /** With a tag. */
  readonly reference: Reference;
  /** Undefined: as the image was pushed or pulled before, gzip for what never was. */
  readonly compression?: "gzip" | "zstd" | undefined;
  readonly platform?: Platform | undefined;
  /** The image to push; undefined: the one that the store has under `reference`. */
  readonly image?: StoredImage | undefined;
  /** Without a tag: under its digest alone. */
  readonly byDigest?: boolean;
  readonly access: RegistryAccess;
  /** Layers at a time. */
  readonly jobs?: number;
  readonly onEvent?: (event: TransferEvent) => void;
  readonly signal: AbortSignal;
}

export interface PushResult {
  readonly image: StoredImage;
  /** Of the manifest. */
  readonly digest: Digest;
  readonly sizeBytes: number;
}

const defaultJobs = 4;

/**
 * The image is in the registry under `reference`, and the store remembers its digest. A second call sends the manifest
 * only.
 * @throws {TsbuildError} `IMAGE_NOT_FOUND`, `REGISTRY_DENIED`, `REGISTRY_FAILED`, `NO_SPACE`
 */
export async function pushImage(options: PushOptions): Promise<PushResult> {
  const { store, reference, platform, access, signal, onEvent = () => undefined } = options;
  const index = options.image === undefined ? store.images.index(reference) : undefined;
  if (index !== undefined && platform === undefined) {
    const [first] = index.images;
    if (first === undefined) throw imageNotLocal(reference);
    const { raw, digest } = index;
    await pushStoredIndex({ ...options, raw, digest, image: first.id });
    return { image: first, digest, sizeBytes: raw.length };
  }
  const image =
    options.image ??
    index?.images.find(({ config }) => platform !== undefined && samePlatform(config, platform)) ??
    store.images.resolve(reference);
  if (image === undefined) throw imageNotLocal(reference);
  const { os, architecture, variant } = image.config;
  const own: Platform = { os, architecture, ...(variant !== undefined && { variant }) };
  if (platform !== undefined && !samePlatform(platform, own))
    throw noMatchForPlatform(reference, formatPlatform(platform), [formatPlatform(own)]);
  onEvent({ kind: "pushStarted", reference });
  using lease = store.lease(`push ${canonicalReference(reference)}`);
  lease.addImage(image.id);
  await using client = await openRegistry(reference.domain, reference.path, access);
  return await wordsFor(reference, async () => {
    const layers = await pushLayers(client, image, { ...options, onEvent });
    const manifest = manifestFor(image, layers);
    const bytes = { bytes: image.configBytes };
    if (!(await client.hasBlob(reference.path, manifest.value.config.digest, signal)))
      await client.uploadBlob(reference.path, manifest.value.config, { source: bytes, signal });
    const { raw, value } = manifest;
    const digest = sha256(raw);
    const sent = { raw, mediaType: value.mediaType, digest };
    const name = options.byDigest === true ? digest : (reference.tag ?? digest);
    await client.putManifest(reference.path, name, sent, signal);
    store.images.recordManifest(image.id, { domain: reference.domain, path: reference.path }, raw);
    onEvent({ kind: "pushed", reference, digest, sizeBytes: raw.length });
    return { image: store.images.get(image.id) ?? image, digest, sizeBytes: raw.length };
  });
}

export interface PushIndexOptions extends Omit<PushOptions, "image" | "platform" | "compression"> {
  /** The index; what it names is in the store. */
  readonly raw: Buffer;
  readonly digest: Digest;
  /** Whose RepoDigest it becomes: the image of it that runs here. */
  readonly image: ImageId;
}

/** The index and all images of it are in the registry. @throws {TsbuildError} as `pushImage` */
export async function pushStoredIndex(options: PushIndexOptions): Promise<void> {
  const { store, reference, access, signal, raw, digest, jobs = defaultJobs, onEvent = () => undefined } = options;
  onEvent({ kind: "pushStarted", reference });
  using lease = store.lease(`push ${canonicalReference(reference)}`);
  lease.addImage(options.image);
  await using client = await openRegistry(reference.domain, reference.path, access);
  const name = options.byDigest === true ? digest : (reference.tag ?? digest);
  const { mediaType } = storedIndex(raw);
  const push = { store, repository: reference.path, name, raw, digest, mediaType, jobs, onEvent, signal };
  await wordsFor(reference, () => pushDocument(client, push));
  store.images.recordRepoDigest(options.image, { domain: reference.domain, path: reference.path }, digest);
  onEvent({ kind: "pushed", reference, digest, sizeBytes: raw.length });
}

/** Its own manifest when that says the same, else a new one. Source: image-spec, manifest.md; BuildKit's printing. */
function manifestFor(
  image: StoredImage,
  layers: readonly Descriptor[],
): { readonly raw: Buffer; readonly value: Manifest } {
  const before = image.manifest;
  if (before?.value.layers.every((layer, i) => layer.digest === layers[i]?.digest)) return before;
  const value: Manifest = {
    schemaVersion: 2,
    mediaType: mediaTypes.ociManifest,
    config: { mediaType: mediaTypes.ociConfig, digest: blobDigestOf(image.id), size: image.configBytes.length },
    layers: layers.map((layer) => ({ ...layer, mediaType: ociLayerType(layer.mediaType) })),
  };
  return { raw: Buffer.from(JSON.stringify(value, undefined, 2)), value };
}

interface LayerPushOptions extends PushOptions {
  readonly onEvent: (event: TransferEvent) => void;
}

async function pushLayers(
  client: RegistryClient,
  image: StoredImage,
  options: LayerPushOptions,
): Promise<readonly Descriptor[]> {
  const { store, jobs = defaultJobs, onEvent } = options;
  const failed = new AbortController();
  const signal = AbortSignal.any([options.signal, failed.signal]);
  using folder = store.temporaryFolder("push");
  const queue = new PQueue({ concurrency: jobs });
  const mountable = new MountSources(store, options.reference);
  const started = new Map<LayerId, Promise<Descriptor>>();
  for (const [i, id] of image.chain.entries()) {
    if (started.has(id)) continue;
    const record = store.layers.get(id);
    onEvent({ kind: "layerState", layer: labelOf(record), state: { kind: "preparing" } });
    const expected = image.manifest?.value.layers[i];
    const pushed = queue.add(() => pushLayer(client, record, { ...options, expected, mountable, folder, signal }));
    pushed.catch((error: unknown) => failed.abort(error));
    started.set(id, pushed);
  }
  const settled = await Promise.allSettled(image.chain.map((id) => started.get(id)));
  if (options.signal.aborted) throw options.signal.reason;
  if (failed.signal.aborted) throw failed.signal.reason;
  return settled.map((result) => (result as PromiseFulfilledResult<Descriptor>).value); // none failed
}

interface OneLayerOptions extends LayerPushOptions {
  /** What the image's own manifest says of this layer. */
  readonly expected: Descriptor | undefined;
  readonly mountable: MountSources;
  readonly folder: TemporaryFolder;
}

/** The layer is in the repository; its descriptor there. */
async function pushLayer(client: RegistryClient, record: LayerRecord, options: OneLayerOptions): Promise<Descriptor> {
  const { store, reference, compression, expected, mountable, folder, signal } = options;
  signal.throwIfAborted();
  const layer = labelOf(record);
  const tell = (state: LayerState): void => options.onEvent({ kind: "layerState", layer, state });
  const upload = async (descriptor: Descriptor, file: string): Promise<void> => {
    const { size: totalBytes } = descriptor;
    await client.uploadBlob(reference.path, descriptor, {
      source: { file },
      onProgress: (doneBytes) =>
        options.onEvent({ kind: "layerProgress", layer, doing: "pushing", doneBytes, totalBytes }),
      signal,
    });
    tell({ kind: "pushed" });
  };

  const known = knownDescriptor(record, options);
  if (known !== undefined && (await client.hasBlob(reference.path, known.digest, signal))) {
    tell({ kind: "layerAlreadyExists" });
    return known;
  }
  for (const from of known === undefined ? [] : mountable.of(known.digest)) {
    if (!(await tryMount(client, reference.path, known as Descriptor, from, signal))) continue;
    tell({ kind: "mounted", from });
    return known as Descriptor;
  }
  if (known !== undefined && store.blobs.has(known.digest)) {
    await upload(known, store.blobs.path(known.digest));
    return known;
  }
  const kind = compression ?? (compressionOf(expected?.mediaType ?? "") === "zstd" ? "zstd" : "gzip");
  const file = join(folder.path, hexOf(record.diffId));
  const made = await store.layers.writeCompressed(record.id, file, kind, signal);
  rememberCompressed(store, record, kind, made);
  // Another version of the compressor makes other bytes of the same layer; then the registry may know those.
  if (made.digest !== known?.digest && (await client.hasBlob(reference.path, made.digest, signal)))
    tell({ kind: "layerAlreadyExists" });
  else await upload(made, file);
  rmSync(file, { force: true });
  return made;
}

/** The descriptor under which the layer goes, if that is known without compressing it. */
function knownDescriptor(
  record: LayerRecord,
  { store, expected, compression }: OneLayerOptions,
): Descriptor | undefined {
  const suits = (descriptor: Descriptor): boolean =>
    compression === undefined || compressionOf(descriptor.mediaType) === compression;
  if (expected !== undefined && suits(expected)) return expected;
  const { blob } = record;
  // Uncompressed blobs are of imports and of docker's archives: nobody wants to fetch those.
  if (blob !== undefined && compressionOf(blob.mediaType) !== "none")
    return { mediaType: ociLayerType(blob.mediaType), digest: blob.digest, size: blob.size };
  return recallCompressed(store, record, compression ?? "gzip");
}

/** Repositories of the same registry that should have a blob, because an image with it was pulled or pushed there. */
class MountSources {
  readonly #byDigest = new Map<Digest, Set<string>>();

  constructor(store: Store, target: Reference) {
    for (const { manifest, repoDigests } of store.images.list())
      for (const { domain, path } of repoDigests) {
        if (domain !== target.domain || path === target.path) continue;
        for (const { digest } of manifest?.value.layers ?? []) {
          const paths = this.#byDigest.get(digest) ?? new Set();
          this.#byDigest.set(digest, paths.add(path));
        }
      }
  }

  /** At most two: each costs a request. */
  of(digest: Digest): readonly string[] {
    return [...(this.#byDigest.get(digest) ?? [])].slice(0, 2);
  }
}

/** A registry that will not mount takes the bytes. */
async function tryMount(
  client: RegistryClient,
  repository: string,
  { digest }: Descriptor,
  from: string,
  signal: AbortSignal,
): Promise<boolean> {
  try {
    return await client.mountBlob(repository, digest, from, signal);
  } catch (error) {
    if (error instanceof RefusedRequest) return false;
    throw error;
  }
}

async function wordsFor<T>(reference: Reference, ask: () => Promise<T>): Promise<T> {
  try {
    return await ask();
  } catch (error) {
    if (!(error instanceof RefusedRequest)) throw error;
    const { code, status } = error.answer;
    if (code === "DENIED" || code === "UNAUTHORIZED" || status === 401 || status === 403)
      throw pushDenied(reference, error.answer);
    throw error;
  }
}

function labelOf({ diffId }: LayerRecord): string {
  return hexOf(diffId).slice(0, 12);
}
