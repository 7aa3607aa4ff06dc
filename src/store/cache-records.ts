/** Cache records: a key, and the chain its step made. The canonical input lies beside them, to explain a miss later. */
import { constants, zstdCompressSync, zstdDecompressSync } from "node:zlib";
import type { CacheKey, Digest, ResultId } from "../oci/digest.ts";
import { sha256 } from "../oci/digest.ts";
import { chainOf, recordChain } from "./chains.ts";
import { collectGarbage } from "./collect.ts";
import type { Row } from "./database.ts";
import { storeCorrupt } from "./errors.ts";
import type { CacheRecord, CacheStore, LayerId } from "./store.ts";
import type { StoreContext } from "./store-context.ts";

const maxCandidates = 20;
/** A list of ten thousand files takes half as long as at the usual level, and is no larger. */
function compressed(input: string): Buffer {
  return zstdCompressSync(input, { params: { [constants.ZSTD_c_compressionLevel]: 1 } });
}

const columns = `
  cache_records.key, definition, cache_records.parent, cache_records.node, kind, site, instruction, duration_ms,
  cache_records.created_ms, last_used_ms, uses, added, layers.id AS layer, layers.size_bytes AS size_bytes
  FROM cache_records JOIN nodes ON nodes.id = cache_records.node JOIN layers ON layers.id = nodes.layer`;

export function cacheStore(context: StoreContext): CacheStore {
  const { db } = context;

  const recordOf = (row: Row): CacheRecord => ({
    key: row["key"] as CacheKey,
    definition: row["definition"] as Digest,
    parent: (row["parent"] ?? undefined) as ResultId | undefined,
    chain: chainOf(db, Number(row["node"])),
    kind: String(row["kind"]),
    site: String(row["site"]),
    instruction: String(row["instruction"]),
    durationMs: Number(row["duration_ms"]),
    layer: row["layer"] as LayerId,
    sizeBytes: Number(row["size_bytes"]),
    created: new Date(Number(row["created_ms"])),
    lastUsed: new Date(Number(row["last_used_ms"])),
    uses: Number(row["uses"]),
  });

  return {
    find(key) {
      const row = db.get(`SELECT ${columns} WHERE key = ?`, key);
      return row === undefined ? undefined : recordOf(row);
    },
    hasDefinition: (definition) =>
      db.get("SELECT 1 FROM cache_records WHERE definition = ? LIMIT 1", definition) !== undefined,
    nearest(site, kind) {
      const here = db.all(`SELECT ${columns} WHERE site = ? ORDER BY added DESC LIMIT ?`, site, maxCandidates);
      const elsewhere = db.all(
        `SELECT ${columns} WHERE kind = ? AND site <> ? ORDER BY added DESC LIMIT ?`,
        kind,
        site,
        maxCandidates - here.length,
      );
      return [...here, ...elsewhere].map(recordOf);
    },
    input(record) {
      const row = db.get(
        `SELECT bytes FROM cache_inputs JOIN cache_records ON input_digest = digest WHERE key = ?`,
        record.key,
      );
      const bytes = row?.["bytes"];
      if (!(bytes instanceof Uint8Array)) throw storeCorrupt(`the input of the cache record ${record.key} is missing`);
      return zstdDecompressSync(bytes).toString("utf8");
    },
    put(record) {
      const inputDigest = sha256(record.input);
      const now = Date.now();
      // Lost, the step runs again; the image at the end of the build takes it to the disk.
      db.lossyTransaction(() => {
        const node = recordChain(db, record.chain);
        if (db.get("SELECT 1 FROM cache_inputs WHERE digest = ?", inputDigest) === undefined)
          db.run("INSERT INTO cache_inputs (digest, bytes) VALUES (?, ?)", inputDigest, compressed(record.input));
        db.run(
          `INSERT OR REPLACE INTO cache_records (key, definition, parent, node, kind, site, instruction, input_digest,
             duration_ms, created_ms, last_used_ms, uses, added)
           VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, (SELECT COALESCE(MAX(added), 0) + 1 FROM cache_records))`,
          record.key,
          record.definition,
          record.parent ?? null,
          node,
          record.kind,
          record.site,
          record.instruction,
          inputDigest,
          record.durationMs,
          now,
          now,
        );
      });
    },
    durationOf(layer) {
      const row = db.get(
        "SELECT MAX(duration_ms) AS longest FROM cache_records JOIN nodes ON nodes.id = node WHERE layer = ?",
        layer,
      );
      const longest = row?.["longest"] ?? undefined;
      return longest === undefined ? undefined : Number(longest);
    },
    touch(key) {
      db.lossyTransaction(() =>
        db.run("UPDATE cache_records SET uses = uses + 1, last_used_ms = ? WHERE key = ?", Date.now(), key),
      );
    },
    list: () => db.all(`SELECT ${columns} ORDER BY last_used_ms DESC, added DESC`).map(recordOf),
    remove(keys) {
      db.transaction(() => {
        for (const key of keys) db.run("DELETE FROM cache_records WHERE key = ?", key);
      });
      return collectGarbage(context).freedBytes;
    },
  };
}
