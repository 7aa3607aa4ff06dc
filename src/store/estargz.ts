/**
 * eStargz: a layer that every reader of tar and gzip can read, and from which single files can be had without the rest.
 * Each file's content begins a gzip member of its own; behind the last a table of contents names their places, and a
 * footer the table's. Source: containerd/stargz-snapshotter, docs/estargz.md.
 */
import { createHash } from "node:crypto";
import { closeSync, fstatSync, openSync, readSync, writeSync } from "node:fs";
import { gzipSync } from "node:zlib";
import { errnoOf } from "../errors.ts";
import { bytePath, bytePathOfLatin1, textOfBytePath } from "../kernel/byte-path.ts";
import { type DiffId, type Digest, diffIdOf, sha256 } from "../oci/digest.ts";
import { noSpace } from "./errors.ts";
import type { LayerEntry } from "./layer-entry.ts";
import { type ContentOf, contentIn, readExactly } from "./pack-layer.ts";
import { readIndex } from "./seal-layer.ts";
import { paddingOf, tarHeader, tarName, trailerBytes } from "./tar-headers.ts";
import type { TarHandler, TarHeader } from "./tar-reader.ts";

export interface EstargzTask {
  readonly kind: "estargz";
  /** Folder of the layer, which has a tree. */
  readonly folder: string;
  readonly file: string;
  /** 0 to 9. */
  readonly level: number;
}

export interface WrittenEstargz {
  readonly digest: Digest;
  readonly size: number;
  /** Of the tar with what the format adds to it. */
  readonly diffId: DiffId;
  readonly sizeBytes: number;
  /** Of the table of contents: with it each file can be verified alone. */
  readonly tocDigest: Digest;
}

export const tocDigestAnnotation = "containerd.io/snapshot/stargz/toc.digest";
export const uncompressedSizeAnnotation = "io.containers.estargz.uncompressed-size";

const tocName = "stargz.index.json";
/** Says that nothing should be fetched before it is asked for: nobody has measured what this image opens first. */
const landmark = ".no.prefetch.landmark";
const formatFiles = [tocName, landmark, ".prefetch.landmark"];

const chunkBytes = 4 << 20;

/** @throws {TsbuildError} `STORE_CORRUPT` when a file is shorter than its entry says; `NO_SPACE` */
export function writeEstargz({ folder, file, level }: EstargzTask): WrittenEstargz {
  const fd = openSync(file, "w", 0o600);
  try {
    const { entries } = readIndex(folder);
    return new Writer(fd, level).write(entries, contentIn(bytePath(`${folder}/tree`)));
  } catch (error) {
    const code = errnoOf(error);
    if (code === "ENOSPC" || code === "EDQUOT") throw noSpace(file, error);
    throw error;
  } finally {
    closeSync(fd);
  }
}

/** As the format's JSON has it. */
interface TocEntry {
  readonly name: string;
  readonly type: "dir" | "reg" | "symlink" | "hardlink" | "char" | "block" | "fifo" | "chunk";
  readonly size?: number;
  readonly modtime?: string;
  readonly linkName?: string;
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  /** Where the gzip member of the content begins. */
  readonly offset?: number;
  readonly devMajor?: number;
  readonly devMinor?: number;
  readonly xattrs?: Readonly<Record<string, string>>;
  readonly digest?: string;
  readonly chunkOffset?: number;
  /** Absent for the last chunk of a file. */
  readonly chunkSize?: number;
  readonly chunkDigest?: string;
}

class Writer {
  readonly #fd: number;
  readonly #level: number;
  readonly #blobHash = createHash("sha256");
  readonly #tarHash = createHash("sha256");
  /** Of the blob. */
  #offset = 0;
  /** Of the tar. */
  #sizeBytes = 0;
  /** Of the member that is not written yet. */
  #pending: Buffer[] = [];
  #pendingBytes = 0;
  readonly #toc: TocEntry[] = [];

  constructor(fd: number, level: number) {
    this.#fd = fd;
    this.#level = level;
  }

  write(entries: readonly LayerEntry[], contentOf: ContentOf): WrittenEstargz {
    this.#file(landmarkEntry(), undefined, () => ({ kind: "bytes", bytes: landmarkContent }));
    const capabilities = new Map<string, string>();
    for (const entry of entries) {
      if (entry.type === "file") {
        if (entry.capability !== undefined) capabilities.set(entry.path, entry.capability);
        this.#file(entry, entry.capability, contentOf);
        continue;
      }
      const capability = entry.type === "hardlink" ? capabilities.get(entry.target) : undefined;
      this.#append(tarHeader(entry, capability));
      this.#toc.push(tocEntryOf(entry));
    }
    const tocOffset = this.#flush();
    const toc = Buffer.from(JSON.stringify({ version: 1, entries: this.#toc }, undefined, "\t"));
    this.#append(tarHeader({ ...formatEntry(tocName), size: toc.length, digest: sha256(toc) }, undefined));
    this.#append(toc);
    this.#append(Buffer.alloc(paddingOf(toc.length) + trailerBytes));
    this.#flush();
    this.#writeRaw(footer(tocOffset));
    return {
      digest: `sha256:${this.#blobHash.digest("hex")}` as string as Digest,
      size: this.#offset,
      diffId: diffIdOf(`sha256:${this.#tarHash.digest("hex")}` as string as Digest),
      sizeBytes: this.#sizeBytes,
      tocDigest: sha256(toc),
    };
  }

  #file(entry: LayerEntry & { readonly type: "file" }, capability: string | undefined, contentOf: ContentOf): void {
    this.#append(tarHeader(entry, capability));
    const { size } = entry;
    const first = tocEntryOf(entry);
    if (size === 0) {
      this.#toc.push(first);
      return;
    }
    const content = contentOf(entry);
    try {
      for (let at = 0; at < size; at += chunkBytes) {
        const length = Math.min(chunkBytes, size - at);
        const chunk = Buffer.allocUnsafeSlow(length);
        if (content.kind === "bytes") chunk.set(content.bytes.subarray(at, at + length));
        else readExactly(content.fd, chunk, entry.path);
        const offset = this.#flush();
        this.#append(chunk);
        this.#toc.push({
          ...(at === 0 ? first : { name: first.name, type: "chunk" }),
          offset,
          ...(at === 0 && { digest: entry.digest }),
          ...(at > 0 && { chunkOffset: at }),
          ...(length === chunkBytes && { chunkSize: length }),
          chunkDigest: length === size ? entry.digest : sha256(chunk),
        });
      }
    } finally {
      if (content.kind === "open") closeSync(content.fd);
    }
    this.#append(Buffer.alloc(paddingOf(size)));
  }

