/**
 * What a build would do now, without doing it: each step's key, hit or miss and why, or which step has to run first.
 * The executor asks the same questions step by step, as results arrive.
 */
import { type CacheKey, type ContentDigest, type Digest, type ResultId, resultId } from "../oci/digest.ts";
import { positionOf } from "../parser/position.ts";
import type { Chain, Store } from "../store/store.ts";
import type { BuildContexts } from "./build-contexts.ts";
import type { BuildGraph, Step, StepId, TreeRef } from "./build-graph.ts";
import { explainMiss } from "./explain-miss.ts";
import type { Plan, PlannedStep, StepOutcome } from "./plan.ts";
import { cacheKey, type DefinitionContext, defineStep, originsOf, type StepDefinition } from "./step-definition.ts";

/** A cache elsewhere, of which nothing is fetched. */
export interface OfferedSteps {
  readonly title: string;
  hasDefinition(definition: Digest): boolean;
  /** `content`: of the step's layer; undefined where that is not told. */
  find(key: CacheKey): { readonly content: ContentDigest | undefined } | undefined;
}

export interface PlanContext {
  readonly store: Store;
  /** Asked in this order for what the store does not have. */
  readonly offers?: readonly OfferedSteps[];
  readonly contexts: BuildContexts;
  /** Epoch ms. */
  readonly now: number;
  readonly signal: AbortSignal;
}

/** A tree whose layers are known, or the step that has to run before they are. */
type KnownTree =
  | { readonly kind: "known"; readonly chain: Chain; readonly result: ResultId | undefined }
  /** Enough to key what stands on it; whoever takes files from it has to wait for them. */
  | { readonly kind: "elsewhere"; readonly result: ResultId; readonly step: StepId }
  | { readonly kind: "until"; readonly step: StepId };

/** @throws {TsbuildError} what `defineStep` throws: a source that is not there */
export async function planBuild(graph: BuildGraph, context: PlanContext): Promise<Plan> {
  const trees = new Map<StepId, KnownTree>();
  const steps: PlannedStep[] = [];
  for (const step of graph.steps) {
    const planned = await planStep(step, graph, context, (tree) => knownTree(tree, trees, context.store));
    trees.set(step.id, planned.tree);
    steps.push(planned.step);
  }
  context.contexts.save();
  return { steps };
}

interface PlanOfStep {
  readonly step: PlannedStep;
  readonly tree: KnownTree;
}

async function planStep(
  step: Step,
  graph: BuildGraph,
  context: PlanContext,
  treeOf: (tree: TreeRef) => KnownTree,
): Promise<PlanOfStep> {
  const waiting = originsOf(step)
    .map(treeOf)
    .find((tree) => tree.kind !== "known");
  if (waiting !== undefined) return planned(step, graph, undefined, { kind: "unknown", until: waiting.step });
  const definitionContext: DefinitionContext = {
    ...context,
    graph,
    chainOf: (tree) => {
      const known = treeOf(tree);
      return known.kind === "known" ? known.chain : [];
    },
  };
  const definition = await defineStep(step, definitionContext);
  const parent: KnownTree = definition.needsParent
    ? treeOf(step.parent)
    : { kind: "known", chain: [], result: undefined };
  if (parent.kind === "until") {
    // Without any record it cannot hit, whatever it will stand on.
    const isKnown =
      context.store.cache.hasDefinition(definition.digest) ||
      context.offers?.some((offer) => offer.hasDefinition(definition.digest));
    if (!step.noCache && isKnown) return planned(step, graph, definition, { kind: "unknown", until: parent.step });
    const explained = explainMiss(context.store, { graph, step, definition, parent: "unknown" });
    return planned(step, graph, definition, { kind: "miss", key: undefined, ...explained });
  }
  const key = cacheKey(parent.result, definition);
  const record = step.noCache ? undefined : context.store.cache.find(key);
  if (record === undefined) {
    const offer = step.noCache ? undefined : findOffer(context.offers ?? [], key);
    if (offer !== undefined)
      return {
        ...planned(step, graph, definition, { kind: "offered", key, from: offer.title }),
        tree: offeredTree(step.id, definition.needsParent ? parent : treeOf(step.parent), offer.content),
      };
    const explained = explainMiss(context.store, { graph, step, definition, parent: parent.result });
    return planned(step, graph, definition, { kind: "miss", key, ...explained });
  }
  const below = treeOf(step.parent);
  // A linked copy lies on whatever is below it.
  if (!definition.needsParent && below.kind === "elsewhere") {
    const { contentDigest } = context.store.layers.get(record.layer);
    return {
      ...planned(step, graph, definition, { kind: "hit", key, record }),
      tree: offeredTree(step.id, below, contentDigest),
    };
  }
  const chain = definition.needsParent
    ? record.chain
    : below.kind === "known"
      ? [...below.chain, record.layer]
      : undefined;
  const tree: KnownTree =
    chain === undefined ? below : { kind: "known", chain, result: context.store.layers.resultId(chain) };
  return { ...planned(step, graph, definition, { kind: "hit", key, record }), tree };
}

function findOffer(
  offers: readonly OfferedSteps[],
  key: CacheKey,
): { readonly title: string; readonly content: ContentDigest | undefined } | undefined {
  for (const offer of offers) {
    const found = offer.find(key);
    if (found !== undefined) return { title: offer.title, content: found.content };
  }
  return undefined;
}

function offeredTree(step: StepId, below: KnownTree, content: ContentDigest | undefined): KnownTree {
  if (below.kind === "until") return below;
  return content === undefined
    ? { kind: "until", step }
    : { kind: "elsewhere", result: resultId(below.result, content), step };
}

function planned(
  step: Step,
  graph: BuildGraph,
  definition: StepDefinition | undefined,
  outcome: StepOutcome,
): PlanOfStep {
  const { id, label, text, range } = step;
  const line = positionOf(graph, range.start).line;
  return {
    step: { id, label, text, line, definition: definition?.digest, outcome },
    tree: { kind: "until", step: outcome.kind === "unknown" ? outcome.until : id },
  };
}

function knownTree(tree: TreeRef, trees: ReadonlyMap<StepId, KnownTree>, store: Store): KnownTree {
  switch (tree.kind) {
    case "step": {
      const known = trees.get(tree.step);
      if (known === undefined) throw new Error(`step ${tree.step} stands below what needs it`);
      return known;
    }
    case "image":
      return { kind: "known", chain: tree.image.chain, result: store.layers.resultId(tree.image.chain) };
    case "scratch":
    case "context":
      return { kind: "known", chain: [], result: undefined };
  }
}
