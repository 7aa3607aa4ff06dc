/**
 * Registry → store. Layers come side by side, are unpacked from the bottom up, and the image's name comes last: what is
 * interrupted leaves whole layers or nothing. Layers the store has are not asked for.
 */
import { join } from "node:path";
import PQueue from "p-queue";
import { TsbuildError } from "../errors.ts";
import type { Descriptor } from "../oci/descriptor.ts";
import { blobDigestOf, type DiffId, type Digest, hexOf, imageIdOf } from "../oci/digest.ts";
import type { ImageConfig } from "../oci/image-config.ts";
import { availablePlatforms, selectPlatform } from "../oci/image-index.ts";
import type { Manifest } from "../oci/manifest.ts";
import { compressionOf, mediaTypes } from "../oci/media-types.ts";
import { parseImageConfig } from "../oci/parse-image-config.ts";
import { parseManifest, parseManifestDocument } from "../oci/parse-manifest.ts";
import { formatPlatform, hostPlatform, type Platform, samePlatform } from "../oci/platform.ts";
import { canonicalReference, familiarReference, type Reference } from "../oci/reference.ts";
import { spaceExplained } from "../store/errors.ts";
import type { Chain, LayerId, Lease, Store, StoredImage, TemporaryFolder } from "../store/store.ts";
import type { RegistryAccess } from "./access.ts";
import type { RegistryClient, RemoteManifest } from "./client.ts";
import {
  layerUnsupported,
  manifestNotFound,
  noMatchForPlatform,
  notAnImage,
  pullDenied,
  repositoryNotFound,
} from "./errors.ts";
import { openMirrors, openRegistry } from "./open-registry.ts";
import { RefusedRequest } from "./said.ts";
import type { LayerState, TransferEvent } from "./transfer-event.ts";

export interface PullOptions {
  readonly store: Store;
  /** With a tag or a digest. */
  readonly reference: Reference;
  /** Undefined: the host's, and an image for another one without an index is taken too. */
  readonly platform?: Platform | undefined;
  /** An image without an index is taken whatever platform it is for. */
  readonly takesOtherPlatform?: boolean;
  readonly access: RegistryAccess;
  /** Layers at a time. */
  readonly jobs?: number;
  readonly onEvent?: (event: TransferEvent) => void;
  readonly signal: AbortSignal;
}

const defaultJobs = 4;

/**
 * The image, complete and named, in the store. A second call for the same asks for the manifest only.
 * @throws {TsbuildError} `REGISTRY_NOT_FOUND`, `REGISTRY_DENIED`, `REGISTRY_FAILED`, `INVALID_MANIFEST`,
 * `INVALID_CONFIG`, `ARCHIVE_INVALID`, `UNSUPPORTED`, `NO_SPACE`
 */
export async function pullImage(options: PullOptions): Promise<StoredImage> {
  const { store, reference, signal, onEvent = () => undefined } = options;
  const { found, stored, fresh } = await fromMirrorsOrOrigin(options, (client) =>
    fetchFrom(client, { ...options, onEvent }),
  );
  signal.throwIfAborted();
  const before = reference.tag === undefined ? undefined : store.images.resolve(tagOnly(reference));
  const moves = reference.tag !== undefined && reference.digest === undefined && before?.id !== stored.id;
  if (moves) store.images.tag(reference, stored.id);
  onEvent({ kind: "pulled", reference, digest: found.digest, newer: fresh || moves });
  return store.images.get(stored.id) ?? stored;
}

/**
 * The config of an image that stays where it is: one or two manifests and the config are read, no layer is.
 * @throws {TsbuildError} as `pullImage`
 */
export async function remoteConfig(options: Omit<PullOptions, "store" | "jobs" | "onEvent">): Promise<ImageConfig> {
  const { reference, signal } = options;
  return await fromMirrorsOrOrigin(options, async (client) => {
    const { value } = await findManifest(client, options);
    const bytes = await wordsFor(reference, () => client.blob(reference.path, value.config, signal));
    return parseImageConfig(bytes, `of ${familiarReference(reference)}`);
  });
}

interface Fetched {
  readonly found: FoundManifest;
  readonly stored: StoredImage;
  readonly fresh: boolean;
}

