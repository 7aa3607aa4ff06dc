/** `--metadata-file`. Source: Docker docs, "docker buildx build", "--metadata-file". */
import { randomUUID } from "node:crypto";
import type { FinishedTarget } from "../../executor/finished-target.ts";
import { type ProvenanceSubject, provenance } from "../../executor/provenance.ts";
import { formatPlatform } from "../../oci/platform.ts";
import { canonicalReference } from "../../oci/reference.ts";
import type { BuiltOutputs } from "./finish-build.ts";

export interface MetadataSubject extends Omit<ProvenanceSubject, "platform" | "invocationId"> {
  readonly targets: readonly FinishedTarget[];
  /** `BUILDX_METADATA_PROVENANCE`: `disabled`, `min`, `max`. */
  readonly provenance: string | undefined;
}

/** The keys of one image; with several platforms each has its own provenance. */
export function buildMetadata(built: BuiltOutputs, subject: MetadataSubject): Readonly<Record<string, unknown>> {
  const { configDigest, descriptor, names } = built;
  const digest = descriptor?.digest ?? configDigest;
  return {
    ...provenances(subject),
    ...(configDigest !== undefined && { "containerimage.config.digest": configDigest }),
    ...(descriptor !== undefined && { "containerimage.descriptor": descriptor }),
    ...(digest !== undefined && { "containerimage.digest": digest }),
    ...(names.length > 0 && { "image.name": names.map(canonicalReference).join(",") }),
  };
}

function provenances({ targets, provenance: wanted, ...subject }: MetadataSubject): Readonly<Record<string, unknown>> {
  if (wanted === "disabled" || wanted === "false" || wanted === "0") return {};
  const settings = {
    mode: wanted === "max" ? "max" : "min",
    version: "v1",
    builderId: "",
    reproducible: false,
    filename: "",
  } as const;
  const invocationId = randomUUID().replaceAll("-", "");
  return Object.fromEntries(
    targets.map(({ platform }) => [
      targets.length === 1 ? "buildx.build.provenance" : `buildx.build.provenance/${formatPlatform(platform)}`,
      provenance({ ...subject, platform, invocationId }, settings),
    ]),
  );
}
