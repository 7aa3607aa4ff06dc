/**
 * `rewrite-timestamp`: the layers that a build has made, with no time behind its SOURCE_DATE_EPOCH. The base image's stay.
 * Source: BuildKit, docs/build-repro.md.
 */
import type { LayerId, Store } from "../store/store.ts";
import { onLayers } from "./commit-image.ts";
import type { FinishedTarget } from "./finished-target.ts";

export async function rewriteTimes(store: Store, target: FinishedTarget, signal: AbortSignal): Promise<FinishedTarget> {
  const { chain, baseLayers, sourceDateEpoch } = target;
  if (sourceDateEpoch === undefined) return target;
  const rewritten: LayerId[] = chain.slice(0, baseLayers);
  for (const layer of chain.slice(baseLayers))
    rewritten.push(await store.layers.withMaxMtime(layer, sourceDateEpoch, rewritten, signal));
  return onLayers(store, target, rewritten);
}
