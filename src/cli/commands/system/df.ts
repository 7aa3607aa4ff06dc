/** `tsbuild system df`: what lies on the disk, shared things counted once, so that the sums are true. */
import { dirname } from "node:path";
import type { Command } from "commander";
import { blobDigestOf, type Digest } from "../../../oci/digest.ts";
import { listContainers } from "../../../runtime/containers/container-folder.ts";
import { observe } from "../../../runtime/containers/container-state.ts";
import { containersUsing } from "../../../runtime/containers/containers-using.ts";
import { volumesInUse } from "../../../runtime/containers/remove-container.ts";
import { isUp } from "../../../runtime/containers/stop-container.ts";
import { listVolumes } from "../../../runtime/volumes.ts";
import { diskUsage } from "../../../store/disk-usage.ts";
import type { LayerId, Store, StoredImage } from "../../../store/store.ts";
import { ownCompressedForms } from "../../cache-records.ts";
import type { CommandContext } from "../../command.ts";
import { formatSize } from "../../render/size.ts";
import { formatRows, type Row } from "../../render/table.ts";

export function define(command: Command): void {
  command.option("--format <format>", "table, json, or a template such as {{.Type}} {{.Size}}");
}

export async function run(command: Command, context: CommandContext): Promise<number> {
  const { format } = command.opts<{ format?: string }>();
  const store = context.openStore();
  const rows = [imagesUsage(store), containersUsage(store), volumesUsage(store), cacheUsage(store)].map(usageRow);
  const columns = ["Type", "TotalCount", "Active", "Size", "Reclaimable"];
  context.stdout.write(formatRows(rows, { format, headers: { TotalCount: "TOTAL" }, columns }));
  if (format === undefined) context.stdout.write(`\nOn disk: ${formatSize(diskUsage(store.root), 4)}  ${store.root}\n`);
  return 0;
}

interface Usage {
  readonly type: string;
  readonly total: number;
  readonly active: number;
  readonly bytes: number;
  readonly reclaimableBytes: number;
}

function usageRow({ type, total, active, bytes, reclaimableBytes }: Usage): Row {
  const share = bytes > 0 ? ` (${Math.round((reclaimableBytes / bytes) * 100)}%)` : "";
  return {
    Type: type,
    TotalCount: String(total),
    Active: String(active),
    Size: formatSize(bytes, 4),
    Reclaimable: `${formatSize(reclaimableBytes, 4)}${share}`,
  };
}

function imagesUsage(store: Store): Usage {
  const images = store.images.list();
  const users = new Set<string>(containersUsing(store).map((user) => user.image));
  const used = images.filter((image) => users.has(image.id));
  const bytes = imageBytes(store, images);
  return {
    type: "Images",
    total: images.length,
    active: used.length,
    bytes,
    reclaimableBytes: bytes - imageBytes(store, used),
  };
}

/** Trees and blobs of these images, each once. */
function imageBytes(store: Store, images: readonly StoredImage[]): number {
  const layers = new Set<LayerId>(images.flatMap((image) => [...image.chain]));
  const blobs = new Set<Digest>();
  for (const { id, manifest } of images) {
    blobs.add(blobDigestOf(id));
    if (manifest === undefined) continue;
    blobs.add(manifest.digest);
    for (const layer of manifest.value.layers) blobs.add(layer.digest);
  }
  for (const layer of layers) {
    const { blob } = store.layers.get(layer);
    if (blob !== undefined) blobs.add(blob.digest);
  }
  const held = [...blobs].filter((digest) => store.blobs.has(digest));
  return layerBytes(store, layers) + held.reduce((sum, digest) => sum + diskUsage(store.blobs.path(digest)), 0);
}

function layerBytes(store: Store, layers: Iterable<LayerId>): number {
  let bytes = 0;
  for (const layer of layers) bytes += diskUsage(dirname(store.layers.treePath(layer)));
  return bytes;
}

function containersUsage(store: Store): Usage {
  const containers = listContainers(store).map(({ folder }) => ({
    isUp: isUp(observe(folder)),
    bytes: diskUsage(folder.path),
  }));
  return usageOf("Containers", containers);
}

function volumesUsage(store: Store): Usage {
  const used = volumesInUse(store);
  const volumes = listVolumes(store).map(({ name, mountpoint }) => ({
    isUp: used.has(name),
    bytes: diskUsage(dirname(mountpoint)),
  }));
  return usageOf("Local Volumes", volumes);
}

function usageOf(type: string, things: readonly { readonly isUp: boolean; readonly bytes: number }[]): Usage {
  const sum = (all: typeof things): number => all.reduce((total, { bytes }) => total + bytes, 0);
  const idle = things.filter((thing) => !thing.isUp);
  return {
    type,
    total: things.length,
    active: things.length - idle.length,
    bytes: sum(things),
    reclaimableBytes: sum(idle),
  };
}

/** Layers that no image has, compressed ones, and the folders of cache mounts and git clones. */
function cacheUsage(store: Store): Usage {
  const records = store.cache.list();
  const inImages = new Set<LayerId>(store.images.list().flatMap((image) => [...image.chain]));
  const own = new Set(records.map((record) => record.layer).filter((layer) => !inImages.has(layer)));
  const forms = ownCompressedForms(store).reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  const bytes = layerBytes(store, own) + forms + diskUsage(store.cacheMountsFolder) + diskUsage(store.gitFolder);
  return {
    type: "Build Cache",
    total: records.length,
    active: records.filter((record) => inImages.has(record.layer)).length,
    bytes,
    reclaimableBytes: bytes,
  };
}
