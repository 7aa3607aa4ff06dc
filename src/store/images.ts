/** Images, and the names that point at them. An image is its config; its files are a chain of layers. */
import { renameSync, writeFileSync } from "node:fs";
import { TsbuildError } from "../errors.ts";
import { blobDigestOf, type DiffId, type Digest, hexOf, type ImageId, imageIdOf, sha256 } from "../oci/digest.ts";
import type { ImageConfig } from "../oci/image-config.ts";
import { mediaTypes } from "../oci/media-types.ts";
import { canonicalReference, familiarReference, parseReference, type Reference } from "../oci/reference.ts";
import { soundOrUndefined, storedImageConfig, storedManifest } from "../oci/stored-documents.ts";
import { chainOf, recordChain } from "./chains.ts";
import { collectGarbage } from "./collect.ts";
import type { Row } from "./database.ts";
import { ambiguousImage, configInvalid, digestInTag, imageDamaged, imageNotFound } from "./errors.ts";
import { explainingRoot } from "./explain-root.ts";
import { indexStore } from "./indexes.ts";
import type { BlobStore, Chain, ImageStore, NewImage, StoredImage } from "./store.ts";
import type { StoreContext } from "./store-context.ts";

export function imageStore(context: StoreContext, blobs: BlobStore): ImageStore {
  const { db } = context;
  const indexes = indexStore(context, blobs);

  const get = (id: ImageId): StoredImage | undefined => {
    const row = db.get("SELECT * FROM images WHERE id = ?", id);
    return row === undefined ? undefined : imageOf(row);
  };

  const imageOf = (row: Row): StoredImage => {
    const chain = chainOf(db, Number(row["node"]));
    return { ...documentsOf(row, chain), chain, ...namesOf(row) };
  };

  /** What its files say. @throws {TsbuildError} `STORE_CORRUPT` */
  const documentsOf = (row: Row, chain: Chain): Pick<StoredImage, "config" | "configBytes" | "manifest"> => {
    const id = row["id"] as ImageId;
    try {
      const configBytes = blobs.read(blobDigestOf(id));
      // Validated by whoever added the image.
      const config = storedImageConfig(configBytes);
      if (config.rootfs.diff_ids.length !== chain.length) throw new SyntaxError("its layers are others");
      const manifest = row["manifest"] as Digest | null;
      if (manifest === null) return { config, configBytes, manifest: undefined };
      const raw = blobs.read(manifest);
      return { config, configBytes, manifest: { digest: manifest, raw, value: storedManifest(raw) } };
    } catch (error) {
      const isMissing = error instanceof TsbuildError && error.code === "STORE_CORRUPT";
      if (isMissing || error instanceof SyntaxError) throw imageDamaged(id, error);
      throw error;
    }
  };

  /** What the database says. */
  const namesOf = (row: Row): Omit<StoredImage, "config" | "configBytes" | "manifest" | "chain"> => {
    const id = row["id"] as ImageId;
    return {
      id,
      references: db
        .all("SELECT name, tag FROM refs WHERE image = ? ORDER BY name, tag", id)
        .map((ref) => parseReference(`${ref["name"]}:${ref["tag"]}`)),
      repoDigests: db
        .all("SELECT name, digest FROM repo_digests WHERE image = ? ORDER BY name, digest", id)
        .map((ref) => parseReference(`${ref["name"]}@${ref["digest"]}`)),
      indexReferences: indexes.referencesOf(id),
      sizeBytes: Number(row["size_bytes"]),
      created: dateOf(row["created_ms"]),
      lastTagged: dateOf(row["last_tagged_ms"]),
    };
  };

  const add = ({ config: configBytes, chain, manifest }: NewImage): StoredImage => {
    const id = imageIdOf(sha256(configBytes));
    const config = storedImageConfig(configBytes);
    checkDiffIds(config, diffIdsOf(chain));
    blobs.write(configBytes);
    const created = config.created === undefined ? Number.NaN : Date.parse(config.created);
    db.transaction(() => {
      const node = recordChain(db, chain);
      db.run(
        `INSERT INTO images (id, node, size_bytes, created_ms, added)
         VALUES (?, ?, ?, ?, (SELECT COALESCE(MAX(added), 0) + 1 FROM images)) ON CONFLICT (id) DO NOTHING`,
        id,
        node,
        sizeOf(chain),
        Number.isNaN(created) ? null : created,
      );
      context.releaseBlob(blobDigestOf(id));
    });
    if (manifest !== undefined) recordManifest(id, manifest.reference, manifest.raw);
    return existing(id);
  };

  const diffIdsOf = (chain: Chain): readonly DiffId[] =>
    chain.map((layer) => db.get("SELECT diff_id FROM layers WHERE id = ?", layer)?.["diff_id"] as DiffId);

  const sizeOf = (chain: Chain): number =>
    chain.reduce(
      (sum, layer) => sum + Number(db.get("SELECT size_bytes FROM layers WHERE id = ?", layer)?.["size_bytes"] ?? 0),
      0,
    );

  const existing = (id: ImageId): StoredImage => {
    const image = get(id);
    if (image === undefined) throw imageNotFound(id);
    return image;
  };

  const recordManifest = (image: ImageId, reference: Reference | undefined, raw: Uint8Array): Digest => {
    const digest = blobs.write(raw);
    db.transaction(() => {
      db.run("UPDATE images SET manifest = ?, manifest_size = ? WHERE id = ?", digest, raw.byteLength, image);
      context.releaseBlob(digest);
      if (reference !== undefined) recordRepoDigest(image, reference, digest);
    });
    writeLayoutIndex();
    return digest;
  };

  const recordRepoDigest = (image: ImageId, reference: Reference, digest: Digest): void => {
    db.run(
      "INSERT OR REPLACE INTO repo_digests (name, digest, image) VALUES (?, ?, ?)",
      repositoryOf(reference),
      digest,
      image,
    );
  };

  /** A damaged image is shown by its names and weight. */
  const listed = (row: Row): StoredImage => {
    try {
      return imageOf(row);
    } catch (error) {
      if (!(error instanceof TsbuildError) || error.code !== "STORE_CORRUPT") throw error;
      return {
        config: storedImageConfig(Buffer.from("{}")),
        configBytes: Buffer.alloc(0),
        chain: chainOf(db, Number(row["node"])),
        manifest: undefined,
        ...namesOf(row),
        damage: error,
      };
    }
  };

  const idNamed = ({ tag, digest, ...repository }: Reference): ImageId | undefined => {
    const name = repositoryOf(repository);
    const row =
      digest !== undefined
        ? db.get("SELECT image FROM repo_digests WHERE name = ? AND digest = ?", name, digest)
        : db.get("SELECT image FROM refs WHERE name = ? AND tag = ?", name, tag ?? "latest");
    return row?.["image"] as ImageId | undefined;
  };

  const resolve = (reference: Reference): StoredImage | undefined => {
    const id = idNamed(reference);
    return id === undefined ? undefined : get(id);
  };

  const identify = (text: string): ImageId | undefined => {
    const reference = referenceOrUndefined(text);
    const named = reference === undefined ? undefined : idNamed(reference);
    if (named !== undefined) return named;
    const hex = text.startsWith("sha256:") ? text.slice(7) : text;
    if (!/^[0-9a-f]{1,64}$/.test(hex)) return undefined;
    const rows = db.all("SELECT id FROM images WHERE id >= ? AND id < ? LIMIT 5", `sha256:${hex}`, `sha256:${hex}g`);
    if (rows.length > 1)
      throw ambiguousImage(
        text,
        rows.map((row) => hexOf(row["id"] as ImageId).slice(0, 12)),
      );
    return rows[0]?.["id"] as ImageId | undefined;
  };

  const find = (text: string): StoredImage | undefined => {
    const id = identify(text);
    return id === undefined ? undefined : get(id);
  };

  const notFound = (text: string): TsbuildError => {
    const reference = referenceOrUndefined(text);
    return imageNotFound(reference === undefined ? text : familiarReference(reference));
  };

  const untag = (reference: Reference): boolean => {
    const name = repositoryOf(reference);
    const changes =
      reference.digest !== undefined
        ? db.run("DELETE FROM repo_digests WHERE name = ? AND digest = ?", name, reference.digest)
        : db.run("DELETE FROM refs WHERE name = ? AND tag = ?", name, reference.tag ?? "latest");
    if (changes > 0) indexes.dropUnnamed();
    if (changes > 0) writeLayoutIndex();
    return changes > 0;
  };

  /** `index.json` lists the manifests whose blobs are all here, so that other tools read what we have. */
  const writeLayoutIndex = (): void => {
    db.transaction(() => {
      const manifests = db
        .all("SELECT id, manifest, manifest_size FROM images WHERE manifest IS NOT NULL ORDER BY added")
        .flatMap((row) => layoutDescriptors(row));
      const index = { schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests };
      const staged = context.temporaryPath("index");
      explainingRoot(context.paths.root, () => {
        writeFileSync(staged, JSON.stringify(index), { mode: 0o600, flush: true });
        renameSync(staged, `${context.paths.root}/index.json`);
      });
    });
  };

  const layoutDescriptors = (row: Row): readonly object[] => {
    const digest = row["manifest"] as Digest;
    if (!blobs.has(digest)) return [];
    const manifest = soundOrUndefined(() => storedManifest(blobs.read(digest)));
    if (manifest === undefined || ![manifest.config, ...manifest.layers].every((blob) => blobs.has(blob.digest)))
      return [];
    const descriptor = {
      mediaType: manifest.mediaType ?? mediaTypes.ociManifest,
      digest,
      size: Number(row["manifest_size"]),
    };
    const names = db.all("SELECT name, tag FROM refs WHERE image = ? ORDER BY name, tag", row["id"] as string);
    if (names.length === 0) return [descriptor];
    return names.map(({ name, tag }) => ({
      ...descriptor,
      annotations: { "io.containerd.image.name": `${name}:${tag}`, "org.opencontainers.image.ref.name": String(tag) },
    }));
  };

  return {
    add,
    get,
    list: () => db.all("SELECT * FROM images ORDER BY created_ms IS NULL, created_ms DESC, added DESC").map(listed),
    tag(reference, image) {
      if (reference.digest !== undefined) throw digestInTag(familiarReference(reference));
      const hasManifest = db.transaction(() => {
        const row = db.get("SELECT manifest FROM images WHERE id = ?", image);
        if (row === undefined) throw imageNotFound(image);
        db.run(
          "INSERT OR REPLACE INTO refs (name, tag, image) VALUES (?, ?, ?)",
          repositoryOf(reference),
          reference.tag ?? "latest",
          image,
        );
        db.run("UPDATE images SET last_tagged_ms = ? WHERE id = ?", Date.now(), image);
        indexes.dropUnnamed();
        return row["manifest"] !== null;
      });
      if (hasManifest) writeLayoutIndex();
    },
    resolve,
    find,
    lookup(text) {
      const image = find(text);
      if (image === undefined) throw notFound(text);
      return image;
    },
    identify,
    lookupDamaged(text) {
      const id = identify(text);
      const row = id === undefined ? undefined : db.get("SELECT * FROM images WHERE id = ?", id);
      if (row === undefined) throw notFound(text);
      return listed(row);
    },
    untag,
    remove(id) {
      const hadManifest = db.transaction(() => {
        const row = db.get("SELECT manifest FROM images WHERE id = ?", id);
        db.run("DELETE FROM refs WHERE image = ?", id);
        db.run("DELETE FROM repo_digests WHERE image = ?", id);
        indexes.forget(id);
        db.run("DELETE FROM images WHERE id = ?", id);
        return row !== undefined && row["manifest"] !== null;
      });
      if (hadManifest) writeLayoutIndex();
      return collectGarbage(context).freedBytes;
    },
    recordManifest,
    recordRepoDigest,
    tagIndex: (reference, raw, images) => {
      if (reference.digest !== undefined) throw digestInTag(familiarReference(reference));
      return indexes.tag(reference, raw, images);
    },
    index(reference) {
      const found = indexes.find(reference);
      if (found === undefined) return undefined;
      const images = found.images.map((id) => existing(id));
      return { digest: found.digest, raw: found.raw, value: found.value, images };
    },
  };
}

export function repositoryOf({ domain, path }: Pick<Reference, "domain" | "path">): string {
  return canonicalReference({ domain, path });
}

function referenceOrUndefined(text: string): Reference | undefined {
  try {
    return parseReference(text);
  } catch (error) {
    if (error instanceof TsbuildError && error.code === "INVALID_REFERENCE") return undefined;
    throw error;
  }
}

function dateOf(ms: unknown): Date | undefined {
  return ms === null || ms === undefined ? undefined : new Date(Number(ms));
}

function checkDiffIds(config: ImageConfig, diffIds: readonly DiffId[]): void {
  const named = config.rootfs?.diff_ids ?? [];
  if (named.length !== diffIds.length) throw configInvalid(`${named.length} diffIDs for ${diffIds.length} layers`);
  const at = named.findIndex((diffId, index) => diffId !== diffIds[index]);
  if (at >= 0) throw configInvalid(`layer ${at + 1} is ${diffIds[at]}, the config says ${named[at]}`);
}
