/**
 * From a stage's template and its finished layers to an image in the store: history times, config bytes, names.
 * Source: BuildKit's exporter/containerimage `patchImageConfig` and `normalizeLayersAndHistory`.
 */
import { type DiffId, imageIdOf, sha256 } from "../oci/digest.ts";
import type { HistoryEntry, ImageConfig, Timestamp } from "../oci/image-config.ts";
import { imageConfigJson, timestampOfMs } from "../oci/image-config-json.ts";
import type { Reference } from "../oci/reference.ts";
import type { ImageTemplate, StepId } from "../planner/build-graph.ts";
import type { Chain, Store, StoredImage } from "../store/store.ts";
import type { FinishedTarget } from "./finished-target.ts";

const comment = "buildkit.dockerfile.v0";

export interface FinishedStage {
  readonly template: ImageTemplate;
  readonly chain: Chain;
  /** How many layers of `chain` came from the base image. */
  readonly baseLayers: number;
  /** When each step's layer was first built. */
  readonly createdBy: (step: StepId) => Timestamp;
}

/** The image's config and ID: the same layers and times give the same ID. */
export function finishTarget(
  store: Store,
  stage: FinishedStage,
  { platform, base, sourceDateEpoch }: Pick<FinishedTarget, "platform" | "base" | "sourceDateEpoch">,
): FinishedTarget {
  const { chain, baseLayers, template } = stage;
  const config = imageConfig(
    stage,
    chain.map((layer) => store.layers.get(layer).diffId),
  );
  const ownHistory = template.history.length;
  const target = withConfig({ platform, base, chain, baseLayers, ownHistory, sourceDateEpoch: undefined }, config);
  return sourceDateEpoch === undefined ? target : atEpoch(target, sourceDateEpoch);
}

function withConfig(
  target: Omit<FinishedTarget, "config" | "configBytes" | "id">,
  config: ImageConfig,
): FinishedTarget {
  const configBytes = imageConfigJson(config);
  return { ...target, config, configBytes, id: imageIdOf(sha256(configBytes)) };
}

/** The same with times of this build's history, and the image's own, not behind `epoch`; a base keeps its times. */
export function atEpoch(target: FinishedTarget, epoch: number): FinishedTarget {
  const { config, ownHistory } = target;
  const clamped = (time: Timestamp | undefined): Timestamp =>
    time === undefined || Date.parse(time) > epoch * 1000 ? timestampOfMs(epoch * 1000) : time;
  const first = config.history.length - ownHistory;
  return withConfig(
    { ...target, sourceDateEpoch: epoch },
    {
      ...config,
      created: clamped(config.created),
      history: config.history.map((entry, at) => (at < first ? entry : { ...entry, created: clamped(entry.created) })),
    },
  );
}

/** The same with records of the cache in its config. */
export function withInlineCache(target: FinishedTarget, document: Uint8Array): FinishedTarget {
  const cache = Buffer.from(document).toString("base64");
  return withConfig(target, { ...target.config, "moby.buildkit.cache.v0": cache });
}

/** The same files in other layers, which have the same places in the history. */
export function onLayers(store: Store, target: FinishedTarget, chain: Chain): FinishedTarget {
  const diffIds = chain.map((layer) => store.layers.get(layer).diffId);
  return withConfig({ ...target, chain }, { ...target.config, rootfs: { type: "layers", diff_ids: diffIds } });
}

/** The same on other layers, with another history of them. */
export function withHistory(
  store: Store,
  target: FinishedTarget,
  chain: Chain,
  history: readonly HistoryEntry[],
): FinishedTarget {
  const { config, ...rest } = onLayers(store, target, chain);
  return withConfig(rest, { ...config, history });
}

/** Writes the image and points `tags` at it. Idempotent. */
export function commitImage(
  store: Store,
  { id, configBytes: config, chain }: FinishedTarget,
  tags: readonly Reference[],
): StoredImage {
  // A build that is all cached makes the image that is there: looking costs less than writing to the disk again.
  const image = store.images.get(id) ?? store.images.add({ config, chain });
  for (const tag of tags)
    if (store.images.resolve(tag)?.id !== image.id || store.images.index(tag) !== undefined)
      store.images.tag(tag, image.id);
  return image;
}

export function imageConfig(stage: Omit<FinishedStage, "chain">, diffIds: readonly DiffId[]): ImageConfig {
  const { template } = stage;
  const history = withTimes([
    ...completeBaseHistory(template.baseHistory, stage.baseLayers),
    ...template.history.map((entry) =>
      entry.step === undefined
        ? { created_by: entry.createdBy, comment, empty_layer: true }
        : { created: stage.createdBy(entry.step), created_by: entry.createdBy, comment },
    ),
  ]);
  const created = history.findLast((entry) => entry.created !== undefined)?.created;
  return {
    architecture: template.architecture,
    os: template.os,
    config: template.config,
    history,
    rootfs: { type: "layers", diff_ids: diffIds },
    ...(template.author !== undefined && { author: template.author }),
    ...(template.variant !== undefined && { variant: template.variant }),
    ...(created !== undefined && { created }),
  };
}

/** A base whose history does not account for each of its layers would shift ours onto the wrong ones. */
function completeBaseHistory(history: readonly HistoryEntry[], layers: number): readonly HistoryEntry[] {
  const missing = layers - history.filter((entry) => entry.empty_layer !== true).length;
  return missing <= 0 ? history : [...history, ...Array.from({ length: missing }, () => ({ comment }))];
}

/**
 * Entries without a time take one: the first run of them that of the layer below, all later ones that of the nearest
 * entry above. So a fully cached build gives identical bytes.
 */
export function withTimes(history: readonly HistoryEntry[]): readonly HistoryEntry[] {
  const firstWithout = history.findIndex((entry) => entry.created === undefined);
  if (firstWithout < 0) return history;
  const next = history.slice(firstWithout).find((entry) => entry.created !== undefined);
  let time = (next ?? history.findLast((entry) => entry.created !== undefined))?.created;
  let seen = false;
  return history.map((entry) => {
    if (entry.created !== undefined) {
      if (seen) time = entry.created;
      return entry;
    }
    seen = true;
    return time === undefined ? entry : { created: time, ...entry };
  });
}
