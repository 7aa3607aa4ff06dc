/** Entries as the bytes of a tar. */
import { bytePathOfLatin1 } from "../kernel/byte-path.ts";
import { sha256 } from "../oci/digest.ts";
import type { LayerEntry } from "../store/layer-entry.ts";
import { paddingOf, tarHeader, trailerBytes } from "../store/tar-headers.ts";
import type { TarHandler, TarHeader } from "../store/tar-reader.ts";

/** Not read from headers: the digest of an entry is no part of a tar. */
const noDigest = sha256("");
const zeros = Buffer.alloc(64 * 1024);

export interface TarWriter extends TarHandler {
  /** The two blocks of zeros at the end. */
  finish(): void;
}

/** `write` is called with buffers that are used again: whoever keeps one copies it. */
export function tarWriter(write: (chunk: Buffer) => void): TarWriter {
  let padding = 0;
  const writeZeros = (length: number): void => {
    for (let left = length; left > 0; left -= zeros.length) write(zeros.subarray(0, Math.min(left, zeros.length)));
  };
  return {
    begin(header) {
      write(tarHeader(entryOf(header), header.xattrs.get("security.capability")?.toString("base64")));
      padding = paddingOf(header.size);
    },
    data: (chunk) => write(Buffer.from(chunk)),
    hole: writeZeros,
    end: () => writeZeros(padding),
    skipped: () => undefined,
    finish: () => writeZeros(trailerBytes),
  };
}

function entryOf(header: TarHeader): LayerEntry {
  const { mode, uid, gid, major, minor, size, linkName: target } = header;
  const path = bytePathOfLatin1(header.name.replace(/\/+$/, ""));
  const base = { path, mode, uid, gid, mtime: Number(header.mtimeNs / 1_000_000_000n) };
  switch (header.type) {
    case "file":
      return { ...base, type: "file", size, digest: noDigest };
    case "symlink":
    case "hardlink":
      return { ...base, type: header.type, target };
    case "char":
    case "block":
      return { ...base, type: header.type, major, minor };
    case "dir":
    case "fifo":
      return { ...base, type: header.type };
  }
}
