/**
 * From finished targets to the documents a registry or layout holds: a manifest for each image, an index over several.
 * Their bytes are BuildKit's: Go's JSON, two blanks deep. Source: image-spec, manifest.md and image-index.md; BuildKit,
 * exporter/containerimage/writer.go.
 */
import type { Descriptor } from "../oci/descriptor.ts";
import { blobDigestOf, sha256 } from "../oci/digest.ts";
import { indentedJson } from "../oci/image-config-json.ts";
import { dockerLayerType, mediaTypes } from "../oci/media-types.ts";
import { formatPlatform, type Platform } from "../oci/platform.ts";
import { type Packing, packedLayer } from "../store/packed-layer.ts";
import type { Store } from "../store/store.ts";
import type { FinishedTarget } from "./finished-target.ts";

/** Which document or descriptor an annotation stands on. */
export type AnnotationPlace = "manifest" | "manifest-descriptor" | "index" | "index-descriptor";

export interface Annotation {
  readonly place: AnnotationPlace;
  /** Undefined: on each image's. */
  readonly platform: Platform | undefined;
  readonly key: string;
  readonly value: string;
}

export interface ManifestSettings {
  readonly packing: Packing;
  /** False: Docker's own. */
  readonly ociMediaTypes: boolean;
  readonly annotations: readonly Annotation[];
}

/** A document that is a blob of the store. */
export interface Document {
  readonly raw: Buffer;
  readonly descriptor: Descriptor;
}

/** The manifest of one target; its layers are packed, and all is in the store. @throws {TsbuildError} `NO_SPACE` */
export async function writeManifest(
  store: Store,
  target: FinishedTarget,
  { packing, ociMediaTypes, annotations }: ManifestSettings,
  signal: AbortSignal,
): Promise<Document> {
  const layers: Descriptor[] = [];
  for (const layer of target.chain) layers.push(await packedLayer(store, layer, packing, signal));
  store.blobs.write(target.configBytes);
  const raw = indentedJson({
    schemaVersion: 2,
    mediaType: ociMediaTypes ? mediaTypes.ociManifest : mediaTypes.dockerManifest,
    config: {
      mediaType: ociMediaTypes ? mediaTypes.ociConfig : mediaTypes.dockerConfig,
      digest: blobDigestOf(target.id),
      size: target.configBytes.length,
    },
    layers: ociMediaTypes ? layers : layers.map((layer) => ({ ...layer, mediaType: dockerLayerType(layer.mediaType) })),
    annotations: annotationsOf(annotations, "manifest", target.platform),
  });
  store.blobs.write(raw);
  return {
    raw,
    descriptor: {
      mediaType: ociMediaTypes ? mediaTypes.ociManifest : mediaTypes.dockerManifest,
      digest: sha256(raw),
      size: raw.length,
      ...present("annotations", annotationsOf(annotations, "manifest-descriptor", target.platform)),
      platform: platformOf(target),
    },
  };
}

/** The index over these, in their order. */
export function writeIndex(
  store: Store,
  manifests: readonly Descriptor[],
  { ociMediaTypes, annotations }: Pick<ManifestSettings, "ociMediaTypes" | "annotations">,
): Document {
  const mediaType = ociMediaTypes ? mediaTypes.ociIndex : mediaTypes.dockerList;
  const raw = indentedJson({
    schemaVersion: 2,
    mediaType,
    manifests,
    annotations: annotationsOf(annotations, "index", undefined),
  });
  store.blobs.write(raw);
  return {
    raw,
    descriptor: {
      mediaType,
      digest: sha256(raw),
      size: raw.length,
      ...present("annotations", annotationsOf(annotations, "index-descriptor", undefined)),
    },
  };
}

/** Undefined for none. Keys sorted, as Go prints maps. */
export function annotationsOf(
  annotations: readonly Annotation[],
  place: AnnotationPlace,
  platform: Platform | undefined,
): Readonly<Record<string, string>> | undefined {
  const suits = (annotation: Annotation): boolean =>
    annotation.place === place &&
    (annotation.platform === undefined ||
      (platform !== undefined && formatPlatform(annotation.platform) === formatPlatform(platform)));
  // What names a platform stands over what does not.
  const found = annotations
    .filter(suits)
    .sort((a, b) => Number(a.platform !== undefined) - Number(b.platform !== undefined));
  const pairs = [...new Map(found.map(({ key, value }) => [key, value]))];
  if (pairs.length === 0) return undefined;
  return Object.fromEntries(pairs.sort(([a], [b]) => Buffer.compare(Buffer.from(a), Buffer.from(b))));
}

/** As the image's config says, in the order in which Go writes the fields. */
export function platformOf({ config: { architecture, os, variant } }: FinishedTarget): Platform {
  return variant === undefined ? { architecture, os } : { architecture, os, variant };
}

function present<Key extends string, Value>(key: Key, value: Value | undefined): { readonly [K in Key]?: Value } {
  return value === undefined ? {} : ({ [key]: value } as { readonly [K in Key]: Value });
}