  #append(bytes: Buffer): void {
    // Many entries without content are no reason to hold them all.
    if (this.#pendingBytes + bytes.length > 2 * chunkBytes) this.#flush();
    this.#pending.push(bytes);
    this.#pendingBytes += bytes.length;
  }

  /** Returns where the next member begins. */
  #flush(): number {
    if (this.#pendingBytes > 0) {
      const plain = Buffer.concat(this.#pending, this.#pendingBytes);
      this.#tarHash.update(plain);
      this.#sizeBytes += plain.length;
      this.#writeRaw(gzipSync(plain, { level: this.#level }));
      this.#pending = [];
      this.#pendingBytes = 0;
    }
    return this.#offset;
  }

  #writeRaw(bytes: Buffer): void {
    this.#blobHash.update(bytes);
    for (let done = 0; done < bytes.length; ) done += writeSync(this.#fd, bytes, done);
    this.#offset += bytes.length;
  }
}

const landmarkContent = Buffer.from([0xf]);

function formatEntry(name: string): Omit<LayerEntry & { readonly type: "file" }, "size" | "digest"> {
  return { type: "file", path: bytePathOfLatin1(name), mode: 0, uid: 0, gid: 0, mtime: 0 };
}

/** A function: every command reads this module, and few of them need node:crypto. */
function landmarkEntry(): LayerEntry & { readonly type: "file" } {
  return { ...formatEntry(landmark), size: landmarkContent.length, digest: sha256(landmarkContent) };
}

const tocTypes = {
  file: "reg",
  dir: "dir",
  symlink: "symlink",
  hardlink: "hardlink",
  char: "char",
  block: "block",
  fifo: "fifo",
  // Ordinary empty files to tar.
  whiteout: "reg",
  opaque: "reg",
} satisfies Record<LayerEntry["type"], TocEntry["type"]>;

/** What is zero or empty is left out. */
function tocEntryOf(entry: LayerEntry): TocEntry {
  const { mode, uid, gid, mtime, type } = entry;
  return {
    name: textOfBytePath(tarName(entry)),
    type: tocTypes[type],
    ...(type === "file" && entry.size > 0 && { size: entry.size }),
    ...(mtime !== 0 && { modtime: `${new Date(mtime * 1000).toISOString().slice(0, 19)}Z` }),
    ...((type === "symlink" || type === "hardlink") && { linkName: textOfBytePath(entry.target) }),
    ...(mode !== 0 && { mode }),
    ...(uid !== 0 && { uid }),
    ...(gid !== 0 && { gid }),
    ...((type === "char" || type === "block") && { devMajor: entry.major, devMinor: entry.minor }),
    ...(type === "file" && entry.capability !== undefined && { xattrs: { "security.capability": entry.capability } }),
  };
}

// The footer ------------------------------------------------------------------------------------------------------

const footerBytes = 51;

/** An empty gzip member whose extra field says where the table is. Source: RFC 1952, 2.3.1.1, "Extra field". */
function footer(tocOffset: number): Buffer {
  const where = Buffer.from(`${tocOffset.toString(16).padStart(16, "0")}STARGZ`);
  const extra = Buffer.concat([Buffer.from("SG"), Buffer.from([where.length, 0]), where]);
  const header = Buffer.from([0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 0, 0xff, extra.length, 0]);
  // A last block that is stored and empty, then checksum and size of nothing.
  const end = Buffer.from([1, 0, 0, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0]);
  return Buffer.concat([header, extra, end]);
}

/** By its last bytes. */
export function isEstargz(fd: number): boolean {
  const { size } = fstatSync(fd);
  if (size < footerBytes) return false;
  const bytes = Buffer.alloc(footerBytes);
  readSync(fd, bytes, 0, footerBytes, size - footerBytes);
  const offset = Number.parseInt(bytes.toString("latin1", 16, 32), 16);
  return Number.isSafeInteger(offset) && offset < size && bytes.equals(footer(offset));
}

/** The same without the files that are the format's and not the image's. */
export function withoutFormatFiles(handler: TarHandler): TarHandler {
  let skips = false;
  return {
    begin(header: TarHeader): void {
      skips = header.type === "file" && formatFiles.includes(header.name.replace(/^(?:\.?\/)+/, ""));
      if (!skips) handler.begin(header);
    },
    data(chunk): void {
      if (!skips) handler.data(chunk);
    },
    hole(length): void {
      if (!skips) handler.hole(length);
    },
    end(): void {
      if (!skips) handler.end();
    },
    skipped: (name, typeFlag) => handler.skipped(name, typeFlag),
  };
}
