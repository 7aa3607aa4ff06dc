/** A manifest, or an index and all its manifests, store → registry: bit for bit, so that digests are the same wherever it lies. */
import PQueue from "p-queue";
import type { Descriptor } from "../oci/descriptor.ts";
import { type Digest, hexOf } from "../oci/digest.ts";
import { isNondistributable, mediaTypes } from "../oci/media-types.ts";
import { storedIndex, storedManifest } from "../oci/stored-documents.ts";
import type { Store } from "../store/store.ts";
import type { RegistryClient } from "./client.ts";
import type { TransferEvent } from "./transfer-event.ts";

export interface DocumentPush {
  readonly store: Store;
  /** Path of the repository. */
  readonly repository: string;
  /** Tag, or the document's digest. */
  readonly name: string;
  readonly raw: Buffer;
  readonly digest: Digest;
  readonly mediaType: string;
  readonly jobs: number;
  readonly onEvent: (event: TransferEvent) => void;
  readonly signal: AbortSignal;
}

/**
 * What the manifest or index names goes first, and its own name last: nobody sees half of it. A layer that is not to be
 * handed on is named and does not go along. As in BuildKit, util/push.
 */
export async function pushDocument(client: RegistryClient, push: DocumentPush): Promise<void> {
  const { store, repository, name, raw, digest, mediaType, signal } = push;
  const isIndex = mediaType === mediaTypes.ociIndex || mediaType === mediaTypes.dockerList;
  const entries = isIndex ? storedIndex(raw).manifests : [];
  const inner = entries.filter(isManifest).map((each) => ({ ...each, raw: store.blobs.read(each.digest) }));
  const blobs = new Map<Digest, Descriptor>();
  // A cache's index names its layers themselves.
  for (const entry of entries) if (!isManifest(entry)) blobs.set(entry.digest, entry);
  for (const document of isIndex ? inner : [{ raw }]) {
    const { config, layers } = storedManifest(document.raw);
    for (const blob of [config, ...layers]) if (!isNondistributable(blob.mediaType)) blobs.set(blob.digest, blob);
  }
  await pushBlobs(client, [...blobs.values()], push);
  for (const manifest of inner) await client.putManifest(repository, manifest.digest, manifest, signal);
  await client.putManifest(repository, name, { raw, mediaType, digest }, signal);
}

function isManifest({ mediaType }: Descriptor): boolean {
  return mediaType === mediaTypes.ociManifest || mediaType === mediaTypes.dockerManifest;
}

async function pushBlobs(client: RegistryClient, blobs: readonly Descriptor[], push: DocumentPush): Promise<void> {
  const { store, repository, jobs, onEvent } = push;
  const failed = new AbortController();
  const signal = AbortSignal.any([push.signal, failed.signal]);
  const queue = new PQueue({ concurrency: jobs });
  const pushes = blobs.map((blob) =>
    queue.add(async () => {
      signal.throwIfAborted();
      const layer = hexOf(blob.digest).slice(0, 12);
      if (await client.hasBlob(repository, blob.digest, signal)) {
        onEvent({ kind: "layerState", layer, state: { kind: "layerAlreadyExists" } });
        return;
      }
      await client.uploadBlob(repository, blob, {
        source: { file: store.blobs.path(blob.digest) },
        onProgress: (doneBytes) =>
          onEvent({ kind: "layerProgress", layer, doing: "pushing", doneBytes, totalBytes: blob.size }),
        signal,
      });
      onEvent({ kind: "layerState", layer, state: { kind: "pushed" } });
    }),
  );
  for (const each of pushes) each.catch((error: unknown) => failed.abort(error));
  await Promise.allSettled(pushes);
  if (push.signal.aborted) throw push.signal.reason;
  if (failed.signal.aborted) throw failed.signal.reason;
}
