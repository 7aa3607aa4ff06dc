/**
 * Records of the cache as a document that travels: beside layers in a registry or an OCI layout, or inside an image's
 * config. Its shape is BuildKit's cache config, so that others can list what is in it; the keys are ours.
 * Source: BuildKit, cache/remotecache/v1/types/spec.go.
 */
import { z } from "zod";
import { TsbuildError } from "../errors.ts";
import type { Descriptor } from "../oci/descriptor.ts";
import {
  type CacheKey,
  type ContentDigest,
  cacheKeyOf,
  contentDigestOf,
  type DiffId,
  type Digest,
  diffIdOf,
  isDigest,
} from "../oci/digest.ts";
import type { LayerId, Store } from "../store/store.ts";

export const cacheConfigType = "application/vnd.buildkit.cacheconfig.v0";

/** A step that was done elsewhere, and where its layer is. */
export interface ExternalRecord {
  readonly key: CacheKey;
  readonly definition: Digest;
  /** Index among the layers that lie beside the document. */
  readonly layer: number;
  /** Of that layer: what steps above it are keyed by, without fetching it. Older documents do not tell. */
  readonly content: ContentDigest | undefined;
  /** When the layer was first built. */
  readonly created: Date;
  readonly durationMs: number;
}

/** What an import offers to a build. Nothing is fetched before a step hits. */
export interface ExternalCache {
  readonly title: string;
  hasDefinition(definition: Digest): boolean;
  find(key: CacheKey): ExternalRecord | undefined;
  /** The record's layer, in the store, on `parents`. @throws whatever reading it from elsewhere throws */
  fetch(record: ExternalRecord, parents: readonly LayerId[], signal: AbortSignal): Promise<LayerId>;
}

/** An exported layer. */
export interface ExternalLayer {
  readonly descriptor: Descriptor;
  readonly diffId: DiffId;
}

export interface ExternalRecords {
  readonly layers: readonly LayerId[];
  readonly records: readonly ExternalRecord[];
}

/** The records of these keys; `only`: those whose layer is among these, which are then all the layers, in order. */
export function externalRecords(
  store: Store,
  keys: readonly CacheKey[],
  only: readonly LayerId[] | undefined,
): ExternalRecords {
  const layers: LayerId[] = [...(only ?? [])];
  const records: ExternalRecord[] = [];
  for (const key of new Set(keys)) {
    const record = store.cache.find(key);
    if (record === undefined) continue;
    let layer = layers.indexOf(record.layer);
    if (layer < 0) {
      if (only !== undefined) continue;
      layer = layers.push(record.layer) - 1;
    }
    const { created, contentDigest: content } = store.layers.get(record.layer);
    records.push({ key, definition: record.definition, layer, content, created, durationMs: record.durationMs });
  }
  return { layers, records: records.sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0)) };
}

/** The document. Inside an image's config its layers are the image's own and are not listed. */
export function printExternalCache(
  records: readonly ExternalRecord[],
  layers: readonly ExternalLayer[] | undefined,
): Buffer {
  const document = {
    layers: layers?.map(({ descriptor, diffId }) => ({
      blob: descriptor.digest,
      annotations: { mediaType: descriptor.mediaType, diffID: diffId, size: descriptor.size },
    })),
    records: records.map(({ key, definition, layer, content, created, durationMs }) => ({
      layers: [{ layer, createdAt: created.toISOString() }],
      digest: key,
      definition,
      content,
      durationMs,
    })),
    format: "tsbuild.v1",
  };
  return Buffer.from(JSON.stringify(document));
}

const digest = z.string().refine(isDigest, "is not a digest");
const schema = z.object({
  format: z.literal("tsbuild.v1"),
  layers: z.exactOptional(
    z.array(
      z.object({
        blob: digest,
        annotations: z.object({ mediaType: z.string(), diffID: digest, size: z.int().nonnegative() }),
      }),
    ),
  ),
  records: z.array(
    z.object({
      layers: z.tuple([z.object({ layer: z.int().nonnegative(), createdAt: z.iso.datetime() })]),
      digest,
      definition: digest,
      content: z.exactOptional(digest),
      durationMs: z.number(),
    }),
  ),
});

export interface ParsedExternalCache {
  readonly records: readonly ExternalRecord[];
  /** Undefined for one inside an image. */
  readonly layers: readonly ExternalLayer[] | undefined;
}

/** @throws {TsbuildError} `INVALID_CONFIG` for what another builder wrote, too */
export function parseExternalCache(raw: Uint8Array): ParsedExternalCache {
  let json: unknown;
  try {
    json = JSON.parse(Buffer.from(raw).toString("utf8"));
  } catch {
    throw notACache("it is not JSON");
  }
  const result = schema.safeParse(json);
  if (!result.success) throw notACache("it was not written by tsbuild");
  const { layers, records } = result.data;
  return {
    layers: layers?.map(({ blob, annotations: { mediaType, size, diffID } }) => ({
      descriptor: { mediaType, digest: blob, size },
      diffId: diffIdOf(diffID),
    })),
    records: records.map((record) => ({
      key: cacheKeyOf(record.digest),
      definition: record.definition,
      layer: record.layers[0].layer,
      content: record.content === undefined ? undefined : contentDigestOf(record.content),
      created: new Date(record.layers[0].createdAt),
      durationMs: record.durationMs,
    })),
  };
}

function notACache(why: string): TsbuildError {
  return new TsbuildError({ code: "INVALID_CONFIG", what: `no cache to import: ${why}` });
}
