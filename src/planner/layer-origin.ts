/**
 * A chain of layers as an origin. Digests come from the index that is kept beside each layer: no file is read.
 */
import { LRUCache } from "lru-cache";
import type { BytePath } from "../kernel/byte-path.ts";
import type { LayerEntry } from "../store/layer-entry.ts";
import { type Found, layeredView } from "../store/layered-view.ts";
import type { Chain, LayerId, Store } from "../store/store.ts";
import { hashFiles } from "./hash-files.ts";
import { emptyOrigin, type FileFacts, type Origin, type OriginNode } from "./origin.ts";

type FileIndex = ReadonlyMap<BytePath, FileFacts>;

const indexes = new LRUCache<LayerId, FileIndex>({ max: 64 });

export function layerOrigin(store: Store, chain: Chain): Origin {
  if (chain.length === 0) return emptyOrigin;
  const view = layeredView(store.layers.trees(chain));
  return {
    lookup: (path, options) => view.lookup(path, options),
    // Nodes are the very values that this view gave.
    readdir: (folder) => view.readdir(folder as Found),
    owners: "kept",
    facts: (files, signal) => factsOf(store, chain, files, signal),
  };
}

async function factsOf(
  store: Store,
  chain: Chain,
  files: readonly OriginNode[],
  signal: AbortSignal,
): Promise<readonly FileFacts[]> {
  const trees = chain.map((id) => ({ id, prefix: `${store.layers.tree(id)}/` }));
  const facts = files.map((file) => {
    const path = file.hostPath.toString();
    const layer = trees.find(({ prefix }) => path.startsWith(prefix));
    return layer === undefined ? undefined : indexOf(store, layer.id).get(file.path);
  });
  // A file that no index has lies in an upperdir that is not sealed yet.
  const unknown = files.filter((_, index) => facts[index] === undefined);
  if (unknown.length === 0) return facts as FileFacts[];
  const digests = await hashFiles(
    unknown.map(({ hostPath, stat }) => ({ hostPath, size: Number(stat.size) })),
    signal,
  );
  let next = 0;
  return facts.map((known) => {
    if (known !== undefined) return known;
    const digest = digests[next++];
    if (digest === undefined) throw new Error("a file without digest");
    return { digest };
  });
}

function indexOf(store: Store, layer: LayerId): FileIndex {
  const known = indexes.get(layer);
  if (known !== undefined) return known;
  const index = new Map<BytePath, FileFacts>();
  for (const entry of store.layers.index(layer)) {
    const facts = factsOfEntry(entry, index);
    if (facts !== undefined) index.set(entry.path, facts);
  }
  indexes.set(layer, index);
  return index;
}

function factsOfEntry(entry: LayerEntry, index: FileIndex): FileFacts | undefined {
  if (entry.type === "hardlink") return index.get(entry.target);
  if (entry.type !== "file") return undefined;
  return entry.capability === undefined
    ? { digest: entry.digest }
    : { digest: entry.digest, capability: entry.capability };
}
