/**
 * An image archive or OCI folder as named files, whatever it lies in: a plain tar is read in place, by offsets; a stream
 * or a compressed file is unpacked into a temporary folder once. Names are looked up, never joined to a path of ours.
 */
import {
  closeSync,
  createReadStream,
  fstatSync,
  openSync,
  readSync,
  realpathSync,
  renameSync,
  statSync,
  writeSync,
} from "node:fs";
import { join, posix } from "node:path";
import { addAbortSignal, type Readable } from "node:stream";
import { errnoOf } from "../errors.ts";
import { textOfBytePath } from "../kernel/byte-path.ts";
import { type ArchiveCompression, decompressed, sniffCompression, sniffLength, withStart } from "../oci/decompress.ts";
import { type TarHandler, type TarHeader, TarReader } from "../store/tar-reader.ts";
import { archiveInvalid, missingInArchive, nothingRead } from "./errors.ts";
import { blockSize, extensionKind, readPaxRecords, readTarHeader } from "./tar-header.ts";

export interface ArchiveFiles extends Disposable {
  has(name: string): boolean;
  /** Equal for names of one file. */
  resolve(name: string): string;
  /** @throws {TsbuildError} `ARCHIVE_INVALID` when it is absent or longer than `limitBytes`. */
  read(name: string, limitBytes?: number): Buffer;
  size(name: string): number;
  start(name: string): Buffer;
  /** Puts the file's bytes under a new path; the archive may not have it afterwards. */
  take(name: string, path: string): void;
}

/** Configs, manifests, indexes: what is read into memory. */
const memoryLimitBytes = 16 << 20;
const copyBytes = 1 << 20;

type Place =
  | { readonly kind: "range"; readonly fd: number; readonly offset: number; readonly size: number }
  | { readonly kind: "file"; readonly path: string; readonly size: number };

