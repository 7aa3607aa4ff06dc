/** After a start of the machine: layers that it had not written when it stopped are found and forgotten. See unsynced.ts. */
import type { ImageId } from "../oci/digest.ts";
import { familiarReference } from "../oci/reference.ts";
import { collectGarbage } from "./collect.ts";
import type { Row } from "./database.ts";
import { recordOf } from "./layers.ts";
import type { ImageStore, LayerId } from "./store.ts";
import type { StoreContext } from "./store-context.ts";
import { bootId } from "./unsynced.ts";
import { verifyLayer } from "./verify-layer.ts";

export interface LostLayers {
  readonly layers: number;
  /** Names of images that stood on them, or IDs of those without a name. */
  readonly images: readonly string[];
}

/** Undefined, at the price of one query, in the boot that recorded them and when nothing is lost. */
export function forgetLost(context: StoreContext, images: ImageStore): LostLayers | undefined {
  const { db, paths } = context;
  const suspects = db
    .all("SELECT layers.* FROM unsynced JOIN layers ON id = layer WHERE boot <> ?", bootId())
    .map(recordOf);
  if (suspects.length === 0) return undefined;
  const lost = suspects.filter(({ id, layout, diffId, contentDigest, blob }) => {
    const task = { layout, diffId, contentDigest, hasBlob: blob !== undefined };
    return verifyLayer({ kind: "verify-layer", folder: `${paths.layers}/${id}`, ...task }).length > 0;
  });
  const lostImages = lost.flatMap(({ id }) => forget(context, images, id));
  if (lost.length > 0) collectGarbage(context);
  db.lossyTransaction(() => {
    for (const { id } of suspects) db.run("DELETE FROM unsynced WHERE layer = ?", id);
  });
  return lost.length === 0 ? undefined : { layers: lost.length, images: lostImages };
}

const standing = `
  WITH RECURSIVE standing (id) AS (
    SELECT id FROM nodes WHERE layer = ? UNION SELECT nodes.id FROM nodes JOIN standing ON nodes.parent = standing.id
  )`;

/** Takes away all that reaches the layer; a container that stands on it can no longer start. Returns the images' names. */
function forget({ db }: StoreContext, images: ImageStore, layer: LayerId): readonly string[] {
  const idOf = (row: Row): ImageId => row["id"] as ImageId;
  const lost = db.all(`${standing} SELECT images.id FROM images JOIN standing ON node = standing.id`, layer).map(idOf);
  db.transaction(() => {
    db.run(`${standing} DELETE FROM cache_records WHERE node IN standing`, layer);
    for (const table of ["pins", "holds"])
      db.run(
        `${standing} DELETE FROM ${table} WHERE kind = 'layer' AND
           target IN (SELECT layer FROM nodes JOIN standing ON nodes.id = standing.id)`,
        layer,
      );
  });
  return lost.flatMap((id) => {
    const names = images.get(id)?.references.map(familiarReference) ?? [];
    images.remove(id);
    return names.length === 0 ? [id] : names;
  });
}