async function fromMirrorsOrOrigin<T>(
  { reference, access, signal }: Pick<PullOptions, "reference" | "access" | "signal">,
  take: (client: RegistryClient) => Promise<T>,
): Promise<T> {
  for await (const mirror of openMirrors(reference.domain, reference.path, access)) {
    await using client = mirror;
    try {
      return await take(client);
    } catch (error) {
      signal.throwIfAborted();
      // A mirror need not have everything, nor be there: the registry itself is asked last.
      if (!(error instanceof TsbuildError && error.code.startsWith("REGISTRY_"))) throw error;
    }
  }
  await using client = await openRegistry(reference.domain, reference.path, access);
  return await take(client);
}

async function fetchFrom(client: RegistryClient, options: FetchOptions): Promise<Fetched> {
  const found = await findManifest(client, options);
  options.onEvent({ kind: "pullStarted", reference: options.reference });
  return { found, ...(await fetchImage(client, found, options)) };
}

/** Every tag of a repository, one after the other. */
export async function pullAllTags(options: PullOptions): Promise<readonly StoredImage[]> {
  const { reference, access, signal } = options;
  const { domain, path } = reference;
  let tags: readonly string[];
  {
    await using client = await openRegistry(domain, path, access);
    tags = await wordsFor(reference, () => client.tags(path, signal));
  }
  const images: StoredImage[] = [];
  for (const tag of tags) images.push(await pullImage({ ...options, reference: { domain, path, tag } }));
  return images;
}

interface FoundManifest {
  /** Of what the reference names: the index, where there is one. */
  readonly digest: Digest;
  readonly index: RemoteManifest | undefined;
  readonly raw: Buffer;
  readonly value: Manifest;
}

async function findManifest(
  client: RegistryClient,
  { reference, platform, signal }: Pick<PullOptions, "reference" | "platform" | "signal">,
): Promise<FoundManifest> {
  const from = familiarReference(reference);
  const named = reference.digest ?? reference.tag ?? "latest";
  const top = await wordsFor(reference, () => client.manifest(reference.path, named, signal));
  const document = parseManifestDocument(top.raw, from, top.contentType);
  if (document.kind === "manifest")
    return { digest: top.digest, index: undefined, raw: top.raw, value: document.value };
  const wanted = platform ?? hostPlatform();
  const descriptor = selectPlatform(document.value, wanted);
  if (descriptor === undefined)
    throw noMatchForPlatform(reference, formatPlatform(wanted), availablePlatforms(document.value));
  const inner = await wordsFor(reference, () => client.manifest(reference.path, descriptor.digest, signal));
  return {
    digest: top.digest,
    index: top,
    raw: inner.raw,
    value: parseManifest(inner.raw, `${from} for ${formatPlatform(wanted)}`, descriptor.mediaType),
  };
}

interface FetchOptions extends PullOptions {
  readonly onEvent: (event: TransferEvent) => void;
}

async function fetchImage(
  client: RegistryClient,
  found: FoundManifest,
  options: FetchOptions,
): Promise<{ readonly stored: StoredImage; readonly fresh: boolean }> {
  const { store, reference, platform, signal } = options;
  const { value: manifest, raw } = found;
  const known = store.images.get(imageIdOf(manifest.config.digest));
  if (known !== undefined && known.chain.length === manifest.layers.length) {
    store.images.recordManifest(known.id, undefined, raw);
    store.images.recordRepoDigest(known.id, reference, found.digest);
    return { stored: known, fresh: false };
  }
  if (manifest.config.mediaType !== mediaTypes.ociConfig && manifest.config.mediaType !== mediaTypes.dockerConfig)
    throw notAnImage(reference, manifest.config.mediaType);
  for (const { mediaType } of manifest.layers)
    if (compressionOf(mediaType) === undefined) throw layerUnsupported(reference, mediaType);
  const configBytes = await wordsFor(reference, () => client.blob(reference.path, manifest.config, signal));
  const config = parseImageConfig(configBytes, `of ${familiarReference(reference)}`);
  const own: Platform = {
    os: config.os,
    architecture: config.architecture,
    ...(config.variant !== undefined && { variant: config.variant }),
  };
  const mustSuit = platform !== undefined && options.takesOtherPlatform !== true;
  if (mustSuit && found.index === undefined && !samePlatform(own, platform))
    throw noMatchForPlatform(reference, formatPlatform(platform), [formatPlatform(own)]);
  const diffIds = config.rootfs.diff_ids;
  if (diffIds.length !== manifest.layers.length)
    throw notAnImage(
      reference,
      `${manifest.config.mediaType} (${diffIds.length} diffIDs for ${manifest.layers.length} layers)`,
    );

  using lease = store.lease(`pull ${canonicalReference(reference)}`);
  const chain = await fetchLayers(client, manifest.layers, diffIds, lease, options);
  const stored = store.images.add({ config: configBytes, chain, manifest: { raw } });
  store.images.recordRepoDigest(stored.id, reference, found.digest);
  return { stored, fresh: true };
}

