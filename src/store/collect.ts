/**
 * What nothing reaches goes. Roots are images, cache records, pins of containers, and what living processes hold; of
 * compressed layers so much as is worth keeping. Rows
 * go first, in one transaction; the files follow, each named in `removals` until it is gone, so that a kill between the
 * two leaves work for the next process and not a row without its files.
 */
import { existsSync, readdirSync, readFileSync, renameSync, statSync, unlinkSync } from "node:fs";
import { errnoOf } from "../errors.ts";
import type { Descriptor } from "../oci/descriptor.ts";
import { type Digest, isDigest } from "../oci/digest.ts";
import { mediaTypes } from "../oci/media-types.ts";
import { soundOrUndefined, storedManifest } from "../oci/stored-documents.ts";
import { blobPath } from "./blobs.ts";
import { diskUsage } from "./disk-usage.ts";
import { blobsOfDocument } from "./indexes.ts";
import { isAlive } from "./process-presence.ts";
import type { CompressedForm, LayerId } from "./store.ts";
import { freshName, removeTree, type StoreContext } from "./store-context.ts";

export interface Collected {
  readonly layers: readonly LayerId[];
  readonly blobs: readonly Digest[];
  /** On the disk, as du counts. */
  readonly freedBytes: number;
}

export function collectGarbage(context: StoreContext): Collected {
  // On the disk before the files go: a row without files would be believed.
  const victims = context.db.transaction(() => removeRows(context));
  return { ...victims, freedBytes: finishRemovals(context) };
}

function removeRows(context: StoreContext): Pick<Collected, "layers" | "blobs"> {
  const { db } = context;
  forgetDead(context);
  const layers = unreachableLayers(context);
  forgetFormsOfGone(db);
  const blobs = unreachableBlobs(context);
  db.run("DELETE FROM cache_inputs WHERE digest NOT IN (SELECT input_digest FROM cache_records)");
  for (const layer of layers) db.run("INSERT OR IGNORE INTO removals (kind, target) VALUES ('layer', ?)", layer);
  for (const blob of blobs) db.run("INSERT OR IGNORE INTO removals (kind, target) VALUES ('blob', ?)", blob);
  return { layers, blobs };
}

/** What an earlier process began to remove, too. Returns the bytes freed. */
export function finishRemovals(context: StoreContext): number {
  const { db, paths } = context;
  let freed = 0;
  const removed: string[] = [];
  for (const row of db.all("SELECT kind, target FROM removals")) {
    const target = String(row["target"]);
    if (row["kind"] === "blob") freed += removeBlob(context, target as Digest);
    else {
      freed += removeFolder(context, `${paths.layers}/${target}`);
      removed.push(target);
    }
  }
  // Lost in a power cut, they are looked for once more.
  db.lossyTransaction(() => {
    for (const layer of removed) db.run("DELETE FROM removals WHERE kind = 'layer' AND target = ?", layer);
  });
  return freed;
}

function removeBlob({ db, paths }: StoreContext, digest: Digest): number {
  const file = blobPath(paths.root, digest);
  // Within the transaction: a writer of the same blob looks at `removals` within one, too.
  return db.lossyTransaction(() => {
    if (db.run("DELETE FROM removals WHERE kind = 'blob' AND target = ?", digest) === 0) return 0;
    const freed = diskUsage(file);
    try {
      unlinkSync(file);
    } catch (error) {
      if (errnoOf(error) !== "ENOENT") throw error;
    }
    return freed;
  });
}

function removeFolder(context: StoreContext, folder: string): number {
  const trash = context.temporaryPath(`trash-${freshName()}`);
  let freed = 0;
  try {
    // Who succeeds in renaming removes it: two processes may be here.
    renameSync(folder, trash);
    freed = diskUsage(trash);
    removeTree(trash);
  } catch (error) {
    if (errnoOf(error) !== "ENOENT") throw error;
  }
  return freed;
}

/** Removes the holds of processes that ended without doing it. */
function forgetDead({ db, paths, owner }: StoreContext): void {
  for (const row of db.all("SELECT DISTINCT owner FROM holds")) {
    const holder = String(row["owner"]);
    if (holder !== owner && !isAlive(paths.tmp, holder)) db.run("DELETE FROM holds WHERE owner = ?", holder);
  }
}

/** The nodes that must stay: those a root stands on, and all below them. */
const liveNodes = `
  WITH RECURSIVE live (id) AS (
    SELECT node FROM images
    UNION SELECT node FROM cache_records
    UNION SELECT nodes.id FROM nodes JOIN holds ON holds.kind = 'layer' AND holds.target = nodes.layer
    UNION SELECT nodes.id FROM nodes JOIN pins ON pins.kind = 'layer' AND pins.target = nodes.layer
    UNION SELECT nodes.parent FROM nodes JOIN live ON nodes.id = live.id
  )`;

