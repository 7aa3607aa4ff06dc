/** Where a saved image goes: a tar, written front to back, or a folder. The same calls make the same bytes. */

import { once } from "node:events";
import {
  closeSync,
  constants,
  copyFileSync,
  fstatSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import type { Writable } from "node:stream";
import { writeFully } from "./archive-files.ts";
import { endOfTar, paddingAfter, tarHeader } from "./tar-header.ts";

export interface ArchiveSink {
  folder(name: string): Promise<void>;
  bytes(name: string, bytes: Uint8Array): Promise<void>;
  copyFile(name: string, path: string, sizeBytes: number): Promise<void>;
  /** `fill` writes `sizeBytes` to the file it is given; with `append` behind what is there. */
  fill(name: string, sizeBytes: number, fill: FillFile): Promise<void>;
  /** Nothing may follow. */
  end(): Promise<void>;
}

export type FillFile = (file: string, options: { readonly append: boolean }) => Promise<void>;

const copyBytes = 1 << 20;

/** A tar at `path`, which is there, empty, and ours alone. */
export function tarFileSink(path: string, fd: number): ArchiveSink {
  const sink = tarSink((bytes) => writeFully(fd, bytes));
  return {
    ...sink,
    async fill(name, sizeBytes, fill) {
      writeFully(fd, tarHeader(name, sizeBytes));
      const before = fstatSync(fd).size;
      await fill(path, { append: true });
      if (fstatSync(fd).size - before !== sizeBytes) throw new Error(`${name} does not have ${sizeBytes} bytes`);
      writeFully(fd, paddingAfter(sizeBytes));
    },
  };
}

/** A tar that goes into a stream. `scratch` is a folder for what has to be made as a file first. */
export function tarStreamSink(stream: Writable, scratch: string, signal: AbortSignal): ArchiveSink {
  const sink = tarSink(streamWriter(stream, signal));
  return {
    ...sink,
    async fill(name, sizeBytes, fill) {
      const file = join(scratch, "filled");
      await fill(file, { append: false });
      await sink.copyFile(name, file, sizeBytes);
      rmSync(file);
    },
  };
}

/** `write` takes bytes in order, and may keep its caller waiting. */
function tarSink(write: (bytes: Uint8Array) => Promise<void> | void): Omit<ArchiveSink, "fill"> {
  return {
    folder: async (name) => write(tarHeader(`${name}/`, 0)),
    async bytes(name, bytes) {
      await write(tarHeader(name, bytes.length));
      await write(bytes);
      await write(paddingAfter(bytes.length));
    },
    async copyFile(name, path, sizeBytes) {
      await write(tarHeader(name, sizeBytes));
      let left = sizeBytes;
      for (const chunk of chunksOf(path)) {
        left -= chunk.length;
        if (left < 0) break;
        await write(chunk);
      }
      if (left !== 0) throw new Error(`${path} does not have ${sizeBytes} bytes`);
      await write(paddingAfter(sizeBytes));
    },
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

/** Waits while the other side does not read. A closed pipe is the stream's own error. */
function streamWriter(stream: Writable, signal: AbortSignal): (bytes: Uint8Array) => Promise<void> {
  return async (bytes) => {
    signal.throwIfAborted();
    if (stream.errored !== null) throw stream.errored;
    if (!stream.write(bytes)) await once(stream, "drain", { signal });
  };
}

/** An OCI layout as a folder. Files come under their final names when they are complete. */
export function folderSink(root: string): ArchiveSink {
  mkdirSync(root, { recursive: true });
  const put = async (name: string, write: (staged: string) => Promise<void> | void): Promise<void> => {
    const path = join(root, name);
    const staged = `${path}.${process.pid}.tmp`;
    try {
      await write(staged);
      const fd = openSync(staged, "r");
      try {
        fsyncSync(fd);
      } finally {
        closeSync(fd);
      }
      renameSync(staged, path);
    } catch (error) {
      rmSync(staged, { force: true });
      throw error;
    }
  };
  return {
    folder: async (name) => void mkdirSync(join(root, name), { recursive: true }),
    bytes: (name, bytes) => put(name, (staged) => writeFileSync(staged, bytes)),
    copyFile: (name, path) => put(name, (staged) => copyFileSync(path, staged, constants.COPYFILE_FICLONE)),
    fill: (name, _, fill) => put(name, (staged) => fill(staged, { append: false })),
    end: async () => undefined,
  };
}
