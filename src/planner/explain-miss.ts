/** From a step that missed to the reasons: every difference of its definition to the nearest record's. */
import type { ResultId } from "../oci/digest.ts";
import type { CacheRecord, Store } from "../store/store.ts";
import type { BuildGraph, Step, TreeRef } from "./build-graph.ts";
import { definitionDifferences } from "./definition-differences.ts";
import { fileNameOf, shownUrl } from "./download.ts";
import type { MissReason } from "./miss-reason.ts";
import { type StepDefinition, siteOf } from "./step-definition.ts";

export interface Miss {
  readonly graph: BuildGraph;
  readonly step: Step;
  readonly definition: StepDefinition;
  /** What it stands on; `"unknown"` while that is not sealed, which does not matter to a definition without a record. */
  readonly parent: ResultId | undefined | "unknown";
}

export interface ExplainedMiss {
  /** Most telling first. */
  readonly reasons: readonly [MissReason, ...MissReason[]];
  /** What the step was compared with. */
  readonly nearest: CacheRecord | undefined;
}

/**
 * Compares with the records of the same place in the same Dockerfile, or else with those of the same kind that differ
 * little. Values of variables whose names speak of secrets are not shown.
 */
export function explainMiss(store: Pick<Store, "cache">, miss: Miss): ExplainedMiss {
  const { graph, step, definition, parent } = miss;
  if (step.noCache) return { reasons: [{ code: "no-cache-flag" }], nearest: undefined };
  const site = siteOf(graph, step);
  const candidates = store.cache.nearest(site, step.input.kind);
  const same = candidates.find((record) => record.definition === definition.digest);
  if (same !== undefined) return { reasons: [parentReason(graph, step, same, parent)], nearest: same };
  const now = JSON.parse(definition.input) as Record<string, unknown>;
  const compared = (record: CacheRecord): Compared => {
    const reasons = reasonsAgainst(record, now, miss, store);
    return { record, reasons, distance: reasons.reduce((sum, reason) => sum + weight(reason), 0) };
  };
  // Inputs can be large, so no more of them are read than are needed to be sure.
  let best: Compared | undefined;
  for (const record of candidates.filter((one) => one.site === site).slice(0, maxCompared)) {
    const one = compared(record);
    if (best === undefined || one.distance < best.distance) best = one;
    if (best.distance < tooDifferent) break;
  }
  if (best === undefined || best.distance >= tooDifferent) {
    // The line may have moved, or stand in another Dockerfile.
    const elsewhere = candidates.filter((one) => one.site !== site && one.instruction === step.text);
    for (const record of elsewhere.slice(0, maxCompared)) {
      const one = compared(record);
      if (one.distance < tooDifferent && (best === undefined || one.distance < best.distance)) best = one;
    }
  }
  const [first, ...rest] = best?.reasons ?? [];
  return first === undefined
    ? { reasons: [{ code: "never-built" }], nearest: undefined }
    : { reasons: [first, ...rest], nearest: best?.record };
}

interface Compared {
  readonly record: CacheRecord;
  readonly reasons: readonly MissReason[];
  readonly distance: number;
}

const maxCompared = 3;
/** With another command it is another step, not a changed one: then only the same place makes it comparable. */
const tooDifferent = 20;

function weight(reason: MissReason): number {
  switch (reason.code) {
    case "instruction-changed":
      return tooDifferent;
    case "file-added":
    case "file-removed":
    case "file-changed":
      return Math.min(15, 1 + reason.count);
    default:
      return 2;
  }
}

function reasonsAgainst(
  record: CacheRecord,
  now: Readonly<Record<string, unknown>>,
  { step }: Miss,
  store: Pick<Store, "cache">,
): readonly MissReason[] {
  let before: unknown;
  try {
    before = JSON.parse(store.cache.input(record));
  } catch {
    return [{ code: "record-broken" }];
  }
  if (typeof before !== "object" || before === null) return [{ code: "record-broken" }];
  const differences = definitionDifferences(
    // Both are what `defineStep` wrote, in this or another format.
    { value: before as Record<string, unknown>, instruction: record.instruction },
    { value: now, instruction: step.text },
    new Set(step.args),
  );
  return differences.flatMap((reason) => urlReasons(reason, step) ?? reason);
}

/** Files that came from a URL are known by that. */
function urlReasons(reason: MissReason, { input }: Step): readonly MissReason[] | undefined {
  if (reason.code !== "file-changed" || input.kind !== "copy") return undefined;
  const urls = input.sources.flatMap((source) =>
    source.kind === "url" && reason.paths.includes(fileNameOf(source.url)) ? source.url : [],
  );
  if (urls.length === 0) return undefined;
  return urls.map((url) => ({ code: "url-changed", url: shownUrl(url) }));
}

function parentReason(graph: BuildGraph, step: Step, record: CacheRecord, parent: Miss["parent"]): MissReason {
  if (parent !== "unknown" && record.parent === parent) return { code: "record-broken" };
  return standsOn(graph, step.parent, record, parent);
}

function standsOn(graph: BuildGraph, tree: TreeRef, record: CacheRecord, parent: Miss["parent"]): MissReason {
  switch (tree.kind) {
    case "step": {
      const below = graph.steps.find((one) => one.id === tree.step);
      return { code: "parent-changed", step: below === undefined ? undefined : titleOf(below) };
    }
    default:
      return {
        code: "base-moved",
        from: short(record.parent),
        to: parent === "unknown" ? "another" : short(parent),
      };
  }
}

function titleOf(step: Step): string {
  return `[${step.label}] ${step.text}`;
}

function short(id: ResultId | undefined): string {
  return id === undefined ? "scratch" : id.slice("sha256:".length, "sha256:".length + 12);
}
