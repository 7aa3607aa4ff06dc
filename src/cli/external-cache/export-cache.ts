/** `--cache-to`: records of a build and their layers into a registry or an OCI layout. Nothing is run again. */
import { mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { dirname } from "node:path";
import { folderSink } from "../../archive/archive-sink.ts";
import { layoutFile } from "../../archive/save-documents.ts";
import { assertNever, errnoOf } from "../../errors.ts";
import {
  cacheConfigType,
  type ExternalLayer,
  externalRecords,
  printExternalCache,
} from "../../executor/external-cache.ts";
import type { FinishedTarget } from "../../executor/finished-target.ts";
import type { Descriptor } from "../../oci/descriptor.ts";
import { type CacheKey, type Digest, hexOf } from "../../oci/digest.ts";
import { indentedJson } from "../../oci/image-config-json.ts";
import type { Manifest } from "../../oci/manifest.ts";
import { dockerLayerType, mediaTypes } from "../../oci/media-types.ts";
import { parseImageIndex } from "../../oci/parse-manifest.ts";
import { familiarReference } from "../../oci/reference.ts";
import { storedIndex, storedManifest } from "../../oci/stored-documents.ts";
import { openRegistry } from "../../registry/open-registry.ts";
import { pushDocument } from "../../registry/push-document.ts";
import { packedLayer } from "../../store/packed-layer.ts";
import type { Store } from "../../store/store.ts";
import { checkLayoutFolder } from "../archive-file.ts";
import type { CommandContext } from "../command.ts";
import { registryAccess } from "../registry-flags.ts";
import type { CacheTarget } from "./cache-spec.ts";

type ExportTarget = Exclude<CacheTarget, { readonly kind: "inline" }>;

export interface ExportPlace {
  readonly store: Store;
  readonly context: CommandContext;
  readonly onNote: (text: string) => void;
}

export interface ExportedBuild {
  readonly targets: readonly FinishedTarget[];
  /** Of all steps. */
  readonly keys: readonly CacheKey[];
}

/** @throws {TsbuildError} unless the target ignores errors */
export async function exportCache(built: ExportedBuild, target: ExportTarget, place: ExportPlace): Promise<void> {
  const title = target.kind === "registry" ? familiarReference(target.reference) : target.folder;
  try {
    place.onNote(`exporting cache to ${title}`);
    await write(built, target, place);
  } catch (error) {
    if (!target.ignoreError || place.context.signal.aborted) throw error;
    place.onNote(`warning: the cache was not exported to ${title}: ${error instanceof Error ? error.message : error}`);
  }
}

async function write({ targets, keys }: ExportedBuild, target: ExportTarget, place: ExportPlace): Promise<void> {
  const { store, context } = place;
  const result = [...new Set(targets.flatMap(({ chain }) => chain))];
  const all = externalRecords(store, keys, undefined);
  const kept = all.records.filter(({ layer }) => {
    const id = all.layers[layer];
    return target.mode === "max" || (id !== undefined && result.includes(id));
  });
  const used = [...new Set(kept.map(({ layer }) => layer))].sort((a, b) => a - b);
  const layers: ExternalLayer[] = [];
  for (const at of used) {
    const id = all.layers[at];
    if (id === undefined) continue;
    const descriptor = await packedLayer(store, id, target.packing, context.signal);
    layers.push({ descriptor, diffId: store.layers.get(id).diffId });
  }
  const records = kept.map((record) => ({ ...record, layer: used.indexOf(record.layer) }));
  const config = printExternalCache(records, layers);
  const document = documentOver(
    layers.map(({ descriptor }) => descriptor),
    { mediaType: cacheConfigType, digest: store.blobs.write(config), size: config.length },
    target.form,
  );
  const { raw, mediaType } = document;
  const digest = store.blobs.write(raw);
  switch (target.kind) {
    case "registry": {
      const { domain, path, tag = "latest" } = target.reference;
      await using client = await openRegistry(domain, path, registryAccess({ insecure: target.insecure }, context));
      await pushDocument(client, {
        store,
        repository: path,
        name: tag,
        raw,
        digest,
        mediaType,
        jobs: 4,
        onEvent: () => undefined,
        signal: context.signal,
      });
      return;
    }
    case "local":
      await intoLayout(target, { mediaType, digest, size: raw.length }, store);
      return;
    default:
      assertNever(target);
  }
}

interface CacheDocument {
  readonly raw: Buffer;
  readonly mediaType: string;
}

/** In an index the config is the last entry. Source: BuildKit, cache/remotecache/export.go. */
function documentOver(layers: readonly Descriptor[], config: Descriptor, form: ExportTarget["form"]): CacheDocument {
  const schemaVersion = 2;
  switch (form) {
    case "manifest": {
      const mediaType = mediaTypes.ociManifest;
      return { raw: indentedJson({ schemaVersion, mediaType, config, layers }), mediaType };
    }
    case "index": {
      const mediaType = mediaTypes.ociIndex;
      return { raw: indentedJson({ schemaVersion, mediaType, manifests: [...layers, config] }), mediaType };
    }
    case "dockerList": {
      const mediaType = mediaTypes.dockerList;
      const docker = layers.map((layer) => ({ ...layer, mediaType: dockerLayerType(layer.mediaType) }));
      return { raw: indentedJson({ schemaVersion, mediaType, manifests: [...docker, config] }), mediaType };
    }
    default:
      return assertNever(form);
  }
}

const tagKey = "org.opencontainers.image.ref.name";

async function intoLayout(
  { folder, tag, reset }: Extract<ExportTarget, { readonly kind: "local" }>,
  descriptor: Descriptor,
  store: Store,
): Promise<void> {
  checkLayoutFolder(folder);
  mkdirSync(dirname(folder), { recursive: true });
  const others = reset ? [] : layoutManifests(folder).filter(({ annotations }) => annotations?.[tagKey] !== tag);
  const sink = folderSink(folder);
  await sink.bytes("oci-layout", layoutFile);
  await sink.folder("blobs");
  await sink.folder("blobs/sha256");
  const raw = store.blobs.read(descriptor.digest);
  const entries =
    descriptor.mediaType === mediaTypes.ociManifest ? blobsOf(storedManifest(raw)) : storedIndex(raw).manifests;
  const digests = new Set<Digest>([descriptor.digest, ...entries.map(({ digest }) => digest)]);
  const present = new Set(readdirSync(`${folder}/blobs/sha256`));
  for (const digest of digests)
    if (!present.has(hexOf(digest)))
      await sink.copyFile(`blobs/sha256/${hexOf(digest)}`, store.blobs.path(digest), store.blobs.size(digest) ?? 0);
  const manifests = [...others, { ...descriptor, annotations: { [tagKey]: tag } }];
  await sink.bytes(
    "index.json",
    Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests })),
  );
  if (reset)
    for (const hex of present) if (!digests.has(`sha256:${hex}` as Digest)) rmSync(`${folder}/blobs/sha256/${hex}`);
}

function blobsOf({ config, layers }: Manifest): readonly Descriptor[] {
  return [config, ...layers];
}

function layoutManifests(folder: string): readonly Descriptor[] {
  try {
    return parseImageIndex(readFileSync(`${folder}/index.json`), "index.json").manifests;
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return [];
    throw error;
  }
}
