/** What a container changed in its image's files. */
import { bytePath, textOfBytePath } from "../kernel/byte-path.ts";
import { layerChanges } from "../store/layer-changes.ts";
import { layeredView } from "../store/layered-view.ts";
import { ownLayout } from "../store/overlay-marks.ts";
import type { Store } from "../store/store.ts";
import type { LiveContainer } from "./containers/container-folder.ts";

export interface ContainerChange {
  readonly kind: "added" | "changed" | "deleted";
  /** Absolute, as text. */
  readonly path: string;
}

/** Sorted by path. Running or stopped alike; volumes and what the runtime mounts are no changes. */
export function containerChanges(store: Store, { folder, record }: LiveContainer): readonly ContainerChange[] {
  const trees = store.layers.trees(record.image.layers);
  const changes = layerChanges({
    tree: bytePath(folder.upperdir),
    lowers: trees.toReversed().map(bytePath),
    layout: ownLayout(),
  });
  const image = layeredView(trees);
  const found = (changes?.entries ?? []).map(({ type, path }): ContainerChange => {
    const shown = `/${textOfBytePath(path)}`;
    if (type === "whiteout") return { kind: "deleted", path: shown };
    const before = image.lookup(path, { followLast: false });
    return { kind: before === undefined ? "added" : "changed", path: shown };
  });
  return found.sort((a, b) => (a.path < b.path ? -1 : a.path > b.path ? 1 : 0));
}
