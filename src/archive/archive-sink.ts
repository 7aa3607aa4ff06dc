/** Where a saved image goes: a tar, written front to back, or a folder. The same calls make the same bytes. */

import { once } from "node:events";
import { closeSync, fsyncSync, mkdirSync, openSync, readSync, renameSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import type { Writable } from "node:stream";
import { writeFully } from "./archive-files.ts";
import { endOfTar, paddingAfter, tarHeader } from "./tar-header.ts";

export interface ArchiveSink {
  /** Absolute path of a folder of ours, for files that are made on the way. */
  readonly scratch: string;
  folder(name: string): Promise<void>;
  bytes(name: string, bytes: Uint8Array): Promise<void>;
  /** `path` may be moved away: the caller gives it up. */
  takeFile(name: string, path: string, sizeBytes: number): Promise<void>;
  copyFile(name: string, path: string, sizeBytes: number): Promise<void>;
  /** Nothing may follow. */
  end(): Promise<void>;
}

const copyBytes = 1 << 20;

/** `write` takes bytes in order, and may keep its caller waiting. */
export function tarSink(write: (bytes: Uint8Array) => Promise<void> | void, scratch: string): ArchiveSink {
  const copyFile = async (name: string, path: string, sizeBytes: number): Promise<void> => {
    await write(tarHeader(name, sizeBytes));
    let left = sizeBytes;
    for (const chunk of chunksOf(path)) {
      left -= chunk.length;
      if (left < 0) break;
      await write(chunk);
    }
    if (left !== 0) throw new Error(`${path} does not have ${sizeBytes} bytes`);
    await write(paddingAfter(sizeBytes));
  };
  return {
    scratch,
    folder: async (name) => write(tarHeader(`${name}/`, 0)),
    async bytes(name, bytes) {
      await write(tarHeader(name, bytes.length));
      await write(bytes);
      await write(paddingAfter(bytes.length));
    },
    takeFile: copyFile,
    copyFile,
    end: async () => write(endOfTar),
  };
}

function* chunksOf(path: string): Generator<Buffer> {
  const fd = openSync(path, "r");
  try {
    for (;;) {
      // Not one buffer for all: a stream may still hold the last one.
      const buffer = Buffer.allocUnsafe(copyBytes);
      const count = readSync(fd, buffer);
      if (count === 0) return;
      yield buffer.subarray(0, count);
    }
  } finally {
    closeSync(fd);
  }
}

export function fileWriter(fd: number): (bytes: Uint8Array) => void {
  return (bytes) => writeFully(fd, bytes);
}

/** Waits while the other side does not read. A closed pipe is the stream's own error. */
export function streamWriter(stream: Writable, signal: AbortSignal): (bytes: Uint8Array) => Promise<void> {
  return async (bytes) => {
    signal.throwIfAborted();
    if (stream.errored !== null) throw stream.errored;
    if (!stream.write(bytes)) await once(stream, "drain", { signal });
  };
}

/** An OCI layout as a folder. Files come under their final names when they are complete. */
export function folderSink(root: string, scratch: string): ArchiveSink {
  mkdirSync(root, { recursive: true });
  const put = (name: string, fill: (path: string) => void): void => {
    const path = join(root, name);
    mkdirSync(dirname(path), { recursive: true });
    const staged = `${path}.${process.pid}.tmp`;
    fill(staged);
    renameSync(staged, path);
  };
  const copyFile = async (name: string, path: string): Promise<void> =>
    put(name, (staged) => {
      const fd = openSync(staged, "wx");
      try {
        for (const chunk of chunksOf(path)) writeFully(fd, chunk);
        fsyncSync(fd);
      } finally {
        closeSync(fd);
      }
    });
  return {
    scratch,
    folder: async (name) => void mkdirSync(join(root, name), { recursive: true }),
    bytes: async (name, bytes) => put(name, (staged) => writeFileSync(staged, bytes, { flush: true })),
    takeFile: copyFile,
    copyFile,
    end: async () => undefined,
  };
}
