/**
 * A layer as a blob of this store, packed as a manifest wants it. Compressing the same layer again makes the same bytes,
 * so what came out last time need not be computed to be named. The blobs that were used last stay, up to a limit.
 */
import { join } from "node:path";
import type { Descriptor } from "../oci/descriptor.ts";
import { blobDigestOf, hexOf, isDigest } from "../oci/digest.ts";
import {
  type Compression,
  compressionOf,
  isNondistributable,
  mediaTypes,
  nondistributableType,
  ociLayerType,
} from "../oci/media-types.ts";
import { compressedForms } from "./collect.ts";
import { tocDigestAnnotation, uncompressedSizeAnnotation } from "./estargz.ts";
import type { LayerId, LayerRecord, Store } from "./store.ts";

export interface Packing {
  readonly compression: Compression;
  /** Undefined: the compressor's usual one. */
  readonly level?: number | undefined;
  /** Also layers that came from elsewhere packed otherwise. */
  readonly force: boolean;
  /** A layer that is not to be handed on is described as such, with the places that have it. */
  readonly keepNondistributable?: boolean;
}

/** The layer's descriptor, with OCI media types; its blob is in the store. @throws {TsbuildError} `NO_SPACE` */
export async function packedLayer(
  store: Store,
  id: LayerId,
  { compression, level, force, keepNondistributable }: Packing,
  signal: AbortSignal,
): Promise<Descriptor> {
  const record = store.layers.get(id);
  const { blob, diffId } = record;
  const arrived = blob === undefined ? undefined : compressionOf(blob.mediaType);
  // Uncompressed blobs are of imports and of docker's archives: nobody chose that.
  const suits = arrived === compression || (!force && arrived !== "none");
  if (blob !== undefined && suits && store.blobs.hold(blob.digest)) {
    const { mediaType, digest, size, urls } = blob;
    const described = { digest, size, ...formatAnnotations(blob) };
    return keepNondistributable && isNondistributable(mediaType)
      ? { mediaType: nondistributableType(mediaType, "oci"), ...described, ...(urls !== undefined && { urls }) }
      : { mediaType: ociLayerType(mediaType), ...described };
  }
  if (compression === "none") {
    using folder = store.temporaryFolder("pack");
    const file = join(folder.path, hexOf(diffId));
    const digest = blobDigestOf(diffId);
    if (!store.blobs.hold(digest)) {
      await store.layers.writeTar(id, file, signal);
      store.blobs.adopt(file, digest);
    }
    return { mediaType: mediaTypes.ociLayer, digest, size: record.sizeBytes };
  }
  const known = recallCompressed(store, record, compression, level);
  if (known !== undefined && store.blobs.hold(known.digest)) {
    // What is used last is kept longest.
    rememberCompressed(store, record, compression, known, level);
    return known;
  }
  using folder = store.temporaryFolder("pack");
  const file = join(folder.path, hexOf(diffId));
  const made = await store.layers.writeCompressed(id, file, compression, signal, level === undefined ? {} : { level });
  store.blobs.adopt(file, made.digest);
  rememberCompressed(store, record, compression, made, level);
  return made;
}

/** What its reader needs to know of an eStargz blob. */
function formatAnnotations({ annotations = {} }: Descriptor): Pick<Descriptor, "annotations"> {
  const kept = [tocDigestAnnotation, uncompressedSizeAnnotation].flatMap((key) => {
    const value = annotations[key];
    return value === undefined ? [] : [[key, value] as const];
  });
  return kept.length === 0 ? {} : { annotations: Object.fromEntries(kept) };
}

export function rememberCompressed(
  store: Store,
  record: LayerRecord,
  kind: "gzip" | "zstd",
  { digest, size }: Descriptor,
  level?: number,
): void {
  store.memo.set(memoName(record, kind, level), Buffer.from(`${digest} ${size}`));
}

export function recallCompressed(
  store: Store,
  record: LayerRecord,
  kind: "gzip" | "zstd",
  level?: number,
): Descriptor | undefined {
  const [digest = "", size] = (store.memo.get(memoName(record, kind, level))?.toString() ?? "").split(" ");
  const mediaType = kind === "gzip" ? mediaTypes.ociLayerGzip : mediaTypes.ociLayerZstd;
  return isDigest(digest) ? { mediaType, digest, size: Number(size) } : undefined;
}

function memoName({ diffId }: LayerRecord, kind: "gzip" | "zstd", level: number | undefined): string {
  return `${compressedForms}${kind}${level === undefined ? "" : `-${level}`} ${diffId}`;
}