/** Downloads side by side; unpacks one after the other, each as soon as it and all below it are there. */
async function fetchLayers(
  client: RegistryClient,
  layers: readonly Descriptor[],
  diffIds: readonly DiffId[],
  lease: Lease,
  options: FetchOptions,
): Promise<Chain> {
  const { store, reference, jobs = defaultJobs, onEvent } = options;
  const failed = new AbortController();
  const signal = AbortSignal.any([options.signal, failed.signal]);
  using folder = store.temporaryFolder("pull");
  const queue = new PQueue({ concurrency: jobs });
  const tell = (descriptor: Descriptor, state: LayerState["kind"]): void =>
    onEvent({ kind: "layerState", layer: labelOf(descriptor.digest), state: { kind: state } as LayerState });

  const downloads = new Map<Digest, Promise<string>>();
  const tasks = layers.map((descriptor, i) => {
    const known = store.layers.findByDiffId(diffIds[i] as DiffId); // as many as layers: checked by the caller
    if (known !== undefined) {
      lease.addLayers([known]);
      tell(descriptor, "alreadyExists");
      return { descriptor, known, file: undefined };
    }
    const file =
      downloads.get(descriptor.digest) ??
      queue.add(() => downloadLayer(client, descriptor, folder, { reference, onEvent, signal }));
    downloads.set(descriptor.digest, file);
    tell(descriptor, "pullingFsLayer");
    // A layer below may fail first; then nobody waits for this one.
    file.catch((error: unknown) => failed.abort(error));
    return { descriptor, known, file };
  });
  for (const { descriptor, file } of tasks.filter((task) => task.file !== undefined).slice(jobs))
    if (file !== undefined) tell(descriptor, "waiting");

  const chain: LayerId[] = [];
  try {
    for (const [i, { descriptor, known, file }] of tasks.entries()) {
      const diffId = diffIds[i] as DiffId;
      let id = known ?? store.layers.findByDiffId(diffId);
      if (id === undefined && file !== undefined) {
        const blob = { file: await file, descriptor, diffId };
        tell(descriptor, "extracting");
        id = await store.layers.addBlob(blob, chain, signal);
      }
      if (id === undefined) throw new Error(`layer ${blobDigestOf(diffId)} was neither known nor downloaded`);
      lease.addLayers([id]);
      chain.push(id);
      if (file !== undefined) tell(descriptor, "pullComplete");
    }
    return chain;
  } catch (error) {
    failed.abort(error);
    // The first failure is the reason; the others only follow from it.
    throw options.signal.aborted ? options.signal.reason : spaceExplained(store.root, failed.signal.reason);
  } finally {
    await Promise.allSettled(downloads.values());
  }
}

async function downloadLayer(
  client: RegistryClient,
  descriptor: Descriptor,
  folder: TemporaryFolder,
  { reference, onEvent, signal }: Pick<FetchOptions, "reference" | "onEvent" | "signal">,
): Promise<string> {
  signal.throwIfAborted();
  const file = join(folder.path, hexOf(descriptor.digest));
  const layer = labelOf(descriptor.digest);
  const totalBytes = descriptor.size;
  await wordsFor(reference, () =>
    client.downloadBlob(reference.path, descriptor, {
      file,
      onProgress: (doneBytes) => onEvent({ kind: "layerProgress", layer, doing: "downloading", doneBytes, totalBytes }),
      signal,
    }),
  );
  onEvent({ kind: "layerState", layer, state: { kind: "downloadComplete" } });
  return file;
}

/** Docker's words for what a registry refuses to a pull. */
async function wordsFor<T>(reference: Reference, ask: () => Promise<T>): Promise<T> {
  try {
    return await ask();
  } catch (error) {
    if (!(error instanceof RefusedRequest)) throw error;
    const { code, status } = error.answer;
    if (code === "DENIED" || code === "UNAUTHORIZED" || status === 401 || status === 403)
      throw pullDenied(reference, error.answer);
    if (code === "NAME_UNKNOWN") throw repositoryNotFound(reference, error.answer);
    if (code === "MANIFEST_UNKNOWN" || status === 404) throw manifestNotFound(reference, error.answer);
    throw error;
  }
}

function labelOf(digest: Digest): string {
  return hexOf(digest).slice(0, 12);
}

function tagOnly({ digest: _, ...reference }: Reference): Reference {
  return reference;
}