function unreachableLayers({ db }: StoreContext): readonly LayerId[] {
  db.run(`${liveNodes} DELETE FROM nodes WHERE id NOT IN (SELECT id FROM live)`);
  const victims = db
    .all(
      `SELECT id FROM layers WHERE id NOT IN (SELECT layer FROM nodes)
       AND id NOT IN (SELECT target FROM holds WHERE kind = 'layer' UNION SELECT target FROM pins WHERE kind = 'layer')`,
    )
    .map((row) => row["id"] as LayerId);
  for (const layer of victims) db.run("DELETE FROM layers WHERE id = ?", layer);
  return victims;
}

function unreachableBlobs({ db, paths }: StoreContext): readonly Digest[] {
  const live = reachableBlobs(db.all("SELECT id, manifest FROM images"), db.all("SELECT blob FROM layers"), paths.root);
  const read = (digest: Digest): Buffer | undefined => {
    const file = blobPath(paths.root, digest);
    return existsSync(file) ? readFileSync(file) : undefined;
  };
  for (const { target } of db.all("SELECT DISTINCT target FROM index_images"))
    for (const digest of blobsOfDocument({ digest: target as Digest, mediaType: mediaTypes.ociIndex }, read))
      live.add(digest);
  for (const row of db.all(
    "SELECT target FROM holds WHERE kind = 'blob' UNION SELECT target FROM pins WHERE kind = 'blob'",
  ))
    live.add(String(row["target"]));
  for (const { digest } of keptForms(db, paths.root)) live.add(digest);
  const victims: Digest[] = [];
  for (const algorithm of readdirSync(`${paths.root}/blobs`))
    for (const hex of readdirSync(`${paths.root}/blobs/${algorithm}`)) {
      const digest = `${algorithm}:${hex}`;
      if (!live.has(digest)) victims.push(digest as Digest);
    }
  return victims;
}

/** What memos of compressed forms of layers are called, in front of form and diffID; they say digest and size. */
export const compressedForms = "compressed ";

/** So many bytes of them stay although no manifest names them, for the next archive or push. */
const keptFormBytes = 1 << 30;

/** Those that were used last, of layers that are here, as far as they are worth keeping. Newest first. */
export function keptForms(db: StoreContext["db"], root: string): readonly CompressedForm[] {
  const kept: CompressedForm[] = [];
  let left = keptFormBytes;
  const rows = db.all(
    `SELECT memos.value, memos.written_ms FROM memos
     WHERE substr(name, 1, ?) = ? AND substr(name, instr(name, 'sha256:')) IN (SELECT diff_id FROM layers)
     ORDER BY written_ms DESC, name`,
    compressedForms.length,
    compressedForms,
  );
  for (const { value, written_ms } of rows) {
    const text = Buffer.from(value as Uint8Array).toString();
    const digest = text.slice(0, text.indexOf(" "));
    const stat = isDigest(digest) ? statSync(blobPath(root, digest), { throwIfNoEntry: false }) : undefined;
    if (stat === undefined || !isDigest(digest)) continue;
    left -= stat.size;
    if (left < 0) break;
    kept.push({ digest, sizeBytes: stat.size, lastUsed: new Date(Number(written_ms)) });
  }
  return kept;
}

/** Of layers that are gone nobody needs to know what they were. */
function forgetFormsOfGone(db: StoreContext["db"]): void {
  db.run(
    `DELETE FROM memos WHERE substr(name, 1, ?) = ?
     AND substr(name, instr(name, 'sha256:')) NOT IN (SELECT diff_id FROM layers)`,
    compressedForms.length,
    compressedForms,
  );
}

/** Forgets all of them; the next collection takes the blobs. */
export function forgetForms({ db }: StoreContext): void {
  db.run("DELETE FROM memos WHERE substr(name, 1, ?) = ?", compressedForms.length, compressedForms);
}

/** Configs, manifests, what the manifests name, and the blobs that layers came from. */
export function reachableBlobs(
  images: readonly Readonly<Record<string, unknown>>[],
  layers: readonly Readonly<Record<string, unknown>>[],
  root: string,
): Set<string> {
  const live = new Set<string>();
  for (const { id, manifest } of images) {
    live.add(String(id));
    if (typeof manifest !== "string") continue;
    live.add(manifest);
    const file = blobPath(root, manifest as Digest);
    if (!existsSync(file)) continue;
    const layersOfManifest = soundOrUndefined(() => storedManifest(readFileSync(file)))?.layers ?? [];
    for (const { digest } of layersOfManifest) live.add(digest);
  }
  for (const { blob } of layers) if (typeof blob === "string") live.add((JSON.parse(blob) as Descriptor).digest);
  return live;
}

/** Is anything that this process made still without a root, now that it ends? */
export function hasFreshGarbage({ db, owner }: StoreContext): boolean {
  if (owner === undefined) return false;
  const row = db.get(
    `WITH RECURSIVE live (id) AS (
       SELECT node FROM images UNION SELECT node FROM cache_records
       UNION SELECT nodes.parent FROM nodes JOIN live ON nodes.id = live.id
     ) SELECT 1 FROM holds WHERE owner = ? AND (
       kind = 'blob'
       OR kind = 'layer' AND lease = 'fresh-layers' AND target NOT IN (SELECT layer FROM nodes WHERE id IN (SELECT id FROM live))
     ) LIMIT 1`,
    owner,
  );
  return row !== undefined;
}
