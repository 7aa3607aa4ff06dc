/**
 * Decompression in process, never by a program found on the PATH: an archive may come from a container
 * (CVE-2026-41567). gzip and zstd are Node's own; xz (WebAssembly) and bzip2 are packages, loaded when they are met.
 */
import { Duplex, Readable, Transform, type TransformCallback } from "node:stream";
import { ReadableStream as WebStream } from "node:stream/web";
import { constants, createGunzip, createZstdDecompress, type ZstdDecompress } from "node:zlib";
import { TsbuildError } from "../errors.ts";

export type ArchiveCompression = "none" | "gzip" | "zstd" | "xz" | "bzip2";

/** First bytes of each format. Sources: RFC 1952, RFC 8878, the xz format 1.1.0, bzip2. */
const magics: readonly { readonly kind: ArchiveCompression; readonly bytes: readonly number[] }[] = [
  { kind: "gzip", bytes: [0x1f, 0x8b, 0x08] },
  { kind: "zstd", bytes: [0x28, 0xb5, 0x2f, 0xfd] },
  { kind: "xz", bytes: [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00] },
  { kind: "bzip2", bytes: [0x42, 0x5a, 0x68] },
];

/** Enough of a file's start for `sniffCompression`. */
export const sniffLength = 6;

export function sniffCompression(start: Uint8Array): ArchiveCompression {
  return magics.find(({ bytes }) => bytes.every((byte, i) => start[i] === byte))?.kind ?? "none";
}

/**
 * A stream from compressed bytes to plain ones; undefined for `none`. Corrupt or cut input destroys it with
 * `ARCHIVE_INVALID`.
 */
export function decompressor(kind: Exclude<ArchiveCompression, "none">): Duplex {
  switch (kind) {
    case "gzip":
      return withClearErrors(kind, createGunzip({ chunkSize: 1 << 18 }));
    case "zstd":
      return unpackZstd();
    case "xz":
      return Duplex.from(unpackXz);
    case "bzip2":
      return unpackBzip2();
  }
}

export function archiveInvalid(detail: string, cause?: unknown): TsbuildError {
  return new TsbuildError({ code: "ARCHIVE_INVALID", what: `invalid archive: ${detail}`, cause });
}

function withClearErrors(kind: ArchiveCompression, stream: Duplex): Duplex {
  const destroy = stream._destroy.bind(stream);
  stream._destroy = (error, callback) =>
    destroy(error, (failure) =>
      callback(failure == null || failure instanceof TsbuildError ? (failure ?? null) : damaged(kind, failure)),
    );
  return stream;
}

function damaged(kind: ArchiveCompression, cause: unknown): TsbuildError {
  const cut = cause instanceof Error && "code" in cause && cause.code === "Z_BUF_ERROR";
  return archiveInvalid(`the ${kind} data ${cut ? "end too early" : "are damaged"}`, cause);
}

/**
 * Node's decoder takes the end of a frame for the end of the data when the next frame starts in the same chunk. Layers
 * of several frames are common (zstd:chunked, pzstd), so what it leaves of a chunk goes to a new decoder.
 */
function unpackZstd(): Duplex {
  let frame: ZstdDecompress | undefined;
  /** Takes over when the frame has ended. */
  let onEnd: () => void = () => undefined;

  const open = (): ZstdDecompress => {
    // Up to 2 GiB of window is legal; 128 MiB is what the zstd program takes without being told otherwise.
    const opened = createZstdDecompress({ chunkSize: 1 << 18, params: { [constants.ZSTD_d_windowLogMax]: 27 } });
    opened.on("data", (plain: Buffer) => {
      if (!outer.push(plain)) opened.pause();
    });
    opened.on("error", (cause) => outer.destroy(damaged("zstd", cause)));
    opened.on("end", () => {
      frame = undefined;
      onEnd();
    });
    return opened;
  };
  const feed = (bytes: Buffer, done: () => void): void => {
    frame ??= open();
    const current = frame;
    const before = current.bytesWritten;
    let isDone = false;
    const finish = (rest: Buffer): void => {
      if (isDone) return;
      isDone = true;
      if (rest.length > 0) feed(rest, done);
      else done();
    };
    onEnd = () => finish(bytes.subarray(current.bytesWritten - before));
    // Called after the frame's end as well, when a part of the chunk was left.
    current.write(bytes, () => {
      if (current.bytesWritten - before === bytes.length) finish(Buffer.alloc(0));
    });
  };
  const outer: Duplex = new Duplex({
    read: () => void frame?.resume(),
    write: (bytes: Buffer, _, callback) => feed(bytes, callback),
    final(callback) {
      const end = (): void => {
        outer.push(null);
        callback();
      };
      if (frame === undefined) return end();
      onEnd = end;
      frame.end();
    },
    destroy(error, callback) {
      frame?.destroy();
      callback(error);
    },
  });
  return outer;
}

async function* unpackXz(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const { XzReadableStream } = (await import("xz-decompress")).default;
  const plain = new XzReadableStream(WebStream.from(source) as ReadableStream<Uint8Array>);
  try {
    // The decoder hands out views of its own memory, which the next step overwrites.
    for await (const chunk of plain) yield Buffer.from(chunk);
  } catch (cause) {
    throw cause instanceof TsbuildError ? cause : damaged("xz", cause);
  }
}

function unpackBzip2(): Transform {
  // An old-style stream: `write` decodes at once and emits what it has.
  let decoder: NodeJS.ReadWriteStream;
  let failure: unknown;
  const finish = (callback: TransformCallback): void =>
    failure === undefined ? callback() : callback(damaged("bzip2", failure));
  return new Transform({
    construct(callback) {
      import("unbzip2-stream").then(({ default: unbzip2 }) => {
        decoder = unbzip2();
        decoder.on("data", (chunk: Buffer) => this.push(chunk));
        decoder.on("error", (error) => {
          failure ??= error;
        });
        callback();
      }, callback);
    },
    transform(chunk: Buffer, _, callback) {
      decoder.write(chunk);
      finish(callback);
    },
    flush(callback) {
      decoder.end();
      finish(callback);
    },
  });
}

/** `source` unpacked, whatever it is; what is not compressed passes as it is. */
export async function decompressed(source: Readable): Promise<Readable> {
  const { start, whole } = await withStart(source);
  const kind = sniffCompression(start);
  if (kind === "none") return whole;
  const plain = decompressor(kind);
  whole.on("error", (error) => plain.destroy(error));
  return whole.pipe(plain);
}

/** The first bytes of a stream, at least `sniffLength` where it has so many; `whole` still has them. */
export async function withStart(source: Readable): Promise<{ readonly start: Buffer; readonly whole: Readable }> {
  const chunks: Buffer[] = [];
  let length = 0;
  while (length < sniffLength) {
    const chunk = source.read() as Buffer | null;
    if (chunk !== null) {
      chunks.push(chunk);
      length += chunk.length;
    } else if (source.readableEnded || source.destroyed || !(await readableOrEnd(source))) break;
  }
  const start = Buffer.concat(chunks);
  if (start.length === 0) return { start, whole: Readable.from([]) };
  source.unshift(start);
  return { start, whole: source };
}

function readableOrEnd(source: Readable): Promise<boolean> {
  const { promise, resolve, reject } = Promise.withResolvers<boolean>();
  const onReadable = (): void => resolve(true);
  const onEnd = (): void => resolve(false);
  source.once("readable", onReadable).once("end", onEnd).once("close", onEnd).once("error", reject);
  return promise.finally(() => {
    source.off("readable", onReadable).off("end", onEnd).off("close", onEnd).off("error", reject);
  });
}
