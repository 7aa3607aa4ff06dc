/**
 * Statements about an image as a manifest beside it in the index: nobody runs it, its platform is unknown.
 * Source: BuildKit, docs/attestations/attestation-storage.md; in-toto, "Statement".
 */
import type { Descriptor } from "../oci/descriptor.ts";
import { type Digest, hexOf, sha256 } from "../oci/digest.ts";
import { indentedJson } from "../oci/image-config-json.ts";
import { mediaTypes } from "../oci/media-types.ts";
import type { Platform } from "../oci/platform.ts";
import type { Reference } from "../oci/reference.ts";
import type { Store } from "../store/store.ts";
import { packageUrl } from "./package-url.ts";

export interface Statement {
  readonly predicateType: string;
  readonly predicate: unknown;
}

export interface AttestedImage {
  /** The image's manifest. */
  readonly descriptor: Descriptor;
  readonly platform: Platform;
  readonly names: readonly Reference[];
}

/** About files: each with its digest. */
export function printFileStatement(
  { predicateType, predicate }: Statement,
  files: readonly { readonly name: string; readonly digest: Digest }[],
): Buffer {
  const subject = files.map(({ name, digest }) => ({ name, digest: { sha256: hexOf(digest) } }));
  return indentedJson({ _type: statementType, predicateType, subject, predicate });
}

const statementType = "https://in-toto.io/Statement/v1";

/** The in-toto statement as it is stored. */
function printStatement({ predicateType, predicate }: Statement, image: AttestedImage): Buffer {
  const digest = { sha256: hexOf(image.descriptor.digest) };
  const subject =
    image.names.length === 0
      ? [{ name: "_", digest }]
      : image.names.map((name) => ({ name: packageUrl(name, { platform: image.platform }), digest }));
  return indentedJson({ _type: statementType, predicateType, subject, predicate });
}

/** Writes statements and manifest; the descriptor for the index. `artifact`: false for the form before OCI 1.1. */
export function writeAttestations(
  store: Store,
  image: AttestedImage,
  statements: readonly Statement[],
  { artifact }: { readonly artifact: boolean },
): Descriptor {
  const layers = statements.map((statement) => {
    const raw = printStatement(statement, image);
    return {
      mediaType: "application/vnd.in-toto+json",
      digest: store.blobs.write(raw),
      size: raw.length,
      annotations: { "in-toto.io/predicate-type": statement.predicateType },
    };
  });
  const config = artifact
    ? Buffer.from("{}")
    : Buffer.from(
        JSON.stringify({
          architecture: "unknown",
          os: "unknown",
          config: {},
          rootfs: { type: "layers", diff_ids: layers.map(({ digest }) => digest) },
        }),
      );
  const { mediaType, digest, size } = image.descriptor;
  const raw = indentedJson({
    schemaVersion: 2,
    mediaType: mediaTypes.ociManifest,
    artifactType: artifact ? "application/vnd.docker.attestation.manifest.v1+json" : undefined,
    config: {
      mediaType: artifact ? "application/vnd.oci.empty.v1+json" : mediaTypes.ociConfig,
      digest: store.blobs.write(config),
      size: config.length,
    },
    layers,
    subject: artifact ? { mediaType, digest, size } : undefined,
  });
  store.blobs.write(raw);
  return {
    mediaType: mediaTypes.ociManifest,
    digest: sha256(raw),
    size: raw.length,
    annotations: {
      "vnd.docker.reference.digest": digest,
      "vnd.docker.reference.type": "attestation-manifest",
    },
    platform: { architecture: "unknown", os: "unknown" },
  };
}
