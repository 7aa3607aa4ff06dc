/** `--cache-from`: records from a registry, a layout, or the config of an image. A source that fails is a warning. */
import { join } from "node:path";
import { openFolder } from "../../archive/archive-files.ts";
import { TsbuildError } from "../../errors.ts";
import {
  cacheConfigType,
  type ExternalCache,
  type ExternalLayer,
  type ExternalRecord,
  parseExternalCache,
} from "../../executor/external-cache.ts";
import type { Descriptor } from "../../oci/descriptor.ts";
import { type Digest, hexOf, isDigest, sha256 } from "../../oci/digest.ts";
import { selectPlatform } from "../../oci/image-index.ts";
import { mediaTypes } from "../../oci/media-types.ts";
import { parseImageConfig } from "../../oci/parse-image-config.ts";
import { parseImageIndex, parseManifest, parseManifestDocument } from "../../oci/parse-manifest.ts";
import type { Platform } from "../../oci/platform.ts";
import { familiarReference, type Reference } from "../../oci/reference.ts";
import { openRegistry } from "../../registry/open-registry.ts";
import type { LayerId, Store } from "../../store/store.ts";
import type { CommandContext } from "../command.ts";
import { registryAccess } from "../registry-flags.ts";
import type { CacheSource } from "./cache-spec.ts";

export interface ImportPlace {
  readonly store: Store;
  readonly context: CommandContext;
  /** Whose image of an index is asked. */
  readonly platform: Platform;
  readonly onNote: (text: string) => void;
}

/** What can be read, in the order of the sources. */
export async function importCaches(
  sources: readonly CacheSource[],
  place: ImportPlace,
): Promise<readonly ExternalCache[]> {
  const opened = await Promise.all(sources.map((source) => importCache(source, place)));
  return opened.filter((cache) => cache !== undefined);
}

async function importCache(source: CacheSource, place: ImportPlace): Promise<ExternalCache | undefined> {
  const title = source.kind === "registry" ? familiarReference(source.reference) : source.folder;
  try {
    const reader = source.kind === "registry" ? registryReader(source, place) : localReader(source);
    return openCache(await readRecords(reader, place), reader, { title, store: place.store });
  } catch (error) {
    if (place.context.signal.aborted) throw error;
    const why = error instanceof TsbuildError ? error.message : String(error);
    place.onNote(`warning: no cache from ${title}: ${why}`);
    return undefined;
  }
}

/** Documents and blobs of one place. */
interface CacheReader {
  readonly title: string;
  manifest(name: string | undefined): Promise<{ readonly raw: Buffer; readonly contentType?: string | undefined }>;
  blob(descriptor: Descriptor): Promise<Buffer>;
  download(descriptor: Descriptor, file: string, signal: AbortSignal): Promise<void>;
}

interface ReadRecords {
  readonly records: readonly ExternalRecord[];
  readonly layers: readonly ExternalLayer[];
}

async function readRecords(reader: CacheReader, { platform }: ImportPlace): Promise<ReadRecords> {
  const top = await reader.manifest(undefined);
  const document = parseManifestDocument(top.raw, reader.title, top.contentType);
  let manifest = document.kind === "manifest" ? document.value : undefined;
  if (document.kind === "index") {
    const config = document.value.manifests.find(({ mediaType }) => mediaType === cacheConfigType);
    if (config !== undefined) return recordsOf(await reader.blob(config));
    const chosen = selectPlatform(document.value, platform);
    if (chosen === undefined)
      throw new TsbuildError({ code: "INVALID_MANIFEST", what: "it has no image for this platform" });
    manifest = parseManifest((await reader.manifest(chosen.digest)).raw, reader.title, chosen.mediaType);
  }
  if (manifest === undefined) throw new Error("a document that is neither manifest nor index");
  const raw = await reader.blob(manifest.config);
  if (manifest.config.mediaType !== mediaTypes.ociConfig && manifest.config.mediaType !== mediaTypes.dockerConfig) {
    return recordsOf(raw);
  }
  const config = parseImageConfig(raw, reader.title);
  const inline = config["moby.buildkit.cache.v0"];
  if (inline === undefined) throw new TsbuildError({ code: "INVALID_CONFIG", what: "the image has no inline cache" });
  const { records } = parseExternalCache(Buffer.from(inline, "base64"));
  const { diff_ids } = config.rootfs;
  const layers = manifest.layers.flatMap((descriptor, at) => {
    const diffId = diff_ids[at];
    return diffId === undefined ? [] : [{ descriptor, diffId }];
  });
  return { records, layers };
}

