/** A layer's tar, made again from its tree and index, plain or compressed. */
import { createHash } from "node:crypto";
import { once } from "node:events";
import { closeSync, openSync, writeSync } from "node:fs";
import type { Transform } from "node:stream";
import { constants, createGzip, createZstdCompress } from "node:zlib";
import { errnoOf, TsbuildError } from "../errors.ts";
import { bytePath } from "../kernel/byte-path.ts";
import { blobDigestOf, type DiffId, type Digest } from "../oci/digest.ts";
import { uncompressed } from "./blob-stream.ts";
import { noSpace, storeCorrupt } from "./errors.ts";
import { contentIn, packLayer } from "./pack-layer.ts";
import { readIndex } from "./seal-layer.ts";

export interface WriteTask {
  readonly kind: "write";
  /** Folder of the layer. */
  readonly folder: string;
  /** A file with the layer's exact bytes, compressed or not; without one, or when it is gone, they are made from the tree. */
  readonly blob: string | undefined;
  readonly diffId: DiffId;
  readonly file: string;
  /** Else it is replaced if it is there. */
  readonly append: boolean;
  readonly compression: "none" | "gzip" | "zstd";
  /** Seconds: no entry has a later time. What is written is another layer then, made from the tree. */
  readonly maxMtime?: number;
  /** Undefined: 6 for gzip, 3 for zstd. */
  readonly level?: number;
}

export interface Written {
  readonly digest: Digest;
  readonly size: number;
}

/** @throws {TsbuildError} `STORE_CORRUPT` when the bytes no longer are those of the diffID; `NO_SPACE` */
export async function writeLayer(task: WriteTask): Promise<Written> {
  const fd = openSync(task.file, task.append ? "a" : "w", 0o600);
  try {
    return task.compression === "none" ? await writePlain(task, fd) : await writeCompressed(task, task.compression, fd);
  } catch (error) {
    if (error instanceof TsbuildError) throw error;
    const code = errnoOf(error);
    if (code === "ENOSPC" || code === "EDQUOT") throw noSpace(task.file, error);
    throw error;
  } finally {
    closeSync(fd);
  }
}

async function writePlain(task: WriteTask, fd: number): Promise<Written> {
  let size = 0;
  for await (const piece of tarPieces(task)) {
    writeAll(fd, piece);
    size += piece.length;
  }
  return { digest: blobDigestOf(task.diffId), size };
}

/** The compressor runs on a thread of Node's pool while this one reads files. */
async function writeCompressed(task: WriteTask, compression: "gzip" | "zstd", fd: number): Promise<Written> {
  // Fixed, so that the same layer gives the same blob.
  const compressor: Transform =
    compression === "gzip"
      ? createGzip({ level: task.level ?? 6, chunkSize: 1 << 17 })
      : createZstdCompress({ params: { [constants.ZSTD_c_compressionLevel]: task.level ?? 3 }, chunkSize: 1 << 17 });
  try {
    const hash = createHash("sha256");
    let size = 0;
    const writing = (async () => {
      for await (const chunk of compressor as AsyncIterable<Buffer>) {
        hash.update(chunk);
        size += chunk.length;
        writeAll(fd, chunk);
      }
    })();
    // Awaited below; a failure before that must not count as unhandled.
    writing.catch(() => undefined);
    for await (const piece of tarPieces(task))
      if (!compressor.write(piece)) await Promise.race([once(compressor, "drain"), writing]);
    compressor.end();
    await writing;
    return { digest: `sha256:${hash.digest("hex")}` as string as Digest, size };
  } finally {
    compressor.destroy();
  }
}

function writeAll(fd: number, bytes: Buffer): void {
  for (let done = 0; done < bytes.length; ) done += writeSync(fd, bytes, done);
}

/** The layer's tar, each piece a buffer of its own, verified at its end. */
async function* tarPieces(task: WriteTask): AsyncGenerator<Buffer, void> {
  const { maxMtime } = task;
  const fd = task.blob === undefined || maxMtime !== undefined ? undefined : openIfThere(task.blob);
  if (fd === undefined) {
    const tree = bytePath(`${task.folder}/tree`);
    const { entries } = readIndex(task.folder);
    const written =
      maxMtime === undefined ? entries : entries.map((entry) => ({ ...entry, mtime: Math.min(entry.mtime, maxMtime) }));
    const { diffId } = yield* packLayer(written, contentIn(tree), { keepPieces: true });
    if (maxMtime === undefined) verify(task, diffId);
    return;
  }
  try {
    const hash = createHash("sha256");
    for await (const chunk of uncompressed(fd, () => undefined)) {
      hash.update(chunk);
      yield chunk;
    }
    verify(task, `sha256:${hash.digest("hex")}` as string as DiffId);
  } finally {
    closeSync(fd);
  }
}

/** The tar of a folded layer goes when somebody unfolds it; the tree is there then. */
function openIfThere(file: string): number | undefined {
  try {
    return openSync(file, "r");
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return undefined;
    throw error;
  }
}

function verify(task: WriteTask, found: DiffId): void {
  if (found !== task.diffId)
    throw storeCorrupt(`a layer's files no longer match its digest ${task.diffId}`, task.folder);
}
