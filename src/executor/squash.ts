/**
 * `--squash`: the layers that a build has made as one, above those of its base image; or all of them. What each did stays
 * in the history, of layers without anything, and one more entry says what was done.
 * Source: moby, daemon/images/image_squash.go; buildah-build(1), "--squash", "--squash-all".
 */
import type { Chain, Store } from "../store/store.ts";
import { withHistory } from "./commit-image.ts";
import type { FinishedTarget } from "./finished-target.ts";
import { runThread } from "./run-thread.ts";

export type Squash = "own" | "all";

/** The same target when there is nothing to put together. */
export async function squash(
  store: Store,
  target: FinishedTarget,
  extent: Squash,
  signal: AbortSignal,
): Promise<FinishedTarget> {
  const kept = extent === "all" ? 0 : target.baseLayers;
  const below = target.chain.slice(0, kept);
  const above = target.chain.slice(kept);
  if (above.length === 0) return target;
  const chain = [...below, await merged(store, above, below, signal)];
  const { config, ownHistory, id, base } = target;
  const first = extent === "all" ? 0 : config.history.length - ownHistory;
  const history = config.history.map((entry, at) => (at < first ? entry : { ...entry, empty_layer: true }));
  const comment = kept === 0 || base === undefined ? `create new from ${id}` : `merge ${id} to ${base}`;
  // Not the time of now: the same layers are the same image.
  const last = { ...(config.created !== undefined && { created: config.created }), comment };
  return withHistory(store, { ...target, baseLayers: kept, ownHistory: ownHistory + 1 }, chain, [...history, last]);
}

async function merged(store: Store, above: Chain, below: Chain, signal: AbortSignal): Promise<Chain[number]> {
  const { layers } = store;
  await using snapshot = layers.prepare(below);
  const task = { trees: layers.trees(above), lowers: layers.trees(below), upperdir: snapshot.upperdir };
  await runThread("executor/merge-layers.worker.ts", task, signal);
  await using unsealed = snapshot.commit();
  return (await unsealed.seal(signal)).id;
}