function recordsOf(raw: Uint8Array): ReadRecords {
  const { records, layers = [] } = parseExternalCache(raw);
  return { records, layers };
}

function openCache(
  { records, layers }: ReadRecords,
  reader: CacheReader,
  { title, store }: { readonly title: string; readonly store: Store },
): ExternalCache {
  const byKey = new Map(records.map((record) => [record.key, record]));
  const definitions = new Set(records.map(({ definition }) => definition));
  return {
    title,
    hasDefinition: (definition) => definitions.has(definition),
    find: (key) => byKey.get(key),
    async fetch({ layer, created }, parents, signal): Promise<LayerId> {
      const found = layers[layer];
      if (found === undefined) throw new TsbuildError({ code: "INVALID_CONFIG", what: `it has no layer ${layer}` });
      const { descriptor, diffId } = found;
      using folder = store.temporaryFolder("cache-from");
      const file = join(folder.path, hexOf(diffId));
      const known = store.layers.findByDiffId(diffId);
      if (known !== undefined) return known;
      await reader.download(descriptor, file, signal);
      return await store.layers.addBlob({ file, descriptor, diffId, created }, parents, signal);
    },
  };
}

function registryReader(
  { reference, insecure }: { readonly reference: Reference; readonly insecure: boolean },
  { context }: ImportPlace,
): CacheReader {
  const { domain, path } = reference;
  const access = registryAccess({ insecure }, context);
  return {
    title: familiarReference(reference),
    async manifest(name) {
      await using client = await openRegistry(domain, path, access);
      return await client.manifest(path, name ?? reference.digest ?? reference.tag ?? "latest", context.signal);
    },
    async blob(descriptor) {
      await using client = await openRegistry(domain, path, access);
      return await client.blob(path, descriptor, context.signal);
    },
    async download(descriptor, file, signal) {
      await using client = await openRegistry(domain, path, access);
      await client.downloadBlob(path, descriptor, { file, onProgress: () => undefined, signal });
    },
  };
}

function localReader({ folder, name }: Extract<CacheSource, { readonly kind: "local" }>): CacheReader {
  const read = (digest: Digest): Buffer => {
    using files = openFolder(folder);
    const bytes = files.read(blobName(digest));
    if (sha256(bytes) !== digest)
      throw new TsbuildError({ code: "ARCHIVE_INVALID", what: `the blob ${digest} is damaged` });
    return bytes;
  };
  return {
    title: folder,
    async manifest(inner) {
      if (inner !== undefined && isDigest(inner)) return { raw: read(inner) };
      const index = (() => {
        using files = openFolder(folder);
        return parseImageIndex(files.read("index.json"), "index.json");
      })();
      const found = index.manifests.find(
        ({ digest, annotations }) => digest === name || annotations?.["org.opencontainers.image.ref.name"] === name,
      );
      if (found === undefined) throw new TsbuildError({ code: "IMAGE_NOT_FOUND", what: `there is no ${name} in it` });
      return { raw: read(found.digest), contentType: found.mediaType };
    },
    blob: async ({ digest }) => read(digest),
    async download({ digest }, file) {
      using files = openFolder(folder);
      files.take(blobName(digest), file);
    },
  };
}

function blobName(digest: Digest): string {
  return `blobs/${digest.slice(0, digest.indexOf(":"))}/${hexOf(digest)}`;
}
