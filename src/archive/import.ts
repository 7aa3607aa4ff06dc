/**
 * A root file system's tar → an image of one layer. The layer is the tar as it came, so its diffID is the digest of its
 * plain bytes. gzip and zstd stay packed in the store; xz and bzip2, which no image may have, are unpacked on the way.
 */
import { closeSync, constants, copyFileSync, openSync, readSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { addAbortSignal, type Readable } from "node:stream";
import { setImmediate } from "node:timers/promises";
import { TsbuildError } from "../errors.ts";
import { type ArchiveCompression, decompressor, sniffCompression, withStart } from "../oci/decompress.ts";
import type { ContainerConfig, Timestamp } from "../oci/image-config.ts";
import { imageConfigJson } from "../oci/image-config-json.ts";
import { hostPlatform, type Platform } from "../oci/platform.ts";
import type { Reference } from "../oci/reference.ts";
import { spaceExplained } from "../store/errors.ts";
import { GrowingFile } from "../store/growing-file.ts";
import { warmLayerWorker } from "../store/layer-work.ts";
import type { LayerId, Store, StoredImage } from "../store/store.ts";
import { openStream, sniffFile } from "./archive-files.ts";
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
  const { store, source, config, message, platform = hostPlatform(), created, reference } = options;
  using folder = store.temporaryFolder("import");
  using lease = store.lease("import");
  // Starts while the bytes come in.
  warmLayerWorker();
  const layer = await receivedLayer(options, join(folder.path, "layer"));
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

async function receivedLayer(options: ImportOptions, file: string): Promise<LayerId> {
  const { store, source } = options;
  if (source.kind === "path" && isCloned(source.path, file)) return await addLayer(options, { file });
  const growing = new GrowingFile(file);
  const layer = addLayer(options, { file, growing });
  layer.catch(() => growing.abandon());
  try {
    await receive(options, growing);
    growing.end();
  } catch (error) {
    growing.fail();
    // What it says follows from this.
    await layer.catch(() => undefined);
    throw spaceExplained(store.root, error);
  }
  return await layer;
}

async function addLayer(
  { store, source, signal }: ImportOptions,
  blob: { readonly file: string; readonly growing?: GrowingFile },
): Promise<LayerId> {
  try {
    return await store.layers.addBlob({ ...blob, descriptor: undefined, diffId: undefined }, [], signal);
  } catch (error) {
    // Below nobody knows what the user calls it.
    throw error instanceof TsbuildError && error.code === "ARCHIVE_INVALID" ? cannotImport(source.name, error) : error;
  }
}

/** Shares the blocks of a file that can be kept as it is, where the file system can. */
function isCloned(path: string, file: string): boolean {
  const stat = statSync(path);
  if (!stat.isFile() || stat.size === 0 || mustUnpack(sniffFile(path))) return false;
  try {
    copyFileSync(path, file, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE_FORCE);
    return true;
  } catch {
    // Not this file system, or another one: what is wrong with the file shows when it is read.
    rmSync(file, { force: true });
    return false;
  }
}

/** The source's bytes, unpacked where no image may have them packed; no more of them once nobody wants them. */
async function receive({ source, signal }: ImportOptions, growing: GrowingFile): Promise<void> {
  if (source.kind === "path" && statSync(source.path).isFile() && !mustUnpack(sniffFile(source.path)))
    await receiveFile(source.path, growing, signal);
  else await receiveStream(source.kind === "path" ? openStream(source.path) : source.stream, growing, signal);
  if (growing.size === 0 && !growing.abandoned.aborted)
    throw nothingRead(`nothing to import from ${source.name}: it is empty`);
}

const pieceBytes = 1 << 20;

/** In sync calls: a stream would read it in smaller pieces through the thread pool. */
async function receiveFile(path: string, growing: GrowingFile, signal: AbortSignal): Promise<void> {
  const fd = openSync(path, "r");
  try {
    const buffer = Buffer.allocUnsafeSlow(pieceBytes);
    for (let length = readSync(fd, buffer); length > 0 && !growing.abandoned.aborted; length = readSync(fd, buffer)) {
      growing.write(buffer.subarray(0, length));
      await setImmediate();
      signal.throwIfAborted();
    }
  } finally {
    closeSync(fd);
  }
}

async function receiveStream(stream: Readable, growing: GrowingFile, signal: AbortSignal): Promise<void> {
  // A silent stdin would wait for ever.
  addAbortSignal(AbortSignal.any([signal, growing.abandoned]), stream);
  try {
    const { start, whole } = await withStart(stream);
    const kind = sniffCompression(start);
    const bytes = mustUnpack(kind) ? whole.pipe(decompressor(kind)) : whole;
    if (bytes !== whole) whole.on("error", (error) => bytes.destroy(error));
    for await (const chunk of bytes as AsyncIterable<Buffer>) growing.write(chunk);
  } catch (error) {
    signal.throwIfAborted();
    if (!growing.abandoned.aborted) throw error;
  } finally {
    stream.destroy();
  }
}

function mustUnpack(kind: ArchiveCompression): kind is "xz" | "bzip2" {
  return kind === "xz" || kind === "bzip2";
}
