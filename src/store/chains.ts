/** Chains in the database: a node is a layer standing on a node. 0 is the empty chain. */
import { type ChainId, type ContentDigest, chainId, type DiffId, type ResultId, resultId } from "../oci/digest.ts";
import type { Database } from "./database.ts";
import { layerGone } from "./errors.ts";
import type { Chain, LayerId } from "./store.ts";

export const emptyNode = 0;

/**
 * The node of a chain, recorded if it was not. Call it within a transaction.
 * @throws {TsbuildError} `STORE_CORRUPT` when a layer is not there
 */
export function recordChain(db: Database, chain: Chain): number {
  let node = emptyNode;
  let ids: { readonly chain: ChainId; readonly result: ResultId } | undefined;
  for (const layer of chain) {
    const row = db.get("SELECT id, chain_id, result_id FROM nodes WHERE parent = ? AND layer = ?", node, layer);
    if (row !== undefined) {
      node = Number(row["id"]);
      ids = { chain: row["chain_id"] as ChainId, result: row["result_id"] as ResultId };
      continue;
    }
    const digests = digestsOf(db, layer);
    ids = { chain: chainId(ids?.chain, digests.diffId), result: resultId(ids?.result, digests.content) };
    db.run(
      "INSERT INTO nodes (parent, layer, chain_id, result_id) VALUES (?, ?, ?, ?)",
      node,
      layer,
      ids.chain,
      ids.result,
    );
    node = Number(db.get("SELECT last_insert_rowid() AS id")?.["id"]);
  }
  return node;
}

/** From bottom to top. */
export function chainOf(db: Database, node: number): Chain {
  if (node === emptyNode) return [];
  return db
    .all(
      `WITH RECURSIVE up (id, parent, layer, depth) AS (
         SELECT id, parent, layer, 0 FROM nodes WHERE id = ?
         UNION ALL SELECT nodes.id, nodes.parent, nodes.layer, depth + 1 FROM nodes JOIN up ON nodes.id = up.parent
       ) SELECT layer FROM up ORDER BY depth DESC`,
      node,
    )
    .map((row) => row["layer"] as LayerId);
}

export function chainIdOf(db: Database, chain: Chain): ChainId | undefined {
  let id: ChainId | undefined;
  for (const layer of chain) id = chainId(id, digestsOf(db, layer).diffId);
  return id;
}

export function resultIdOf(db: Database, chain: Chain): ResultId | undefined {
  let id: ResultId | undefined;
  for (const layer of chain) id = resultId(id, digestsOf(db, layer).content);
  return id;
}

function digestsOf(db: Database, layer: LayerId): { readonly diffId: DiffId; readonly content: ContentDigest } {
  const row = db.get("SELECT diff_id, content_digest FROM layers WHERE id = ?", layer);
  if (row === undefined) throw layerGone(layer);
  return { diffId: row["diff_id"] as DiffId, content: row["content_digest"] as ContentDigest };
}
