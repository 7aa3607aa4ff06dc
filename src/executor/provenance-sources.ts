/**
 * What one target was made of: images, repositories, files at URLs, folders of this machine, and what its steps were given.
 * Source: BuildKit, solver/llbsolver/provenance/capture.go.
 */
import type { Digest } from "../oci/digest.ts";
import { hexOf } from "../oci/digest.ts";
import { type Platform, samePlatform } from "../oci/platform.ts";
import { parseReference } from "../oci/reference.ts";
import { whereOf } from "../parser/position.ts";
import type { BuildContexts } from "../planner/build-contexts.ts";
import type { BuildGraph, CopySource, GraphTarget, ResolvedImage, Step, TreeRef } from "../planner/build-graph.ts";
import type { BuildOptions, RemoteSource } from "../planner/build-options.ts";
import { shownUrl } from "../planner/download.ts";
import { type GitSource, gitContext, gitSourceUri } from "../planner/git-url.ts";
import { packageUrl } from "./package-url.ts";

export interface Material {
  readonly uri: string;
  /** Hex, by algorithm. */
  readonly digest: Readonly<Record<string, string>>;
}

export interface GivenToSteps {
  readonly id: string;
  /** No step fails without it. */
  readonly optional: boolean;
}

export interface ProvenanceSources {
  /** In the order in which they are met, each once. */
  readonly materials: readonly Material[];
  /** Names of folders that were looked into: `context`, `dockerfile`, further contexts. Sorted. */
  readonly locals: readonly string[];
  readonly secrets: readonly GivenToSteps[];
  readonly ssh: readonly GivenToSteps[];
  /** A command could reach the network. */
  readonly usesNetwork: boolean;
  /** Those that the target needs, each behind what it needs itself. */
  readonly steps: readonly Step[];
  /** Of git sources and URLs in steps and contexts, by their uri. */
  readonly resolved: ReadonlyMap<string, Material>;
}

export interface CaptureContext {
  readonly graph: BuildGraph;
  readonly options: BuildOptions;
  readonly platform: Platform;
  /** Of the build: what was asked once is not asked again. */
  readonly contexts: Pick<BuildContexts, "look" | "commit">;
  readonly signal: AbortSignal;
}

/** @throws {TsbuildError} what looking at a source throws that the build has not looked at */
export async function captureSources(context: CaptureContext): Promise<ProvenanceSources> {
  const { graph, options, platform } = context;
  const target = targetOf(graph, platform);
  const steps = neededSteps(graph, target);
  const materials = new Map<string, Material>();
  const resolved = new Map<string, Material>();
  const locals = new Set<string>();
  const add = (material: Material): void => void materials.set(material.uri, material);
  const addResolved = (material: Material): void => {
    add(material);
    resolved.set(material.uri, material);
  };
  const { remote } = contextOf(options);
  if (remote !== undefined) addResolved(remote);
  else locals.add("dockerfile");
  const visit = async (tree: TreeRef): Promise<void> => {
    if (tree.kind === "image") add(imageMaterial(tree.image, platform));
    if (tree.kind !== "context") return;
    if (tree.name === undefined) {
      if (remote === undefined && options.context.kind === "directory") locals.add("context");
      return;
    }
    const named = options.namedContexts.get(tree.name);
    if (named?.kind === "directory") locals.add(tree.name);
    if (named?.kind === "url") addResolved(await urlMaterial(named.url, undefined, context, undefined));
    const git = named?.kind === "git" ? gitContext(named.url, undefined) : undefined;
    if (git !== undefined) addResolved(await gitMaterial(git, context, undefined));
  };
  await visit(target.stage.result);
  for (const step of steps) {
    for (const tree of treesOf(step)) await visit(tree);
    if (step.input.kind !== "copy") continue;
    for (const source of step.input.sources) {
      const material = await sourceMaterial(source, step, context);
      if (material !== undefined) addResolved(material);
    }
  }
  const mounts = steps.flatMap(({ input }) => (input.kind === "run" ? input.mounts : []));
  return {
    materials: [...materials.values()],
    resolved,
    locals: [...locals].sort(),
    secrets: given(mounts.filter((mount) => mount.type === "secret")),
    ssh: given(mounts.filter((mount) => mount.type === "ssh")),
    usesNetwork: steps.some(({ input }) => input.kind === "run" && input.network !== "none"),
    steps,
  };
}

function contextOf({ context }: BuildOptions): { readonly remote: RemoteSource | undefined } {
  return { remote: context.kind === "directory" ? context.remote : undefined };
}

export function targetOf({ targets }: BuildGraph, platform: Platform): GraphTarget {
  const target = targets.find((one) => samePlatform(one.platform, platform));
  if (target === undefined) throw new Error("a result of a platform that was not asked for");
  return target;
}

/** What a step stands on, and what it takes from. */
export function treesOf({ parent, input }: Step): readonly TreeRef[] {
  if (input.kind === "copy") return input.sources.some(({ kind }) => kind === "path") ? [parent, input.from] : [parent];
  if (input.kind === "workdir") return [parent];
  return [parent, ...input.mounts.flatMap((mount) => ("from" in mount ? mount.from : []))];
}

/** In the graph's order, in which a step stands behind those it needs. */
function neededSteps(graph: BuildGraph, { stage }: GraphTarget): readonly Step[] {
  const needed = new Set<string>();
  const mark = (tree: TreeRef): void => {
    if (tree.kind === "step") needed.add(tree.step);
  };
  mark(stage.result);
  for (const step of [...graph.steps].reverse()) if (needed.has(step.id)) for (const tree of treesOf(step)) mark(tree);
  return graph.steps.filter(({ id }) => needed.has(id));
}

function given(mounts: readonly { readonly id: string; readonly required: boolean }[]): readonly GivenToSteps[] {
  const byId = new Map<string, boolean>();
  for (const { id, required } of mounts) byId.set(id, (byId.get(id) ?? true) && !required);
  return [...byId].sort(([a], [b]) => (a < b ? -1 : 1)).map(([id, optional]) => ({ id, optional }));
}

export function imageMaterial({ name, manifestDigest, id }: ResolvedImage, platform: Platform): Material {
  const digest = manifestDigest ?? (id as string as Digest);
  return {
    uri: packageUrl(parseReference(name), { digest, platform }),
    digest: { sha256: hexOf(digest) },
  };
}

async function sourceMaterial(source: CopySource, step: Step, context: CaptureContext): Promise<Material | undefined> {
  if (source.kind === "git") return await gitMaterial(source.source, context, step);
  if (source.kind !== "url" || step.input.kind !== "copy") return undefined;
  return await urlMaterial(source.url, step.input.checksum, context, step);
}

async function gitMaterial(source: GitSource, context: CaptureContext, step: Step | undefined): Promise<Material> {
  const { id } = await context.contexts.commit(source, { where: placeOf(step, context), signal: context.signal });
  return { uri: gitSourceUri(source), digest: { [id.length === 64 ? "sha256" : "sha1"]: id } };
}

async function urlMaterial(
  url: string,
  checksum: string | undefined,
  context: CaptureContext,
  step: Step | undefined,
): Promise<Material> {
  const where = placeOf(step, context) ?? { kind: "flag", flag: "--build-context" };
  const { digest } = await context.contexts.look({ url, checksum, where, signal: context.signal });
  return { uri: shownUrl(url), digest: { sha256: hexOf(digest) } };
}

function placeOf(step: Step | undefined, { graph }: CaptureContext): ReturnType<typeof whereOf> | undefined {
  return step === undefined ? undefined : whereOf(graph, step.range);
}
