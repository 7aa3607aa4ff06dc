/**
 * A build without containers: each step that is not in the cache makes a layer that only depends on what it is told to,
 * so that keys, plans and reasons can be tested against a real store.
 */
import { writeFileSync } from "node:fs";
import { type ResultId, sha256 } from "../../../src/oci/digest.ts";
import { familiarReference } from "../../../src/oci/reference.ts";
import { parse } from "../../../src/parser/parse.ts";
import { throwIfErrors } from "../../../src/parser/position.ts";
import { buildGraph } from "../../../src/planner/bind.ts";
import { BuildContexts } from "../../../src/planner/build-contexts.ts";
import type { BuildGraph, ResolvedImage, Step, StepId, TreeRef } from "../../../src/planner/build-graph.ts";
import type { BuildOptions } from "../../../src/planner/build-options.ts";
import type { Plan } from "../../../src/planner/plan.ts";
import { planBuild } from "../../../src/planner/plan-build.ts";
import { type KnownDefinition, knownDefinition } from "../../../src/planner/remembered-definition.ts";
import { cacheKey, defineStep, type StepDefinition, siteOf } from "../../../src/planner/step-definition.ts";
import type { Chain, Store } from "../../../src/store/store.ts";
import { image, noOptions } from "./graph.ts";

export interface BuildRequest {
  readonly folder?: string;
  readonly ignore?: string;
  readonly args?: Record<string, string>;
  readonly options?: Partial<BuildOptions>;
  /** What a RUN leaves in the tree: its file's content. By default its command. */
  readonly output?: (step: Step) => string;
  /** Names and contents of base images: other contents are another image of the same name. */
  readonly bases?: Readonly<Record<string, string>>;
}

const signal = new AbortController().signal;

async function layer(store: Store, parent: Chain, name: string, content: string): Promise<Chain> {
  await using snapshot = store.layers.prepare(parent);
  writeFileSync(`${snapshot.upperdir}/${name}`, content);
  await using unsealed = snapshot.commit();
  const record = await unsealed.seal(signal);
  // As the executor does: files that were made before take the layer of then.
  const result = store.layers.resultId([...parent, record.id]);
  const older = result === undefined ? undefined : store.layers.findByResult(result);
  return [...parent, older?.at(-1) ?? record.id];
}

async function graphFor(store: Store, text: string, request: BuildRequest): Promise<BuildGraph> {
  const result = parse(text.replaceAll("⏎", "\n"), { file: "Dockerfile" });
  throwIfErrors(result);
  const options = optionsOf(request);
  return buildGraph(result.dockerfile, options, async (reference): Promise<ResolvedImage> => {
    const name = familiarReference(reference);
    const content = request.bases?.[name] ?? name;
    return { ...image(name, {}), chain: await layer(store, [], "base", content) };
  });
}

function optionsOf(request: BuildRequest): BuildOptions {
  return {
    ...noOptions,
    context: request.folder === undefined ? { kind: "empty" } : { kind: "directory", path: request.folder },
    ignore: request.ignore === undefined ? undefined : { text: request.ignore, file: ".dockerignore" },
    ...request.options,
    buildArgs: new Map(Object.entries(request.args ?? {})),
  };
}

export async function plan(store: Store, text: string, request: BuildRequest = {}): Promise<Plan> {
  const graph = await graphFor(store, text, request);
  using contexts = new BuildContexts(optionsOf(request), store);
  return await planBuild(graph, { store, contexts, now: 0, signal });
}

/** Of the first step: as a build looks it up, and found out from the beginning. */
export async function firstDefinition(
  store: Store,
  text: string,
  request: BuildRequest,
): Promise<{ readonly known: KnownDefinition; readonly fresh: StepDefinition }> {
  const graph = await graphFor(store, text, request);
  const [step] = graph.steps;
  if (step === undefined) throw new Error(`no step: ${text}`);
  const contextOf = () => ({
    graph,
    store,
    contexts: new BuildContexts(optionsOf(request), store),
    chainOf,
    now: 0,
    signal,
  });
  const chainOf = (): Chain => [];
  return { known: await knownDefinition(step, contextOf()), fresh: await defineStep(step, contextOf()) };
}

/** Returns the texts of the steps that were not in the cache. */
export async function build(store: Store, text: string, request: BuildRequest = {}): Promise<readonly string[]> {
  const graph = await graphFor(store, text, request);
  using contexts = new BuildContexts(optionsOf(request), store);
  const chains = new Map<StepId, Chain>();
  const chainOf = (tree: TreeRef): Chain =>
    tree.kind === "step" ? (chains.get(tree.step) ?? []) : tree.kind === "image" ? tree.image.chain : [];
  const ran: string[] = [];
  for (const step of graph.steps) {
    const definition = await defineStep(step, { graph, store, contexts, chainOf, now: 0, signal });
    const below = chainOf(step.parent);
    const parent: ResultId | undefined = store.layers.resultId(definition.needsParent ? below : []);
    const key = cacheKey(parent, definition);
    const record = step.noCache ? undefined : store.cache.find(key);
    if (record !== undefined) {
      store.cache.touch(key);
      chains.set(step.id, [...below, record.layer]);
      continue;
    }
    ran.push(step.text);
    const output = request.output?.(step) ?? (step.input.kind === "run" ? step.text : definition.digest);
    const made = await layer(
      store,
      definition.needsParent ? below : [],
      `made-by-${sha256(step.text).slice(7, 15)}`,
      output,
    );
    store.cache.put({
      key,
      definition: definition.digest,
      parent,
      chain: made,
      kind: step.input.kind,
      site: siteOf(graph, step),
      instruction: step.text,
      input: definition.input,
      durationMs: 1,
    });
    chains.set(step.id, [...below, ...made.slice(-1)]);
  }
  contexts.save();
  return ran;
}
