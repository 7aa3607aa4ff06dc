/** `--metadata-file`. Source: Docker docs, "docker buildx build", "--metadata-file". */
import { linesOf } from "../../checks/place.ts";
import { rules } from "../../checks/rules.ts";
import { type ProvenanceSubject, provenance } from "../../executor/provenance.ts";
import type { ProvenanceSources } from "../../executor/provenance-sources.ts";
import { sha256 } from "../../oci/digest.ts";
import { formatPlatform, type Platform } from "../../oci/platform.ts";
import { canonicalReference } from "../../oci/reference.ts";
import type { Diagnostic, Dockerfile } from "../../parser/ast.ts";
import { linkOf } from "../render/checks/report.ts";
import type { BuiltOutputs } from "./finish-build.ts";

export interface MetadataSubject extends Omit<ProvenanceSubject, "platform" | "sources" | "layers"> {
  /** With what each was made of; undefined: that is not asked for. */
  readonly targets: readonly { readonly platform: Platform; readonly sources: ProvenanceSources | undefined }[];
  /** `BUILDX_METADATA_PROVENANCE`: `disabled`, `min`, `max`. */
  readonly provenance: string | undefined;
  /** What is told of the file; undefined: not in here. */
  readonly checks: { readonly dockerfile: Dockerfile; readonly warnings: readonly Diagnostic[] } | undefined;
}

/** The keys of one image; with several platforms each has its own provenance. */
export function buildMetadata(built: BuiltOutputs, subject: MetadataSubject): Readonly<Record<string, unknown>> {
  const { configDigest, descriptor, names } = built;
  const digest = descriptor?.digest ?? configDigest;
  return {
    ...provenances(subject),
    // Builder, node and build: there is one of the first two.
    "buildx.build.ref": `default/default/${subject.invocationId}`,
    ...(subject.checks !== undefined && { "buildx.build.warnings": warningsOf(subject.checks) }),
    ...(configDigest !== undefined && { "containerimage.config.digest": configDigest }),
    ...(descriptor !== undefined && { "containerimage.descriptor": descriptor }),
    ...(digest !== undefined && { "containerimage.digest": digest }),
    ...(names.length > 0 && { "image.name": names.map(canonicalReference).join(",") }),
  };
}

/** As BuildKit's API has them: texts are base64. Source: BuildKit, client/graph.go, `VertexWarning`. */
function warningsOf({ dockerfile, warnings }: NonNullable<MetadataSubject["checks"]>): readonly unknown[] {
  const { file: filename, text } = dockerfile;
  const base64 = (words: string): string => Buffer.from(words).toString("base64");
  const sourceInfo = { filename, data: base64(text), language: "Dockerfile" };
  return warnings.map((warning) => {
    const { start, end } = linesOf(dockerfile, warning);
    const description = rules.get(warning.code)?.description;
    return {
      vertex: sha256(text),
      level: 1,
      short: base64(`${warning.code}: ${warning.message} (line ${start})`),
      ...(description !== undefined && { detail: [base64(description)] }),
      url: linkOf(warning.code),
      sourceInfo,
      range: [{ start: { line: start }, end: { line: end } }],
    };
  });
}

function provenances({
  targets,
  provenance: wanted,
  checks: _,
  ...subject
}: MetadataSubject): Readonly<Record<string, unknown>> {
  if (!tellsProvenance(wanted)) return {};
  const settings = {
    mode: wanted === "max" ? "max" : "min",
    version: "v1",
    builderId: "",
    reproducible: false,
    filename: "",
  } as const;
  return Object.fromEntries(
    targets.flatMap(({ platform, sources }) => {
      if (sources === undefined) return [];
      const name =
        targets.length === 1 ? "buildx.build.provenance" : `buildx.build.provenance/${formatPlatform(platform)}`;
      return [[name, provenance({ ...subject, platform, sources, layers: undefined }, settings)]];
    }),
  );
}

export function tellsProvenance(wanted: string | undefined): boolean {
  return wanted !== "disabled" && wanted !== "false" && wanted !== "0";
}
