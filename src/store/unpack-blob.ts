/** A layer's blob into a folder: decompressed, verified and unpacked in one pass over its bytes. */
import { createHash } from "node:crypto";
import { closeSync, mkdirSync, openSync, writeFileSync } from "node:fs";
import type { TsbuildError } from "../errors.ts";
import { type BytePath, bytePath } from "../kernel/byte-path.ts";
import type { Descriptor } from "../oci/descriptor.ts";
import type { DiffId, Digest } from "../oci/digest.ts";
import { type Compression, mediaTypes } from "../oci/media-types.ts";
import { compressionOfFile, uncompressed } from "./blob-stream.ts";
import { archiveInvalid } from "./errors.ts";
import { isEstargz, withoutFormatFiles } from "./estargz.ts";
import { LayerExtractor } from "./extract-layer.ts";
import { Growth } from "./growing-file.ts";
import { contentDigest, encodeIndex } from "./layer-index.ts";
import { indexFile, type Sealed } from "./seal-layer.ts";
import type { Layout } from "./store-context.ts";
import { TarReader } from "./tar-reader.ts";

export interface UnpackTask {
  readonly kind: "unpack";
  /** The blob. */
  readonly file: string;
  /** Of a file that is still being written, and by its writer hashed: what GrowingFile shares. */
  readonly growing?: SharedArrayBuffer | undefined;
  /** Undefined: nobody has said what it is. */
  readonly expected: { readonly digest: Digest; readonly size: number } | undefined;
  readonly diffId: DiffId | undefined;
  /** Empty; gets `tree` and `index`. */
  readonly folder: string;
  /** Topmost first. */
  readonly lowers: readonly BytePath[];
  readonly layout: Layout;
  /** Read and compare the digests, write nothing. */
  readonly verifyOnly: boolean;
}

export interface UnpackedBlob extends Sealed {
  /** The blob as it is. */
  readonly blob: Descriptor;
}

/** As many as tell a compression. */
const firstBytes = 4;

/** @throws {TsbuildError} `ARCHIVE_INVALID`, `NO_SPACE` */
export async function unpackBlob(task: UnpackTask): Promise<UnpackedBlob> {
  const tree = `${task.folder}/tree`;
  const fd = openSync(task.file, "r");
  try {
    const growth = task.growing === undefined ? undefined : new Growth(task.growing);
    growth?.waitBeyond(firstBytes);
    // What is packed may say at its end how.
    if (growth !== undefined && compressionOfFile(fd) !== "none") growth.digest();
    if (task.verifyOnly) return await verifyOnly(fd, task);
    mkdirSync(tree, { mode: 0o700 });
    using extractor = new LayerExtractor({ tree, lowers: task.lowers, layout: task.layout });
    const reader = new TarReader(isEstargz(fd) ? withoutFormatFiles(extractor) : extractor);
    const read = await readTar(fd, { ...task, growth }, (chunk) => reader.push(chunk));
    reader.finish({ isWhole: task.expected !== undefined || task.diffId !== undefined });
    if (task.diffId !== undefined && task.diffId !== read.diffId) throw wrongDiffId(read.diffId, task.diffId);
    const entries = extractor.finish();
    writeFileSync(indexFile(task.folder), encodeIndex({ entries, omitted: [] }), { mode: 0o600 });
    return { ...read, contentDigest: contentDigest(entries) };
  } finally {
    closeSync(fd);
  }
}

async function verifyOnly(fd: number, task: UnpackTask): Promise<UnpackedBlob> {
  const read = await readTar(fd, task, () => undefined);
  if (read.diffId !== task.diffId) throw wrongDiffId(read.diffId, task.diffId);
  // The layer that is here already has its content digest.
  return { ...read, contentDigest: contentDigest([]) };
}

const wrongDiffId = (found: DiffId, wanted: DiffId | undefined): TsbuildError =>
  archiveInvalid(`the layer's content has the digest ${found}, and the image says ${wanted}`);

type ReadTar = Pick<UnpackedBlob, "diffId" | "sizeBytes" | "blob">;

/** Hands over the tar's bytes; the blob is verified when they have all come. */
async function readTar(
  fd: number,
  { expected, growth }: Pick<UnpackTask, "expected"> & { readonly growth?: Growth | undefined },
  take: (chunk: Buffer) => void,
): Promise<ReadTar> {
  const compression = compressionOfFile(fd);
  // Then the writer's digest is that of the tar.
  const isHashed = growth !== undefined && compression === "none";
  const algorithm = expected?.digest.startsWith("sha512:") ? "sha512" : "sha256";
  const tarHash = createHash("sha256");
  // The digest of a blob that is not compressed is that of its tar.
  const blobHash = compression === "none" && algorithm === "sha256" ? undefined : createHash(algorithm);
  let size = 0;
  let sizeBytes = 0;
  const onRaw = (chunk: Buffer): void => {
    blobHash?.update(chunk);
    size += chunk.length;
  };
  for await (const chunk of uncompressed(fd, onRaw, { growth, keepChunks: false })) {
    if (!isHashed) tarHash.update(chunk);
    sizeBytes += chunk.length;
    take(chunk);
  }
  const tarDigest = isHashed ? growth.digest() : `sha256:${tarHash.digest("hex")}`;
  const digest = (blobHash === undefined ? tarDigest : `${algorithm}:${blobHash.digest("hex")}`) as string as Digest;
  if (expected !== undefined) verifyBlob(expected, { digest, size });
  return {
    diffId: tarDigest as string as DiffId,
    sizeBytes,
    blob: { mediaType: layerMediaTypes[compression], digest, size },
  };
}

const layerMediaTypes = {
  none: mediaTypes.ociLayer,
  gzip: mediaTypes.ociLayerGzip,
  zstd: mediaTypes.ociLayerZstd,
} satisfies Record<Compression, string>;

type Weighed = Pick<Descriptor, "digest" | "size">;

function verifyBlob(expected: Weighed, read: Weighed): void {
  if (read.size !== expected.size)
    throw archiveInvalid(
      `the layer ${expected.digest} has ${read.size} bytes, and its descriptor says ${expected.size}`,
    );
  if (read.digest !== expected.digest)
    throw archiveInvalid(`the layer has the digest ${read.digest}, and its descriptor says ${expected.digest}`);
}

/** For tasks that take text. */
export function lowersOf(treesBottomFirst: readonly string[]): readonly BytePath[] {
  return treesBottomFirst.toReversed().map(bytePath);
}
