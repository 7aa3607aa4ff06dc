/**
 * What a result was made of and how: a SLSA provenance predicate. `min` leaves out what may be private: build-args,
 * labels, secrets, the steps and the Dockerfile. Source: slsa.dev/provenance/v1 and v0.2; BuildKit,
 * docs/attestations/slsa-provenance.md and slsa-definitions.md.
 */
import { assertNever } from "../errors.ts";
import type { Descriptor } from "../oci/descriptor.ts";
import { formatPlatform, hostPlatform, type Platform } from "../oci/platform.ts";
import { positionOf } from "../parser/position.ts";
import type { BuildGraph, Step, StepId, TreeRef } from "../planner/build-graph.ts";
import type { BuildOptions, NamedContext, RemoteSource } from "../planner/build-options.ts";
import { type LlbDefinition, llbDefinition } from "./llb-definition.ts";
import { type GivenToSteps, type ProvenanceSources, targetOf } from "./provenance-sources.ts";

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
  readonly sources: ProvenanceSources;
  /** Of a context that lies here: its repository and commit, as the caller says. */
  readonly vcs: { readonly source?: string; readonly revision?: string } | undefined;
  /** Of the result, from the base up, with the number of those that its base image has; undefined: not packed. */
  readonly layers: { readonly descriptors: readonly Descriptor[]; readonly base: number } | undefined;
  /** Epoch ms. */
  readonly started: number;
  readonly finished: number;
  readonly invocationId: string;
}

export const predicateTypes = {
  v1: "https://slsa.dev/provenance/v1",
  "v0.2": "https://slsa.dev/provenance/v0.2",
} as const;

/** The predicate, without the statement around it. */
export function provenance(
  subject: ProvenanceSubject,
  settings: ProvenanceSettings,
): Readonly<Record<string, unknown>> {
  return settings.version === "v1" ? provenanceV1(subject, settings) : provenanceV02(subject, settings);
}

function provenanceV1(subject: ProvenanceSubject, settings: ProvenanceSettings): Readonly<Record<string, unknown>> {
  const { graph, started, finished, invocationId, sources } = subject;
  const full = settings.mode === "max";
  const complete = sources.locals.length === 0;
  const llb = full ? definitionOf(subject) : undefined;
  const metadata = buildkitMetadata(subject, llb);
  return {
    buildDefinition: {
      buildType: "https://github.com/moby/buildkit/blob/master/docs/attestations/slsa-definitions.md",
      externalParameters: {
        configSource: { ...remoteOf(subject), path: graph.file },
        request: request(subject, full),
      },
      internalParameters: {
        ...(llb !== undefined && { buildConfig: { llbDefinition: llb.steps } }),
        builderPlatform: formatPlatform(hostPlatform()),
      },
      resolvedDependencies: sources.materials,
    },
    runDetails: {
      builder: { id: settings.builderId },
      metadata: {
        invocationID: invocationId,
        startedOn: new Date(started).toISOString(),
        finishedOn: new Date(finished).toISOString(),
        ...(metadata !== undefined && { buildkit_metadata: metadata }),
        ...(complete && !sources.usesNetwork && { buildkit_hermetic: true }),
        buildkit_completeness: { request: tellsAll(subject, full), resolvedDependencies: complete },
        buildkit_reproducible: settings.reproducible,
      },
    },
  };
}

function provenanceV02(subject: ProvenanceSubject, settings: ProvenanceSettings): Readonly<Record<string, unknown>> {
  const { graph, started, finished, invocationId, sources } = subject;
  const full = settings.mode === "max";
  const complete = sources.locals.length === 0;
  const llb = full ? definitionOf(subject) : undefined;
  const metadata = buildkitMetadata(subject, llb);
  const extension = "https://mobyproject.org/buildkit@v1";
  return {
    builder: { id: settings.builderId },
    buildType: extension,
    materials: sources.materials,
    invocation: {
      configSource: { ...remoteOf(subject), entryPoint: graph.file },
      parameters: request(subject, full),
      environment: { platform: formatPlatform(hostPlatform()) },
    },
    ...(llb !== undefined && { buildConfig: { llbDefinition: llb.steps } }),
    metadata: {
      buildInvocationID: invocationId,
      buildStartedOn: new Date(started).toISOString(),
      buildFinishedOn: new Date(finished).toISOString(),
      completeness: { parameters: tellsAll(subject, full), environment: true, materials: complete },
      reproducible: settings.reproducible,
      ...(complete && !sources.usesNetwork && { [`${extension}#hermetic`]: true }),
      ...(metadata !== undefined && { [`${extension}#metadata`]: metadata }),
    },
  };
}

function remoteOf({ options: { context } }: ProvenanceSubject): RemoteSource | undefined {
  return context.kind === "directory" ? context.remote : undefined;
}

/** Nothing that was given is left out: `min` leaves out arguments and labels. */
function tellsAll({ options }: ProvenanceSubject, full: boolean): boolean {
  return full || options.buildArgs.size + options.labels.size === 0;
}

