/**
 * A root file system's tar → an image of one layer. The layer is the tar as it came, so its diffID is the digest of its
 * plain bytes. gzip and zstd stay packed in the store; xz and bzip2, which no image may have, are unpacked on the way.
 */
import { createHash } from "node:crypto";
import { closeSync, openSync, statSync } from "node:fs";
import { join } from "node:path";
import { addAbortSignal, type Readable } from "node:stream";
import { type ArchiveCompression, decompressor, sniffCompression, withStart } from "../oci/decompress.ts";
import type { Descriptor } from "../oci/descriptor.ts";
import { type Digest, diffIdOf } from "../oci/digest.ts";
import type { ContainerConfig, Timestamp } from "../oci/image-config.ts";
import { imageConfigJson } from "../oci/image-config-json.ts";
import { mediaTypes } from "../oci/media-types.ts";
import { hostPlatform, type Platform } from "../oci/platform.ts";
import type { Reference } from "../oci/reference.ts";
import type { Store, StoredImage } from "../store/store.ts";
import { openStream, writeFully } from "./archive-files.ts";
import { nothingRead } from "./errors.ts";

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
  const stream = source.kind === "path" ? openFile(source.path) : source.stream;
  const descriptor = await receive(stream, file, signal);
  if (descriptor.size === 0) throw nothingRead(`nothing to import from ${source.name}: it is empty`);
  const diffId = descriptor.mediaType === mediaTypes.ociLayer ? diffIdOf(descriptor.digest) : undefined;
  const layer = await store.layers.addBlob({ file, descriptor, diffId }, [], signal);
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

/** A folder is refused here, in the words of the system. */
function openFile(path: string): Readable {
  if (statSync(path).isDirectory())
    throw Object.assign(new Error(`EISDIR: illegal operation on a directory, open '${path}'`), {
      code: "EISDIR",
      syscall: "open",
      path,
    });
  return openStream(path);
}

/** The stream's bytes in `file`, unpacked where no image may have them packed, and what they are. */
async function receive(source: Readable, file: string, signal: AbortSignal): Promise<Descriptor> {
  addAbortSignal(signal, source); // a silent stdin would wait for ever
  const fd = openSync(file, "wx");
  try {
    const { start, whole } = await withStart(source);
    const kind = sniffCompression(start);
    const bytes = kind === "xz" || kind === "bzip2" ? whole.pipe(decompressor(kind)) : whole;
    if (bytes !== whole) whole.on("error", (error) => bytes.destroy(error));
    const hash = createHash("sha256");
    let size = 0;
    for await (const chunk of bytes as AsyncIterable<Buffer>) {
      hash.update(chunk);
      writeFully(fd, chunk);
      size += chunk.length;
    }
    return { mediaType: layerTypes[kind], digest: `sha256:${hash.digest("hex")}` as string as Digest, size };
  } catch (error) {
    signal.throwIfAborted();
    throw error;
  } finally {
    closeSync(fd);
    source.destroy();
  }
}

const layerTypes: Readonly<Record<ArchiveCompression, string>> = {
  none: mediaTypes.ociLayer,
  gzip: mediaTypes.ociLayerGzip,
  zstd: mediaTypes.ociLayerZstd,
  xz: mediaTypes.ociLayer,
  bzip2: mediaTypes.ociLayer,
};