/** A tar file that is not compressed. It stays as it is. */
export function openTarFile(path: string): ArchiveFiles {
  const fd = openSync(path, "r");
  try {
    const { places, links } = indexTar(fd);
    return archiveFiles(
      (name) => places.get(name),
      (name) => resolveLinks(name, links),
      () => closeSync(fd),
    );
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

/** A folder: it stays as it is. */
export function openFolder(path: string): ArchiveFiles {
  const root = realpathSync(path);
  const find = (name: string): Place | undefined => {
    try {
      // Neither `..` in a name nor a symlink leads out of the folder.
      const file = realpathSync(join(root, name));
      if (!file.startsWith(`${root}/`)) return undefined;
      const stats = statSync(file);
      return stats.isFile() ? { kind: "range", fd: openSync(file, "r"), offset: 0, size: stats.size } : undefined;
    } catch (error) {
      if (errnoOf(error) === "ENOENT" || errnoOf(error) === "ENOTDIR") return undefined;
      throw error;
    }
  };
  const known = new Map<string, Place | undefined>();
  const place = (name: string): Place | undefined => {
    if (!known.has(name)) known.set(name, find(name));
    return known.get(name);
  };
  const asItIs = (name: string): string => name;
  return archiveFiles(place, asItIs, () => {
    for (const each of known.values()) if (each?.kind === "range") closeSync(each.fd);
  });
}

/** A tar that arrives, compressed or not. `folder` is ours, and outlives the result. */
export async function unpackTar(source: Readable, folder: string, signal: AbortSignal): Promise<ArchiveFiles> {
  addAbortSignal(signal, source); // a silent stdin would wait for ever
  using unpacker = new Unpacker(folder);
  const reader = new TarReader(unpacker);
  try {
    const { start, whole } = await withStart(source);
    if (start.length === 0) throw nothingRead("requested load from stdin, but stdin is empty");
    for await (const chunk of (await decompressed(whole)) as AsyncIterable<Buffer>) reader.push(chunk);
    reader.finish();
  } catch (error) {
    signal.throwIfAborted();
    throw error;
  } finally {
    source.destroy();
  }
  const { places, links } = unpacker;
  return archiveFiles(
    (name) => places.get(name),
    (name) => resolveLinks(name, links),
    () => undefined,
  );
}

/** Entries become files with names of ours; the last of a name counts. */
class Unpacker implements TarHandler, Disposable {
  readonly places = new Map<string, Place>();
  readonly links = new Map<string, string>();
  readonly #folder: string;
  #count = 0;
  #open: { readonly fd: number; readonly path: string; readonly name: string; size: number } | undefined;

  constructor(folder: string) {
    this.#folder = folder;
  }

  begin({ type, name: rawName, linkName }: TarHeader): void {
    const name = cleanName(textOfBytePath(rawName));
    this.links.delete(name);
    if (type === "symlink" || type === "hardlink")
      this.links.set(name, linkTarget(name, textOfBytePath(linkName), type === "hardlink"));
    if (type !== "file") return;
    this.#count += 1;
    const path = join(this.#folder, `entry-${this.#count}`);
    this.#open = { fd: openSync(path, "wx", 0o600), path, name, size: 0 };
  }

  data(chunk: Buffer): void {
    if (this.#open === undefined) return;
    writeFully(this.#open.fd, chunk);
    this.#open.size += chunk.length;
  }

  hole(length: number): void {
    for (let left = length; left > 0; left -= copyBytes) this.data(Buffer.alloc(Math.min(left, copyBytes)));
  }

  end(): void {
    if (this.#open === undefined) return;
    const { fd, path, name, size } = this.#open;
    this.#open = undefined;
    closeSync(fd);
    this.places.set(name, { kind: "file", path, size });
  }

  skipped(): void {
    // devices and the like: no image archive needs them
  }

  [Symbol.dispose](): void {
    if (this.#open !== undefined) closeSync(this.#open.fd);
    this.#open = undefined;
  }
}

export function sniffFile(path: string): ArchiveCompression {
  const fd = openSync(path, "r");
  try {
    const start = Buffer.alloc(sniffLength);
    return sniffCompression(start.subarray(0, readSync(fd, start, 0, sniffLength, 0)));
  } finally {
    closeSync(fd);
  }
}

export function openStream(path: string): Readable {
  return createReadStream(path, { highWaterMark: copyBytes });
}

function archiveFiles(
  place: (name: string) => Place | undefined,
  follow: (name: string) => string,
  dispose: () => void,
): ArchiveFiles {
  const resolve = (name: string): string => follow(cleanName(name));
  const existing = (name: string): Place => {
    const found = place(resolve(name));
    if (found === undefined) throw missingInArchive(name);
    return found;
  };
  return {
    has: (name) => place(resolve(name)) !== undefined,
    resolve,
    size: (name) => existing(name).size,
    start: (name) => readRange(existing(name), sniffLength),
    read(name, limitBytes = memoryLimitBytes) {
      const found = existing(name);
      if (found.size > limitBytes) throw archiveInvalid(`${name} has ${found.size} bytes, more than ${limitBytes}`);
      const bytes = readRange(found, found.size);
      if (bytes.length < found.size) throw archiveInvalid(`${name} is cut short`);
      return bytes;
    },
    take(name, path) {
      const found = existing(name);
      if (found.kind === "file") renameSync(found.path, path);
      else copyRange(found, path, name);
    },
    [Symbol.dispose]: dispose,
  };
}

function readRange(place: Place, length: number): Buffer {
  const bytes = Buffer.alloc(Math.min(length, place.size));
  const fd = place.kind === "range" ? place.fd : openSync(place.path, "r");
  try {
    const offset = place.kind === "range" ? place.offset : 0;
    let at = 0;
    while (at < bytes.length) {
      const count = readSync(fd, bytes, at, bytes.length - at, offset + at);
      if (count === 0) break;
      at += count;
    }
    return bytes.subarray(0, at);
  } finally {
    if (place.kind === "file") closeSync(fd);
  }
}

function copyRange(place: Extract<Place, { kind: "range" }>, path: string, name: string): void {
  const to = openSync(path, "wx");
  try {
    const buffer = Buffer.allocUnsafe(copyBytes);
    for (let done = 0; done < place.size; ) {
      const count = readSync(place.fd, buffer, 0, Math.min(copyBytes, place.size - done), place.offset + done);
      if (count === 0) throw archiveInvalid(`${name} is cut short`);
      writeFully(to, buffer.subarray(0, count));
      done += count;
    }
  } finally {
    closeSync(to);
  }
}

export function writeFully(fd: number, bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at);
}

/** `./a//b` and `/a/b` are `a/b`. */
function cleanName(name: string): string {
  return posix
    .normalize(name)
    .replace(/^(\.?\/)+/, "")
    .replace(/\/$/, "");
}

/** Docker's first archives have a symlink for a layer that was there before: `../ID/layer.tar`. */
function linkTarget(name: string, target: string, isHard: boolean): string {
  return cleanName(isHard ? target : posix.join(posix.dirname(name), target));
}

function resolveLinks(name: string, links: ReadonlyMap<string, string>): string {
  let current = name;
  for (let hops = 0; hops < 10; hops++) {
    const next = links.get(current);
    if (next === undefined) return current;
    current = next;
  }
  throw archiveInvalid(`the links of ${name} go round`);
}

interface TarIndex {
  readonly places: ReadonlyMap<string, Place>;
  readonly links: ReadonlyMap<string, string>;
}

function indexTar(fd: number): TarIndex {
  const places = new Map<string, Place>();
  const links = new Map<string, string>();
  const fileSize = fstatSync(fd).size;
  const block = Buffer.alloc(blockSize);
  let pax = new Map<string, string>();
  for (let at = 0; at < fileSize; ) {
    if (readSync(fd, block, 0, blockSize, at) < blockSize)
      throw archiveInvalid("the tar ends in the middle of a header");
    const entry = readTarHeader(block, pax);
    if (entry === "damaged") throw archiveInvalid(at === 0 ? "it is no tar" : "a tar header is damaged");
    if (entry === undefined) break;
    at += blockSize;
    const { sizeBytes } = entry;
    if (!Number.isSafeInteger(sizeBytes) || sizeBytes < 0 || at + sizeBytes > fileSize)
      throw archiveInvalid(`the tar ends in the middle of ${entry.name}`);
    const extension = extensionKind(block);
    if (extension === undefined) {
      const name = cleanName(entry.name);
      if (entry.type === "file") places.set(name, { kind: "range", fd, offset: at, size: sizeBytes });
      if (entry.type === "link" || entry.type === "symlink")
        links.set(name, linkTarget(name, entry.target, entry.type === "link"));
      else links.delete(name);
      pax = new Map();
    } else {
      if (sizeBytes > 1 << 20) throw archiveInvalid("an extended tar header is too long");
      const bytes = readRange({ kind: "range", fd, offset: at, size: sizeBytes }, sizeBytes);
      const text = bytes.toString("utf8").replace(/\0+$/, "");
      if (extension === "pax") for (const [key, value] of readPaxRecords(bytes)) pax.set(key, value);
      else pax.set(extension === "longName" ? "path" : "linkpath", text);
    }
    at += Math.ceil(sizeBytes / blockSize) * blockSize;
  }
  return { places, links };
}