/** As the frontend is asked. Source: buildx, build/opt.go; BuildKit, provenance/predicate.go. */
function request({ options, sources }: ProvenanceSubject, full: boolean): Readonly<Record<string, unknown>> {
  const args: Record<string, string> = {};
  if (options.target !== undefined) args["target"] = options.target;
  if (options.noCache) args["no-cache"] = "";
  else if (options.noCacheFilter.length > 0) args["no-cache"] = options.noCacheFilter.join(",");
  if (options.network !== "default") args["force-network-mode"] = options.network;
  if (options.extraHosts.length > 0)
    args["add-hosts"] = options.extraHosts.map(({ name, address }) => `${name}=${address}`).join(",");
  if (options.shmSizeBytes !== undefined) args["shm-size"] = String(options.shmSizeBytes);
  if (options.ulimits.length > 0)
    args["ulimit"] = options.ulimits.map(({ name, soft, hard }) => `${name}=${soft}:${hard}`).join(",");
  for (const [name, context] of options.namedContexts) args[`context:${name}`] = contextArgument(name, context);
  if (full) {
    for (const [name, value] of options.buildArgs) args[`build-arg:${name}`] = value;
    for (const [name, value] of options.labels) args[`label:${name}`] = value;
  }
  return {
    frontend: "dockerfile.v0",
    ...(Object.keys(args).length > 0 && { args }),
    ...(sources.locals.length > 0 && { locals: sources.locals.map((name) => ({ name })) }),
    ...(full && sources.secrets.length > 0 && { secrets: sources.secrets.map(printGiven) }),
    ...(full && sources.ssh.length > 0 && { ssh: sources.ssh.map(printGiven) }),
  };
}

function printGiven({ id, optional }: GivenToSteps): unknown {
  return { id, ...(optional && { optional }) };
}

function contextArgument(name: string, context: NamedContext): string {
  switch (context.kind) {
    case "directory":
      return `local:${name}`;
    case "image":
      return `docker-image://${context.reference}`;
    case "ociLayout":
      return `oci-layout://${context.layout.digest ?? context.layout.tag ?? "latest"}`;
    case "git":
    case "url":
      return context.url.replace(/^([a-z0-9]+:\/\/)[^/@]*@/i, "$1");
    case "unknown":
      return context.value;
    default:
      return assertNever(context);
  }
}

function definitionOf({ graph, options, platform, sources }: ProvenanceSubject): LlbDefinition {
  return llbDefinition(sources.steps, targetOf(graph, platform).stage.result, options);
}

function buildkitMetadata(subject: ProvenanceSubject, llb: LlbDefinition | undefined): unknown {
  const { vcs } = subject;
  if (llb === undefined && vcs === undefined) return undefined;
  return {
    ...(vcs !== undefined && { vcs }),
    ...(llb !== undefined && { source: sourceOf(subject, llb), ...layersOf(subject, llb) }),
  };
}

/** Which lines each step comes from. */
function sourceOf({ graph, sources }: ProvenanceSubject, { ids }: LlbDefinition): unknown {
  const locations = Object.fromEntries(
    sources.steps.map(({ id, range }) => {
      const start = { line: positionOf(graph, range.start).line };
      const end = { line: positionOf(graph, Math.max(range.start, range.end - 1)).line };
      return [ids.get(id) ?? "", { locations: [{ ranges: [{ start, end }] }] }];
    }),
  );
  const data = Buffer.from(graph.text).toString("base64");
  return { locations, infos: [{ filename: graph.file, language: "Dockerfile", data }] };
}

/** By step: the layers up to its own, in all steps that the result stands on. */
function layersOf(
  { graph, platform, sources, layers }: ProvenanceSubject,
  { ids, idOf }: LlbDefinition,
): { readonly layers?: Readonly<Record<string, unknown>> } {
  if (layers === undefined) return {};
  const { descriptors, base } = layers;
  const byId = new Map(sources.steps.map((step) => [step.id, step]));
  const lineage: Step[] = [];
  let below = targetOf(graph, platform).stage.result;
  for (let step = stepOf(below, byId); step !== undefined; step = stepOf(below, byId)) {
    lineage.unshift(step);
    below = step.parent;
  }
  const pairs: (readonly [string, unknown])[] = lineage.map(({ id }, at) => [
    `${ids.get(id)}:0`,
    [descriptors.slice(0, base + at + 1)],
  ]);
  const bottom = idOf(below);
  if (bottom !== undefined && base > 0) pairs.unshift([`${bottom}:0`, [descriptors.slice(0, base)]]);
  return pairs.length === 0 ? {} : { layers: Object.fromEntries(pairs) };
}

function stepOf(tree: TreeRef, steps: ReadonlyMap<StepId, Step>): Step | undefined {
  return tree.kind === "step" ? steps.get(tree.step) : undefined;
}
