/**
 * `compression=estargz`: the same files in layers of that format. What the format adds belongs to a layer's tar, so the
 * layers are others, and the image is another one. As in BuildKit, util/compression, every layer is converted.
 */
import { type DiffId, diffIdOf, isDigest } from "../oci/digest.ts";
import { tocDigestAnnotation } from "../store/estargz.ts";
import type { LayerId, Store } from "../store/store.ts";
import { onLayers } from "./commit-image.ts";
import type { FinishedTarget } from "./finished-target.ts";

export async function asEstargz(
  store: Store,
  target: FinishedTarget,
  level: number,
  signal: AbortSignal,
): Promise<FinishedTarget> {
  const converted: LayerId[] = [];
  for (const layer of target.chain) {
    const { blob, diffId } = store.layers.get(layer);
    if (blob?.annotations?.[tocDigestAnnotation] !== undefined && store.blobs.hold(blob.digest)) {
      converted.push(layer);
      continue;
    }
    const name = `estargz-${level}/${diffId}`;
    const known = recalled(store, name);
    const made = await store.layers.asEstargz(layer, { level, known }, converted, signal);
    store.memo.set(name, Buffer.from(store.layers.get(made).diffId));
    converted.push(made);
  }
  return onLayers(store, target, converted);
}

/** What the layer became when it was converted before. */
function recalled(store: Store, name: string): DiffId | undefined {
  const text = store.memo.get(name)?.toString() ?? "";
  return isDigest(text) ? diffIdOf(text) : undefined;
}
