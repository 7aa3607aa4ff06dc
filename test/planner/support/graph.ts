/** Graphs from text, over images that are only configs: binding never looks into a layer. */
import { TsbuildError } from "../../../src/errors.ts";
import { imageIdOf, sha256 } from "../../../src/oci/digest.ts";
import type { ContainerConfig } from "../../../src/oci/image-config.ts";
import { familiarReference } from "../../../src/oci/reference.ts";
import { parse } from "../../../src/parser/parse.ts";
import { throwIfErrors } from "../../../src/parser/position.ts";
import { buildGraph } from "../../../src/planner/bind.ts";
import type { BuildGraph, GraphStage, ResolvedImage, RunInput, Step } from "../../../src/planner/build-graph.ts";
import type { BuildOptions, ResolveImage } from "../../../src/planner/build-options.ts";
import type { ResolveTime } from "../../../src/planner/source-date-epoch.ts";
import type { LayerId } from "../../../src/store/store.ts";

export const noOptions: BuildOptions = {
  dockerfile: { text: "", file: "Dockerfile" },
  context: { kind: "empty" },
  ignore: undefined,
  namedContexts: new Map(),
  target: undefined,
  buildArgs: new Map(),
  labels: new Map(),
  platforms: [{ os: "linux", architecture: "amd64" }],
  noCache: false,
  noCacheFilter: [],
  network: "default",
  extraHosts: [],
  shmSizeBytes: undefined,
  ulimits: [],
  limits: {},
  cgroupParent: undefined,
  allow: [],
  secrets: new Map(),
  ssh: new Map(),
};

export interface GraphRequest {
  readonly options?: Partial<BuildOptions>;
  readonly args?: Record<string, string>;
  /** Images by familiar name; `B` of the tables is `b`. */
  readonly images?: Record<string, ContainerConfig>;
  /** Of what SOURCE_DATE_EPOCH names; the default knows no time. */
  readonly timeOf?: ResolveTime;
  /** Names that were asked for, in order. */
  readonly asked?: string[];
}

export function image(name: string, config: ContainerConfig): ResolvedImage {
  return {
    name,
    id: imageIdOf(sha256(name)),
    chain: [`layer-of-${name}` as LayerId],
    config: {
      architecture: "amd64",
      os: "linux",
      config,
      history: [{ created_by: `base ${name}` }],
      rootfs: { type: "layers", diff_ids: [] },
    },
  };
}

/** `⏎` separates lines, as in the tables. */
export async function graphOf(text: string, request: GraphRequest = {}): Promise<BuildGraph> {
  const result = parse(text.replaceAll("⏎", "\n"), { file: "Dockerfile" });
  throwIfErrors(result);
  const images: Record<string, ContainerConfig> = { "b:latest": {}, ...request.images };
  const resolve: ResolveImage = async (reference) => {
    const name = familiarReference(reference);
    request.asked?.push(name);
    const config = images[name];
    if (config === undefined) throw new TsbuildError({ code: "BASE_IMAGE_NOT_FOUND", what: `no image ${name}` });
    return image(name, config);
  };
  const options = { ...noOptions, ...request.options, buildArgs: new Map(Object.entries(request.args ?? {})) };
  return buildGraph(result.dockerfile, options, resolve, request.timeOf);
}

export function targetOf(graph: BuildGraph): GraphStage {
  const stage = graph.stages.at(-1);
  if (stage === undefined) throw new Error("a graph without stages");
  return stage;
}

export async function configOf(text: string, request: GraphRequest = {}): Promise<ContainerConfig> {
  return targetOf(await graphOf(text, request)).image.config;
}

/** The target's environment in the image, without the default PATH. */
export async function envOf(text: string, request: GraphRequest = {}): Promise<readonly string[]> {
  return ((await configOf(text, request)).Env ?? []).filter((pair) => !pair.startsWith("PATH="));
}

export async function historyOf(text: string, request: GraphRequest = {}): Promise<readonly string[]> {
  return targetOf(await graphOf(text, request)).image.history.map((entry) => entry.createdBy);
}

export async function runOf(text: string, request: GraphRequest = {}): Promise<RunInput> {
  const step = (await graphOf(text, request)).steps.findLast((one: Step) => one.input.kind === "run");
  if (step?.input.kind !== "run") throw new Error("no RUN");
  return step.input;
}

export async function failureOf(text: string, request: GraphRequest = {}): Promise<unknown> {
  return graphOf(text, request).then(
    () => undefined,
    (error: unknown) => error,
  );
}
