/**
 * Manifests and indexes of the store as an OCI layout, with all they name, bit for bit. For docker also with the file
 * that `docker load` reads. Source: image-spec, image-layout.md; BuildKit, exporter/oci/export.go.
 */
import type { Descriptor } from "../oci/descriptor.ts";
import { type Digest, hexOf } from "../oci/digest.ts";
import { mediaTypes } from "../oci/media-types.ts";
import { canonicalReference, familiarReference, type Reference } from "../oci/reference.ts";
import { storedManifest } from "../oci/stored-documents.ts";
import { blobsOfDocument } from "../store/indexes.ts";
import type { Store } from "../store/store.ts";
import type { ArchiveSink } from "./archive-sink.ts";

export interface SavedDocument {
  /** A manifest or an index. */
  readonly descriptor: Descriptor;
  readonly references: readonly Reference[];
  /** RFC 3339, for the layout's index. */
  readonly created?: string | undefined;
}

export interface SaveDocumentsOptions {
  readonly store: Store;
  readonly documents: readonly SavedDocument[];
  /** With `manifest.json`; its documents are manifests then. */
  readonly forDocker: boolean;
  readonly sink: ArchiveSink;
  readonly signal: AbortSignal;
}

export const layoutFile: Buffer = Buffer.from('{"imageLayoutVersion":"1.0.0"}');

/** All its blobs are in the store. @throws {TsbuildError} `STORE_CORRUPT`, `NO_SPACE` */
export async function saveDocuments({
  store,
  documents,
  forDocker,
  sink,
  signal,
}: SaveDocumentsOptions): Promise<void> {
  const { blobs } = store;
  const read = (digest: Digest): Buffer => blobs.read(digest);
  const digests = new Set(documents.flatMap(({ descriptor }) => blobsOfDocument(descriptor, read)));
  await sink.folder("blobs");
  await sink.folder("blobs/sha256");
  for (const digest of [...digests].sort()) {
    signal.throwIfAborted();
    await sink.copyFile(blobName(digest), blobs.path(digest), blobs.size(digest) ?? blobs.read(digest).length);
  }
  await sink.bytes("index.json", printLayoutIndex(documents));
  if (forDocker)
    await sink.bytes("manifest.json", Buffer.from(JSON.stringify(documents.map((each) => dockerEntry(each, read)))));
  await sink.bytes("oci-layout", layoutFile);
  await sink.end();
}

function printLayoutIndex(documents: readonly SavedDocument[]): Buffer {
  const manifests = documents.flatMap(({ descriptor, references, created }) => {
    const { annotations: own, platform, ...rest } = descriptor;
    const time = created === undefined ? {} : { "org.opencontainers.image.created": created };
    const names =
      references.length === 0
        ? [{}]
        : references.map((reference) => ({
            "io.containerd.image.name": canonicalReference(reference),
            "org.opencontainers.image.ref.name": reference.tag ?? "latest",
          }));
    return names.map((name) => {
      const annotations = { ...own, ...name, ...time };
      return {
        ...rest,
        ...(Object.keys(annotations).length > 0 && { annotations }),
        ...(platform !== undefined && { platform }),
      };
    });
  });
  return Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests }));
}

function dockerEntry({ descriptor, references }: SavedDocument, read: (digest: Digest) => Buffer): unknown {
  const { config, layers } = storedManifest(read(descriptor.digest));
  return {
    Config: blobName(config.digest),
    RepoTags: references.length === 0 ? null : references.map(familiarReference),
    Layers: layers.map(({ digest }) => blobName(digest)),
  };
}

function blobName(digest: Digest): string {
  return `blobs/${digest.slice(0, digest.indexOf(":"))}/${hexOf(digest)}`;
}
