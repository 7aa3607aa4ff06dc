/** What a prune takes: containers that ended, images nobody needs, cache records no image stands on. */
import { familiarReference } from "../oci/reference.ts";
import { type Container, listContainers } from "../runtime/containers/container-folder.ts";
import { type ContainerState, observe } from "../runtime/containers/container-state.ts";
import { containersUsing } from "../runtime/containers/containers-using.ts";
import { removeContainer } from "../runtime/containers/remove-container.ts";
import { isUp } from "../runtime/containers/stop-container.ts";
import { diskUsage } from "../store/disk-usage.ts";
import type { CacheRecord, Chain, Store, StoredImage } from "../store/store.ts";
import { type Filters, labelsFit } from "./filters.ts";
import { imageFilter, isDangling } from "./image-filters.ts";
import { parseTime } from "./render/time.ts";

export const pruneFilterKeys = ["label", "label!", "until"] as const;

export interface PruneOptions {
  readonly filters: Filters;
  readonly nowMs: number;
  /** Changes nothing. */
  readonly dryRun: boolean;
}

export interface Pruned {
  /** What is gone, one line each. */
  readonly lines: readonly string[];
  readonly freedBytes: number;
}

export function pruneContainers(store: Store, options: PruneOptions): Pruned {
  const until = (options.filters.get("until") ?? []).map((text) => parseTime(text, options.nowMs));
  const isOver = (container: Container, state: ContainerState): boolean =>
    !isUp(state) &&
    until.every((time) => Date.parse(container.record?.created ?? "") < time) &&
    labelsFit(options.filters, container.record?.labels ?? {});
  const ended = listContainers(store).filter((container) => isOver(container, observe(container.folder)));
  let freedBytes = 0;
  for (const { folder } of ended) {
    freedBytes += diskUsage(folder.path);
    if (!options.dryRun) removeContainer(store, folder.id, { volumes: true });
  }
  return { lines: ended.map(({ folder }) => folder.id), freedBytes };
}

/** Images without a name; with `all`, every image that no container stands on. */
export function pruneImages(store: Store, options: PruneOptions & { readonly all: boolean }): Pruned {
  const used = new Set(containersUsing(store).map((user) => user.image));
  const fits = imageFilter(store.images, options.filters, options.nowMs);
  const unneeded = store.images
    .list()
    .filter((image) => !used.has(image.id) && (options.all || isDangling(image)) && fits(image));
  const lines: string[] = [];
  let freedBytes = 0;
  for (const image of unneeded) {
    for (const name of [...image.references, ...image.repoDigests]) lines.push(`untagged: ${familiarReference(name)}`);
    lines.push(`deleted: ${image.id}`);
    freedBytes += options.dryRun ? image.sizeBytes : store.images.remove(image.id);
  }
  return { lines, freedBytes };
}

/** Records whose layers are in no image; with `all`, every record. */
export function pruneCache(store: Store, options: PruneOptions & { readonly all: boolean }): Pruned {
  const until = (options.filters.get("until") ?? []).map((text) => parseTime(text, options.nowMs));
  const inImages = chainsOf(store.images.list());
  const unused = store.cache
    .list()
    .filter(
      (record) =>
        (options.all || !inImages.has(keyOf(record.chain))) && until.every((time) => record.lastUsed.getTime() < time),
    );
  const freedBytes = options.dryRun
    ? unused.reduce((sum, record) => sum + record.sizeBytes, 0)
    : store.cache.remove(unused.map((record) => record.key)) + (options.all ? store.dropCompressedForms() : 0);
  return { lines: unused.map(describeRecord), freedBytes };
}

function describeRecord(record: CacheRecord): string {
  return `${record.key.slice("sha256:".length, "sha256:".length + 12)}  ${record.instruction}`;
}

/** Every beginning of every image's chain: what an image stands on. */
function chainsOf(images: readonly StoredImage[]): ReadonlySet<string> {
  const chains = new Set<string>();
  for (const { chain } of images) {
    for (let length = 1; length <= chain.length; length += 1) chains.add(keyOf(chain.slice(0, length)));
  }
  return chains;
}

function keyOf(chain: Chain): string {
  return chain.join("/");
}
