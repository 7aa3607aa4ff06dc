/** From an upperdir to a layer's index and identities. */
import { readFileSync, writeFileSync } from "node:fs";
import type { ContentDigest, DiffId } from "../oci/digest.ts";
import { storeCorrupt } from "./errors.ts";
import { type LayerChanges, layerChanges, type Upper, type WalkBudget } from "./layer-changes.ts";
import { contentDigest, decodeIndex, encodeIndex, type LayerIndex } from "./layer-index.ts";
import { contentIn, packedLayer } from "./pack-layer.ts";

export interface SealTask extends Upper {
  readonly kind: "seal";
  /** Folder of the layer, as text: holds `tree`, and `index` afterwards. */
  readonly folder: string;
}

export interface Sealed {
  readonly diffId: DiffId;
  readonly contentDigest: ContentDigest;
  readonly sizeBytes: number;
}

/** Undefined, and nothing done, when the budget does not suffice. */
export function sealLayer(task: SealTask, budget?: WalkBudget): Sealed | undefined {
  const changes = layerChanges(task, budget);
  return changes === undefined ? undefined : sealChanges(task, changes);
}

function sealChanges(task: SealTask, changes: LayerChanges): Sealed {
  const packed = packedLayer(changes.entries, contentIn(task.tree));
  writeFileSync(indexFile(task.folder), encodeIndex({ entries: packed.entries, omitted: changes.omitted }), {
    mode: 0o600,
  });
  return { diffId: packed.diffId, contentDigest: contentDigest(packed.entries), sizeBytes: packed.sizeBytes };
}

export function indexFile(folder: string): string {
  return `${folder}/index`;
}

/** @throws {TsbuildError} `STORE_CORRUPT` */
export function readIndex(folder: string): LayerIndex {
  const file = indexFile(folder);
  try {
    return decodeIndex(readFileSync(file, "utf8"));
  } catch {
    throw storeCorrupt("a layer's index is missing or damaged", file);
  }
}
