/**
 * Manifests and indexes from outside: bytes in, our types out, or an error that says what is wrong with which document.
 * The caller has verified the bytes and keeps them: a manifest printed again has another digest.
 * Source: image-spec, manifest.md and image-index.md; distribution's schema 2.
 */
import { z } from "zod";
import { TsbuildError } from "../errors.ts";
import { isDigest } from "./digest.ts";
import type { ImageIndex, Manifest } from "./manifest.ts";
import { mediaTypes } from "./media-types.ts";

export type ManifestDocument =
  | { readonly kind: "manifest"; readonly value: Manifest }
  | { readonly kind: "index"; readonly value: ImageIndex };

const annotations = z.record(z.string(), z.string());

const platform = z.object({ os: z.string(), architecture: z.string(), variant: z.exactOptional(z.string()) });

const descriptor = z.object({
  mediaType: z.string().min(1),
  digest: z.string().refine(isDigest, "is not a digest"),
  size: z.int().nonnegative(),
  urls: z.exactOptional(z.array(z.string())),
  annotations: z.exactOptional(annotations),
  platform: z.exactOptional(platform),
});

const manifest = z.object({
  schemaVersion: z.literal(2),
  mediaType: z.string(),
  artifactType: z.exactOptional(z.string()),
  config: descriptor,
  layers: z.array(descriptor),
  annotations: z.exactOptional(annotations),
});

const index = z.object({
  schemaVersion: z.literal(2),
  mediaType: z.string(),
  manifests: z.array(descriptor),
  annotations: z.exactOptional(annotations),
});

const indexTypes: readonly string[] = [mediaTypes.ociIndex, mediaTypes.dockerList];
const manifestTypes: readonly string[] = [mediaTypes.ociManifest, mediaTypes.dockerManifest];

/**
 * `contentType`: what the server or the descriptor says it is. A document that says something else, or that reads as
 * both an index and a manifest, is refused: two readers could take it for two images (CVE-2021-41190).
 * `from` names the document in errors.
 * @throws {TsbuildError} `INVALID_MANIFEST`
 */
export function parseManifestDocument(raw: Uint8Array, from: string, contentType?: string): ManifestDocument {
  const json = parseJsonObject(raw, from);
  if (json["schemaVersion"] === 1)
    throw invalidManifest(from, "schema 1 manifests are not supported", "push the image again with a newer client");
  if ("manifests" in json && ("layers" in json || "config" in json))
    throw invalidManifest(from, "it is both an index and a manifest");
  const told = contentType?.split(";")[0]?.trim().toLowerCase() || undefined;
  const expected = told !== undefined && isManifestType(told) ? told : undefined;
  const own = json["mediaType"];
  if (own !== undefined && expected !== undefined && own !== expected)
    throw invalidManifest(from, `it says it is ${JSON.stringify(own)}, but it was sent as ${expected}`);
  const mediaType = own ?? expected ?? ("manifests" in json ? mediaTypes.ociIndex : mediaTypes.ociManifest);
  if (typeof mediaType !== "string" || !isManifestType(mediaType))
    throw invalidManifest(from, `the media type ${JSON.stringify(mediaType)} is no image`);
  const isIndex = indexTypes.includes(mediaType);
  const value = { ...json, mediaType };
  return isIndex
    ? { kind: "index", value: checked(index, value, from) }
    : { kind: "manifest", value: checked(manifest, value, from) };
}

/** @throws {TsbuildError} `INVALID_MANIFEST`, also for an index. */
export function parseManifest(raw: Uint8Array, from: string, contentType?: string): Manifest {
  const document = parseManifestDocument(raw, from, contentType);
  if (document.kind === "manifest") return document.value;
  throw invalidManifest(from, "it is an index where a manifest was expected");
}

/** @throws {TsbuildError} `INVALID_MANIFEST`, also for a manifest. */
export function parseImageIndex(raw: Uint8Array, from: string, contentType?: string): ImageIndex {
  const document = parseManifestDocument(raw, from, contentType);
  if (document.kind === "index") return document.value;
  throw invalidManifest(from, "it is a manifest where an index was expected");
}

export function isManifestType(mediaType: string): boolean {
  return indexTypes.includes(mediaType) || manifestTypes.includes(mediaType);
}

function invalidManifest(from: string, detail: string, hint?: string): TsbuildError {
  return new TsbuildError({ code: "INVALID_MANIFEST", what: `invalid manifest ${from}: ${detail}`, hint });
}

function checked<T>(schema: z.ZodType<T>, value: unknown, from: string): T {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  throw invalidManifest(from, firstIssue(result.error));
}

function firstIssue(error: z.ZodError): string {
  const issue = error.issues[0];
  return issue === undefined ? "unreadable" : `${issue.path.join(".")}: ${issue.message}`;
}

/** Go writes `null` for what is absent; here both are absent. */
function parseJsonObject(raw: Uint8Array, from: string): Record<string, unknown> {
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(raw), (_, value: unknown) => value ?? undefined);
  } catch {
    throw invalidManifest(from, "it is not JSON");
  }
  if (typeof json !== "object" || json === null || Array.isArray(json))
    throw invalidManifest(from, "it is not a JSON object");
  return json as Record<string, unknown>; // what is in it is checked by a schema
}
