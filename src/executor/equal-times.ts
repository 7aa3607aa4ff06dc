/**
 * Whether a layer may stand for another one that holds the same, in spite of its times. "When it was built" is as good as
 * any; a time that the step has chosen (`touch -d`, an unpacked archive, a copied file) is part of what it made.
 */
import type { LayerId, Store } from "../store/store.ts";

/** `startedMs`: when the step that made `newer` began. */
export function haveEqualTimes(store: Store, older: LayerId, newer: LayerId, startedMs: number): boolean {
  const { layers, cache } = store;
  const duration = cache.durationOf(older);
  const olderStart =
    duration === undefined ? Number.POSITIVE_INFINITY : firstSecond(layers.get(older).created, duration);
  const newerStart = Math.floor(startedMs / 1000) - 1;
  const before = layers.index(older);
  const now = layers.index(newer);
  // Equal content: the same entries in the same order.
  return now.every(({ mtime }, at) => {
    const earlier = before[at]?.mtime;
    return earlier === mtime || (earlier !== undefined && earlier >= olderStart && mtime >= newerStart);
  });
}

/** A layer is recorded when it is packed, some time after its step ended. */
function firstSecond(recorded: Date, durationMs: number): number {
  return Math.floor((recorded.getTime() - durationMs) / 1000) - packingSeconds;
}

const packingSeconds = 60;
