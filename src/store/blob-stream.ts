/** The uncompressed bytes of a layer's blob. */
import { readSync } from "node:fs";
import { errnoOf } from "../errors.ts";
import { decompressor } from "../oci/decompress.ts";
import type { Compression } from "../oci/media-types.ts";
import { archiveInvalid } from "./errors.ts";
import type { Growth } from "./growing-file.ts";

const readBytes = 1 << 18;

interface StreamOptions {
  readonly decompress?: boolean;
  /** Of a file that is still being written. */
  readonly growth?: Growth | undefined;
  /** False: whoever takes a chunk is done with it before asking for the next. */
  readonly keepChunks?: boolean;
}

/**
 * Reads `fd` to its end, with `growth` as it is written; `onRaw` sees the bytes as they are in the file. What the bytes
 * are counts, not what a media type says: docker's archives do not say. Decompression runs on a thread of Node's pool
 * beside the caller.
 * @throws {TsbuildError} `ARCHIVE_INVALID` when they cannot be decompressed
 */
export async function* uncompressed(
  fd: number,
  onRaw: (chunk: Buffer) => void,
  { decompress = true, growth, keepChunks = true }: StreamOptions = {},
): AsyncGenerator<Buffer, void> {
  let position = 0;
  const compression = decompress ? compressionOfFile(fd) : "none";
  let buffer: Buffer | undefined;
  const next = (): Buffer | undefined => {
    growth?.waitBeyond(position);
    // The decompressor may still hold the one before; memory that is not new is not cleared again.
    if (buffer === undefined || keepChunks || compression !== "none") buffer = Buffer.allocUnsafeSlow(readBytes);
    const length = readSync(fd, buffer, 0, readBytes, position);
    if (length === 0) return undefined;
    position += length;
    const chunk = buffer.subarray(0, length);
    onRaw(chunk);
    return chunk;
  };
  if (compression === "none") for (let chunk = next(); chunk !== undefined; chunk = next()) yield chunk;
  else yield* decompressed(compression, next);
  // Behind the end of a compressed stream something may follow that belongs to the blob.
  while (next() !== undefined);
}

/** By its first bytes. */
export function compressionOfFile(fd: number): Compression {
  const bytes = Buffer.alloc(4);
  const start = bytes.subarray(0, readSync(fd, bytes, 0, 4, 0));
  if (start[0] === 0x1f && start[1] === 0x8b) return "gzip";
  if (start.length >= 4 && start.readUInt32LE(0) === 0xfd2fb528) return "zstd";
  return "none";
}

async function* decompressed(
  compression: "gzip" | "zstd",
  next: () => Buffer | undefined,
): AsyncGenerator<Buffer, void> {
  const stream = decompressor(compression);
  const feed = (): void => {
    for (;;) {
      const chunk = next();
      if (chunk === undefined) {
        stream.end();
        return;
      }
      if (!stream.write(chunk)) return;
    }
  };
  stream.on("drain", feed);
  feed();
  try {
    yield* stream as AsyncIterable<Buffer>;
  } catch (error) {
    if (errnoOf(error) === "ERR_STREAM_PREMATURE_CLOSE") throw archiveInvalid("it cannot be decompressed");
    throw error;
  }
}
