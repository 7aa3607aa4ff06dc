/** An index and all its manifests, store → registry: bit for bit, so that digests are the same wherever it lies. */
import PQueue from "p-queue";
import type { Descriptor } from "../oci/descriptor.ts";
import { type Digest, hexOf } from "../oci/digest.ts";
import { mediaTypes } from "../oci/media-types.ts";
import { storedIndex, storedManifest } from "../oci/stored-documents.ts";
import type { Store } from "../store/store.ts";
import type { RegistryClient } from "./client.ts";
import type { TransferEvent } from "./transfer-event.ts";

export interface IndexPush {
  readonly store: Store;
  /** Path of the repository. */
  readonly repository: string;
  /** Tag, or the index's digest. */
  readonly name: string;
  readonly raw: Buffer;
  readonly digest: Digest;
  readonly jobs: number;
  readonly onEvent: (event: TransferEvent) => void;
  readonly signal: AbortSignal;
}

/** What the index names goes first, and its name last: nobody sees half of it. */
export async function pushIndex(client: RegistryClient, push: IndexPush): Promise<void> {
  const { store, repository, name, raw, digest, signal } = push;
  const index = storedIndex(raw);
  const manifests = index.manifests.map(({ digest: inner, mediaType }) => {
    const bytes = store.blobs.read(inner);
    return { digest: inner, mediaType, raw: bytes, value: storedManifest(bytes) };
  });
  const blobs = new Map<Digest, Descriptor>();
  for (const { value } of manifests) for (const blob of [value.config, ...value.layers]) blobs.set(blob.digest, blob);
  await pushBlobs(client, [...blobs.values()], push);
  for (const manifest of manifests) await client.putManifest(repository, manifest.digest, manifest, signal);
  await client.putManifest(
    repository,
    name,
    { raw, mediaType: index.mediaType ?? mediaTypes.ociIndex, digest },
    signal,
  );
}

async function pushBlobs(client: RegistryClient, blobs: readonly Descriptor[], push: IndexPush): Promise<void> {
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
