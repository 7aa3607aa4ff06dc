/**
 * Names that stand for an index: images of several platforms, or one with its attestations. The index and the manifests
 * it names are blobs; its images are ordinary images, held by its name.
 */
import type { Descriptor } from "../oci/descriptor.ts";
import type { Digest, ImageId } from "../oci/digest.ts";
import type { ImageIndex } from "../oci/manifest.ts";
import { mediaTypes } from "../oci/media-types.ts";
import { canonicalReference, parseReference, type Reference } from "../oci/reference.ts";
import { soundOrUndefined, storedIndex, storedManifest } from "../oci/stored-documents.ts";
import { storeCorrupt } from "./errors.ts";
import type { BlobStore } from "./store.ts";
import type { StoreContext } from "./store-context.ts";

export interface IndexRows {
  readonly tag: (reference: Reference, raw: Uint8Array, images: readonly ImageId[]) => Digest;
  readonly find: (reference: Reference) => FoundIndex | undefined;
  /** Names of the indexes that this image is part of. */
  readonly referencesOf: (image: ImageId) => readonly Reference[];
  /** Indexes that no name stands for hold their images no longer. */
  readonly dropUnnamed: () => void;
  /** This image goes: names of indexes it was part of stand for one image again. */
  readonly forget: (image: ImageId) => void;
}

interface FoundIndex {
  readonly digest: Digest;
  readonly raw: Buffer;
  readonly value: ImageIndex;
  readonly images: readonly ImageId[];
}

export function indexStore(context: StoreContext, blobs: BlobStore): IndexRows {
  const { db } = context;
  const dropUnnamed = (): void => {
    db.run("DELETE FROM index_images WHERE target NOT IN (SELECT target FROM refs WHERE target IS NOT NULL)");
  };
  return {
    tag(reference, raw, images) {
      const digest = blobs.write(raw);
      const [first] = images;
      if (first === undefined) throw new Error("an index without images");
      const { tag = "latest", digest: _, ...repository } = reference;
      db.transaction(() => {
        for (const image of images)
          db.run("INSERT OR IGNORE INTO index_images (target, image) VALUES (?, ?)", digest, image);
        db.run(
          "INSERT OR REPLACE INTO refs (name, tag, image, target) VALUES (?, ?, ?, ?)",
          canonicalReference(repository),
          tag,
          first,
          digest,
        );
        db.run("UPDATE images SET last_tagged_ms = ? WHERE id = ?", Date.now(), first);
        dropUnnamed();
        context.releaseBlob(digest);
      });
      return digest;
    },
    find({ tag = "latest", digest: byDigest, ...repository }) {
      if (byDigest !== undefined) return undefined;
      const name = canonicalReference(repository);
      const target = db.get("SELECT target FROM refs WHERE name = ? AND tag = ?", name, tag)?.["target"];
      if (typeof target !== "string") return undefined;
      const digest = target as Digest;
      const raw = blobs.read(digest);
      const value = soundOrUndefined(() => storedIndex(raw));
      if (value === undefined) throw storeCorrupt(`the index ${digest} is damaged`, blobs.path(digest));
      const here = new Set(
        db.all("SELECT image FROM index_images WHERE target = ?", digest).map((row) => row["image"] as ImageId),
      );
      const images = value.manifests
        .map((manifest) => configOf(blobs, manifest.digest))
        .filter((image) => image !== undefined && here.has(image)) as readonly ImageId[];
      return { digest, raw, value, images };
    },
    referencesOf: (image) =>
      db
        .all(
          "SELECT DISTINCT name, tag FROM refs JOIN index_images USING (target) WHERE index_images.image = ? ORDER BY name, tag",
          image,
        )
        .map((row) => parseReference(`${row["name"]}:${row["tag"]}`)),
    dropUnnamed,
    forget(image) {
      db.run("UPDATE refs SET target = NULL WHERE target IN (SELECT target FROM index_images WHERE image = ?)", image);
      db.run("DELETE FROM index_images WHERE image = ?", image);
      dropUnnamed();
    },
  };
}

/** The image that a manifest of the index describes. */
function configOf(blobs: BlobStore, manifest: Digest): ImageId | undefined {
  if (!blobs.has(manifest)) return undefined;
  return soundOrUndefined(() => storedManifest(blobs.read(manifest)))?.config.digest as string | undefined as
    | ImageId
    | undefined;
}

/** All blobs that a manifest or an index reaches, itself first. What cannot be read reaches nothing. */
export function blobsOfDocument(
  { digest, mediaType }: Pick<Descriptor, "digest" | "mediaType">,
  read: (digest: Digest) => Buffer | undefined,
): readonly Digest[] {
  const raw = read(digest);
  if (raw === undefined) return [digest];
  if (mediaType === mediaTypes.ociIndex || mediaType === mediaTypes.dockerList) {
    const manifests = soundOrUndefined(() => storedIndex(raw))?.manifests ?? [];
    return [digest, ...manifests.flatMap((manifest) => blobsOfDocument(manifest, read))];
  }
  const manifest = soundOrUndefined(() => storedManifest(raw));
  if (manifest === undefined) return [digest];
  return [digest, manifest.config.digest, ...manifest.layers.map((layer) => layer.digest)];
}
