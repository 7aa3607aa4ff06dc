/**
 * A root file system's tar → an image of one layer. The layer is the tar as it came, so its diffID is the digest of its
 * plain bytes. gzip and zstd stay packed in the store; xz and bzip2, which no image may have, are unpacked on the way.
 */
import { closeSync, constants, copyFileSync, openSync, statSync } from "node:fs";
import { join } from "node:path";
import { addAbortSignal, type Readable } from "node:stream";
import { TsbuildError } from "../errors.ts";
import { type ArchiveCompression, decompressor, sniffCompression, withStart } from "../oci/decompress.ts";
import type { ContainerConfig, Timestamp } from "../oci/image-config.ts";
import { imageConfigJson } from "../oci/image-config-json.ts";
import { hostPlatform, type Platform } from "../oci/platform.ts";
import type { Reference } from "../oci/reference.ts";
import { spaceExplained } from "../store/errors.ts";
import { warmLayerWorker } from "../store/layer-work.ts";
import type { LayerId, Store, StoredImage } from "../store/store.ts";
import { openStream, sniffFile, writeFully } from "./archive-files.ts";
import { cannotImport, nothingRead } from "./errors.ts";

export interface ImportOptions {
  readonly store: Store;
  /** `name` is for the history: `Imported from NAME`. */
  readonly source: { readonly name: string } & (
    | { readonly kind: "path"; readonly path: string }
    | { readonly kind: "stream"; readonly stream: Readable }
  );
  /** What `--change` made. */
  readonly config: ContainerConfig;
  readonly message?: string | undefined;
  readonly platform?: Platform | undefined;
  readonly created: Timestamp;
  /** With tag. */
  readonly reference?: Reference | undefined;
  readonly signal: AbortSignal;
}

/** @throws {TsbuildError} `ARCHIVE_INVALID`, `NO_SPACE` */
export async function importImage(options: ImportOptions): Promise<StoredImage> {
  const { store, source, config, message, platform = hostPlatform(), created, reference, signal } = options;
  using folder = store.temporaryFolder("import");
  using lease = store.lease("import");
  const file = join(folder.path, "layer");
  // Starts while the bytes come in.
  warmLayerWorker();
  try {
    await receive(source, file, signal);
  } catch (error) {
    throw spaceExplained(store.root, error);
  }
  if (statSync(file).size === 0) throw nothingRead(`nothing to import from ${source.name}: it is empty`);
  const layer = await addLayer(options, file);
  lease.addLayers([layer]);
  const image = store.images.add({
    config: imageConfigJson({
      architecture: platform.architecture,
      ...(platform.variant !== undefined && { variant: platform.variant }),
      os: platform.os,
      config,
      created,
      history: [{ created, comment: message ?? `Imported from ${source.name}` }],
      rootfs: { type: "layers", diff_ids: [store.layers.get(layer).diffId] },
    }),
    chain: [layer],
  });
  if (reference !== undefined) store.images.tag(reference, image.id);
  return image;
}

async function addLayer({ store, source, signal }: ImportOptions, file: string): Promise<LayerId> {
  try {
    return await store.layers.addBlob({ file, descriptor: undefined, diffId: undefined }, [], signal);
  } catch (error) {
    // Below nobody knows what the user calls it.
    throw error instanceof TsbuildError && error.code === "ARCHIVE_INVALID" ? cannotImport(source.name, error) : error;
  }
}

/** The source's bytes in `file`, unpacked where no image may have them packed. */
async function receive(source: ImportOptions["source"], file: string, signal: AbortSignal): Promise<void> {
  if (source.kind === "path" && statSync(source.path).isFile() && !mustUnpack(sniffFile(source.path))) {
    // Shares the blocks where the file system can, else copies within the kernel.
    copyFileSync(source.path, file, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE);
    return;
  }
  const stream = source.kind === "path" ? openStream(source.path) : source.stream;
  addAbortSignal(signal, stream); // a silent stdin would wait for ever
  const fd = openSync(file, "wx", 0o600);
  try {
    const { start, whole } = await withStart(stream);
    const kind = sniffCompression(start);
    const bytes = mustUnpack(kind) ? whole.pipe(decompressor(kind)) : whole;
    if (bytes !== whole) whole.on("error", (error) => bytes.destroy(error));
    for await (const chunk of bytes as AsyncIterable<Buffer>) writeFully(fd, chunk);
  } catch (error) {
    signal.throwIfAborted();
    throw error;
  } finally {
    closeSync(fd);
    stream.destroy();
  }
}

function mustUnpack(kind: ArchiveCompression): kind is "xz" | "bzip2" {
  return kind === "xz" || kind === "bzip2";
}
