/** The manifests of a result, with annotations and attestations, and the index over them. */
import { TsbuildError } from "../../errors.ts";
import type { Statement } from "../../executor/attestation-manifest.ts";
import type { FinishedTarget } from "../../executor/finished-target.ts";
import type { Annotation, Document } from "../../executor/image-manifest.ts";
import type { Descriptor } from "../../oci/descriptor.ts";
import type { ImageId } from "../../oci/digest.ts";
import { formatPlatform, samePlatform } from "../../oci/platform.ts";
import type { Reference } from "../../oci/reference.ts";
import { storedManifest } from "../../oci/stored-documents.ts";
import type { Attestor } from "./attestor.ts";
import type { OutputPlace, OutputRequest } from "./finish-build.ts";
import type { DocumentSettings } from "./output-spec.ts";

export interface WrittenDocuments {
  readonly manifests: readonly (Document & { readonly id: ImageId })[];
  readonly index: Document | undefined;
}

export function withAnnotations(settings: DocumentSettings, { annotations }: OutputRequest): DocumentSettings {
  return { ...settings, annotations: [...annotations, ...settings.annotations] };
}

/** Undefined also where what is attested needs an index, has none, and does not insist. */
export function attestorFor(
  targets: readonly FinishedTarget[],
  { inlineAttestations }: DocumentSettings,
  { alwaysIndex }: OutputRequest,
  { attest }: OutputPlace,
): Attestor | undefined {
  const isLeftOut = attest?.inlineOnly === true && !inlineAttestations && targets.length === 1 && !alwaysIndex;
  return isLeftOut ? undefined : attest;
}

export async function writeDocuments(
  targets: readonly FinishedTarget[],
  settings: DocumentSettings,
  request: OutputRequest & { readonly names: readonly Reference[] },
  place: OutputPlace,
): Promise<WrittenDocuments> {
  const { alwaysIndex, names } = request;
  const { store, context } = place;
  const attest = attestorFor(targets, settings, request, place);
  const { writeIndex, writeManifest } = await import("../../executor/image-manifest.ts");
  const hasIndex = targets.length > 1 || alwaysIndex || attest !== undefined;
  checkAnnotations(targets, settings.annotations, hasIndex);
  if (attest !== undefined && !settings.ociMediaTypes)
    throw new TsbuildError({
      code: "USAGE",
      what: "attestations need OCI media types",
      hint: "leave oci-mediatypes out, or turn them off: --provenance=false --sbom=false",
    });
  const scans: (readonly Statement[])[] = [];
  if (attest !== undefined) for (const target of targets) scans.push(await attest.scans(target));
  const manifests: (Document & { readonly id: ImageId })[] = [];
  for (const target of targets)
    manifests.push({ ...(await writeManifest(store, target, settings, context.signal)), id: target.id });

  const attestations: Descriptor[] = [];
  if (attest !== undefined) {
    const { writeAttestations } = await import("../../executor/attestation-manifest.ts");
    for (const [at, target] of targets.entries()) {
      const manifest = manifests[at];
      if (manifest === undefined) continue;
      const image = { descriptor: manifest.descriptor, platform: target.platform, names };
      const { layers } = storedManifest(manifest.raw);
      const statements = [...(scans[at] ?? []), ...(await attest.provenance(target, layers))];
      attestations.push(writeAttestations(store, image, statements, { artifact: settings.ociArtifact }));
    }
  }
  const index = hasIndex
    ? writeIndex(store, [...manifests.map(({ descriptor }) => descriptor), ...attestations], settings)
    : undefined;
  return { manifests, index };
}

/** @throws {TsbuildError} `USAGE` for one that would stand nowhere */
function checkAnnotations(
  targets: readonly FinishedTarget[],
  annotations: readonly Annotation[],
  hasIndex: boolean,
): void {
  for (const { place, platform, key } of annotations) {
    if (place === "index" && !hasIndex)
      throw new TsbuildError({
        code: "USAGE",
        what: `index annotations not supported for single platform export: ${key}`,
        hint: `annotate the manifest: --annotation manifest:${key}=VALUE`,
      });
    if (platform !== undefined && !targets.some((target) => samePlatform(target.platform, platform)))
      throw new TsbuildError({
        code: "USAGE",
        what: `the annotation ${key} is for ${formatPlatform(platform)}, which is not built`,
        hint: `built: ${targets.map((target) => formatPlatform(target.platform)).join(", ")}`,
      });
  }
}
