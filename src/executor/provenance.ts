/**
 * What a result was made of and how: a SLSA provenance predicate. `min` leaves out what may be private: build-args,
 * labels, secrets, the steps and the Dockerfile. Source: slsa.dev/provenance/v1 and v0.2; BuildKit,
 * docs/attestations/slsa-provenance.md and slsa-definitions.md.
 */
import type { Digest } from "../oci/digest.ts";
import { hexOf } from "../oci/digest.ts";
import { formatPlatform, hostPlatform, type Platform } from "../oci/platform.ts";
import { parseReference } from "../oci/reference.ts";
import type { BuildGraph, Step, TreeRef } from "../planner/build-graph.ts";
import type { BuildOptions } from "../planner/build-options.ts";
import { packageUrl } from "./package-url.ts";

export interface ProvenanceSettings {
  readonly mode: "min" | "max";
  readonly version: "v1" | "v0.2";
  readonly builderId: string;
  /** That a second build gives the same is the caller's word. */
  readonly reproducible: boolean;
  /** Beside files that are exported. */
  readonly filename: string;
}

export interface ProvenanceSubject {
  readonly graph: BuildGraph;
  readonly options: BuildOptions;
  readonly platform: Platform;
  /** Epoch ms. */
  readonly started: number;
  readonly finished: number;
  readonly invocationId: string;
}

export const predicateTypes = {
  v1: "https://slsa.dev/provenance/v1",
  "v0.2": "https://slsa.dev/provenance/v0.2",
} as const;

interface Material {
  readonly uri: string;
  readonly digest?: Readonly<Record<string, string>>;
}

/** The predicate, without the statement around it. */
export function provenance(
  subject: ProvenanceSubject,
  settings: ProvenanceSettings,
): Readonly<Record<string, unknown>> {
  return settings.version === "v1" ? provenanceV1(subject, settings) : provenanceV02(subject, settings);
}

function provenanceV1(subject: ProvenanceSubject, settings: ProvenanceSettings): Readonly<Record<string, unknown>> {
  const { graph, started, finished, invocationId } = subject;
  const full = settings.mode === "max";
  return {
    buildDefinition: {
      buildType: "https://github.com/moby/buildkit/blob/master/docs/attestations/slsa-definitions.md",
      externalParameters: {
        configSource: { path: graph.file },
        request: request(subject, full),
      },
      internalParameters: {
        ...(full && { buildConfig: { llbDefinition: stepsOf(subject) } }),
        builderPlatform: formatPlatform(hostPlatform()),
      },
      resolvedDependencies: materials(subject),
    },
    runDetails: {
      builder: { id: settings.builderId },
      metadata: {
        invocationID: invocationId,
        startedOn: new Date(started).toISOString(),
        finishedOn: new Date(finished).toISOString(),
        buildkit_completeness: { request: full, resolvedDependencies: false },
        buildkit_reproducible: settings.reproducible,
        ...(full && { buildkit_metadata: { source: sourceOf(graph) } }),
      },
    },
  };
}

function provenanceV02(subject: ProvenanceSubject, settings: ProvenanceSettings): Readonly<Record<string, unknown>> {
  const { graph, started, finished, invocationId } = subject;
  const full = settings.mode === "max";
  return {
    builder: { id: settings.builderId },
    buildType: "https://mobyproject.org/buildkit@v1",
    materials: materials(subject),
    invocation: {
      configSource: { entryPoint: graph.file },
      parameters: request(subject, full),
      environment: { platform: formatPlatform(hostPlatform()) },
    },
    ...(full && { buildConfig: { llbDefinition: stepsOf(subject) } }),
    metadata: {
      buildInvocationID: invocationId,
      buildStartedOn: new Date(started).toISOString(),
      buildFinishedOn: new Date(finished).toISOString(),
      completeness: { parameters: full, environment: true, materials: false },
      reproducible: settings.reproducible,
      ...(full && { "https://mobyproject.org/buildkit@v1#metadata": { source: sourceOf(graph) } }),
    },
  };
}

function request({ options, graph }: ProvenanceSubject, full: boolean): Readonly<Record<string, unknown>> {
  const args: Record<string, string> = {};
  if (options.target !== undefined) args["target"] = options.target;
  if (graph.file !== "Dockerfile") args["filename"] = graph.file;
  if (full) {
    for (const [name, value] of options.buildArgs) args[`build-arg:${name}`] = value;
    for (const [name, value] of options.labels) args[`label:${name}`] = value;
  }
  return {
    frontend: "dockerfile.v0",
    ...(Object.keys(args).length > 0 && { args }),
    ...(options.context.kind === "directory" && { locals: [{ name: "context" }, { name: "dockerfile" }] }),
    ...(full &&
      options.secrets.size > 0 && { secrets: [...options.secrets.keys()].map((id) => ({ id, optional: true })) }),
  };
}

/** Images by the digest they had, and what ADD fetched; each once. */
function materials({ graph, platform }: ProvenanceSubject): readonly Material[] {
  const found = new Map<string, Material>();
  const add = (material: Material | undefined): void => {
    if (material !== undefined) found.set(material.uri, material);
  };
  for (const stage of graph.stages) add(imageMaterial(stage.base, platform));
  for (const { input } of graph.steps) {
    if (input.kind === "run")
      for (const mount of input.mounts) if ("from" in mount) add(imageMaterial(mount.from, platform));
    if (input.kind !== "copy") continue;
    add(imageMaterial(input.from, platform));
    for (const source of input.sources)
      if (source.kind === "url")
        add({ uri: source.url, ...(input.checksum !== undefined && digestOf(input.checksum)) });
  }
  return [...found.values()];
}

function imageMaterial(tree: TreeRef, platform: Platform): Material | undefined {
  if (tree.kind !== "image") return undefined;
  const { name, manifestDigest, id } = tree.image;
  const digest = manifestDigest ?? (id as string as Digest);
  const uri = packageUrl(parseReference(name), { digest, platform });
  return { uri, digest: { sha256: hexOf(digest) } };
}

function digestOf(checksum: string): { readonly digest?: Readonly<Record<string, string>> } {
  const [algorithm, hex] = checksum.split(":");
  return algorithm === undefined || hex === undefined ? {} : { digest: { [algorithm]: hex } };
}

function stepsOf({ graph }: ProvenanceSubject): readonly unknown[] {
  return graph.steps.map((step) => ({ id: step.id, op: step.text, inputs: inputsOf(step) }));
}

function inputsOf({ parent, input }: Step): readonly string[] {
  const refs: TreeRef[] = [parent];
  if (input.kind === "copy") refs.push(input.from);
  if (input.kind === "run") for (const mount of input.mounts) if ("from" in mount) refs.push(mount.from);
  return [...new Set(refs.flatMap((ref) => (ref.kind === "step" ? [ref.step as string] : [])))];
}

function sourceOf({ file, text }: BuildGraph): unknown {
  return { infos: [{ filename: file, language: "Dockerfile", data: Buffer.from(text).toString("base64") }] };
}
