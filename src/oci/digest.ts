/** Identities. Each is a brand: made only here, so that two of them cannot be swapped without the compiler noticing. */
import { createHash } from "node:crypto";

declare const brand: unique symbol;
export type Brand<Name extends string> = string & { readonly [brand]: Name };

/** `sha256:` and 64 lower-case hex digits (or `sha512:` and 128). Source: image-spec, descriptor.md, "Digests". */
export type Digest = Brand<"Digest">;
/** Digest of one layer's uncompressed tar. */
export type DiffId = Brand<"DiffId">;
/** Identity of a layer and all layers below it, by DiffIds. */
export type ChainId = Brand<"ChainId">;
/** Digest of one layer's entries without their times: what the layer *does*, not when. */
export type ContentDigest = Brand<"ContentDigest">;
/** A layer and all below it, by ContentDigests: the chain of content digests. The empty tree has none (`undefined`). */
export type ResultId = Brand<"ResultId">;
/** Digest of the config blob. What `images` prints as IMAGE ID. */
export type ImageId = Brand<"ImageId">;
/** Digest of a step's definition and its parent result. */
export type CacheKey = Brand<"CacheKey">;

export function sha256(data: string | Uint8Array): Digest {
  return `sha256:${createHash("sha256").update(data).digest("hex")}` as string as Digest;
}

const digestPattern = /^(?:sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$/;

export function isDigest(text: string): text is Digest {
  return digestPattern.test(text);
}

/** The hex part: a blob's file name. */
export function hexOf(digest: Digest | DiffId | ChainId | ContentDigest | ResultId | ImageId | CacheKey): string {
  return digest.slice(digest.indexOf(":") + 1);
}

export function diffIdOf(digest: Digest): DiffId {
  return digest as string as DiffId;
}

export function imageIdOf(digest: Digest): ImageId {
  return digest as string as ImageId;
}

/** Digests of bytes are the same thing under each name; a blob store does not care whose id it holds. */
export function blobDigestOf(id: DiffId | ImageId): Digest {
  return id as string as Digest;
}

export function contentDigestOf(digest: Digest): ContentDigest {
  return digest as string as ContentDigest;
}

export function cacheKeyOf(digest: Digest): CacheKey {
  return digest as string as CacheKey;
}

/** ChainID of `layer` standing on `parent`. Source: image-spec, config.md, "Layer ChainID". */
export function chainId(parent: ChainId | undefined, layer: DiffId): ChainId {
  return (parent === undefined ? layer : sha256(`${parent} ${layer}`)) as string as ChainId;
}

/** The same chaining, over content digests. */
export function resultId(parent: ResultId | undefined, layer: ContentDigest): ResultId {
  return (parent === undefined ? layer : sha256(`${parent} ${layer}`)) as string as ResultId;
}
