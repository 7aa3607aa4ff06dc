/**
 * A tar as a stream of entries: ustar, PAX, GNU (long names, base-256 numbers, sparse files in all four forms), v7. Fed
 * with chunks of any size, it calls back synchronously. Names are bytes. It knows nothing of files, so it checks form and
 * bounds only; what an entry may do is decided by who unpacks it.
 *
 * Own code and not tar-stream: that one decodes names as UTF-8 and knows no sparse files.
 * Sources: pax(1); GNU tar manual, "Basic Tar Format" and "Storing Sparse Files".
 */
import { type BytePath, bytePathOfLatin1 } from "../kernel/byte-path.ts";
import { archiveInvalid } from "./errors.ts";
import { addRecord, decimal, paxRecords, type Records, timeOf, xattrsOf } from "./pax-records.ts";
import { checkParts, parseCommaMap, parseSparseMap, readOldSparse, type SparsePart } from "./sparse-maps.ts";
import { checksumFits, idOf, isZero, nameOf, numberAt, signedNumberAt, text, untilNul } from "./tar-fields.ts";
import { blockBytes, paddingOf } from "./tar-headers.ts";

export type TarType = "file" | "dir" | "symlink" | "hardlink" | "char" | "block" | "fifo";

export interface TarHeader {
  readonly type: TarType;
  /** As written. */
  readonly name: BytePath;
  readonly linkName: BytePath;
  /** 12 bits. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Of the content, holes included. */
  readonly size: number;
  readonly mtimeNs: bigint;
  readonly major: number;
  readonly minor: number;
  /** By full name; the values are bytes. */
  readonly xattrs: ReadonlyMap<string, Buffer>;
}

export interface TarHandler {
  begin(header: TarHeader): void;
  /** The next bytes of the entry's content. The buffer is the caller's. */
  data(chunk: Buffer): void;
  /** The next `length` bytes are zeros. */
  hole(length: number): void;
  end(): void;
  /** An entry of a kind that we do not read was left out. */
  skipped(name: BytePath, typeFlag: string): void;
  /** What holds for all entries behind it came. Its records are in the headers of those. */
  global?(): void;
}

/** Of one PAX header or long name. */
const maxMetaBytes = 1 << 20;
const maxEntries = 10_000_000;
type State =
  | { readonly kind: "header" }
  | { readonly kind: "meta"; readonly typeFlag: string; readonly bytes: Buffer; filled: number }
  | { readonly kind: "sparse-blocks"; readonly raw: RawHeader; readonly parts: SparsePart[] }
  /** The map of PAX sparse format 1.0, in front of the data. */
  | { readonly kind: "sparse-map"; readonly raw: RawHeader; readonly blocks: Buffer[] }
  | { readonly kind: "data" }
  | { readonly kind: "end" };

interface RawHeader {
  readonly typeFlag: string;
  readonly records: Records;
  readonly header: TarHeader;
  /** Bytes of data behind the header in the archive. */
  readonly storedBytes: number;
}

export class TarReader {
  readonly #handler: TarHandler;
  #state: State = { kind: "header" };
  readonly #block = Buffer.alloc(blockBytes);
  #filled = 0;
  /** Bytes to jump over before the next state acts: padding, or data of a skipped entry. */
  #skip = 0;
  /** Stored bytes of the current entry that have not come yet. */
  #left = 0;
  #padding = 0;
  /** What is to be filled with the stored bytes: one part unless sparse. */
  #parts: SparsePart[] = [];
  #position = 0;
  #size = 0;
  #offset = 0;
  #entries = 0;
  readonly #global: Records = new Map();
  #local: Records = new Map();
  #longName: string | undefined;
  #longLink: string | undefined;
  #zeroBlocks = 0;

  constructor(handler: TarHandler) {
    this.#handler = handler;
  }

  /** @throws {TsbuildError} `ARCHIVE_INVALID`, and what the handler throws */
  push(chunk: Buffer): void {
    let at = 0;
    while (at < chunk.length) {
      if (this.#skip > 0) {
        const length = Math.min(this.#skip, chunk.length - at);
        this.#skip -= length;
        at += length;
        continue;
      }
      const state = this.#state;
      switch (state.kind) {
        case "end":
          this.#offset += chunk.length - at;
          return;
        case "data":
          at += this.#takeData(chunk, at);
          break;
        case "meta": {
          const length = Math.min(state.bytes.length - state.filled, chunk.length - at);
          chunk.copy(state.bytes, state.filled, at, at + length);
          state.filled += length;
          at += length;
          if (state.filled === state.bytes.length) this.#meta(state.typeFlag, state.bytes);
          break;
        }
        default: {
          const length = Math.min(blockBytes - this.#filled, chunk.length - at);
          chunk.copy(this.#block, this.#filled, at, at + length);
          this.#filled += length;
          at += length;
          if (this.#filled === blockBytes) {
            this.#filled = 0;
            this.#offset += blockBytes;
            this.#takeBlock(state);
          }
        }
      }
    }
  }

  /**
   * No more bytes come. Blocks of zeros at the end may be missing, as for GNU tar. `isWhole`: a digest says that these are
   * all bytes, or nobody else asks; then the padding of the last entry may be missing too, as Go's archive/tar, which
   * reads layers and added archives elsewhere, has it. Without that a file that ends there was cut.
   * @throws {TsbuildError} `ARCHIVE_INVALID` when the archive is cut short
   */
  finish({ isWhole = false }: { readonly isWhole?: boolean } = {}): void {
    if (this.#state.kind === "end") return;
    const isBetweenEntries =
      this.#state.kind === "header" &&
      this.#filled === 0 &&
      this.#local.size === 0 &&
      this.#longName === undefined &&
      this.#longLink === undefined;
    if (!isBetweenEntries || this.#skip >= (isWhole ? blockBytes : 1)) throw archiveInvalid("the archive is cut short");
  }

  #takeBlock(state: State): void {
    switch (state.kind) {
      case "header":
        this.#header(this.#block);
        return;
      case "sparse-blocks": {
        readOldSparse(this.#block, 0, 21, state.parts);
        if (this.#block[504] === 0) this.#beginEntry(state.raw, state.parts, state.raw.storedBytes);
        return;
      }
      case "sparse-map": {
        state.blocks.push(Buffer.from(this.#block));
        if (state.blocks.length * blockBytes > Math.min(maxMetaBytes, state.raw.storedBytes))
          throw archiveInvalid("the map of a sparse file is too long");
        const parts = parseSparseMap(Buffer.concat(state.blocks).toString("latin1"));
        if (parts !== undefined)
          this.#beginEntry(state.raw, parts, state.raw.storedBytes - state.blocks.length * blockBytes);
        return;
      }
      default:
        throw new Error(`no block is expected in state ${state.kind}`);
    }
  }

  #header(block: Buffer): void {
    if (isZero(block)) {
      this.#zeroBlocks += 1;
      if (this.#zeroBlocks === 2) this.#state = { kind: "end" };
      return;
    }
    if (this.#zeroBlocks > 0)
      throw archiveInvalid(`the archive goes on behind a block of zeros at byte ${this.#offset}`);
    if (!checksumFits(block))
      throw archiveInvalid(
        this.#offset === blockBytes
          ? "this is no tar archive"
          : `the archive is damaged: wrong checksum of the header at byte ${this.#offset - blockBytes}`,
      );
    this.#entries += 1;
    if (this.#entries > maxEntries) throw archiveInvalid(`the archive has more than ${maxEntries} entries`);
    const typeFlag = String.fromCharCode(block[156] ?? 0);
    if (metaTypes.has(typeFlag)) {
      const size = numberAt(block, 124, 12);
      if (size > maxMetaBytes) throw archiveInvalid(`an extended header of ${size} bytes is too long`);
      if (size === 0) this.#meta(typeFlag, Buffer.alloc(0));
      else this.#state = { kind: "meta", typeFlag, bytes: Buffer.alloc(size), filled: 0 };
      return;
    }
    this.#entry(block, typeFlag);
  }

  #meta(typeFlag: string, bytes: Buffer): void {
    this.#offset += bytes.length + paddingOf(bytes.length);
    this.#skip = paddingOf(bytes.length);
    this.#state = { kind: "header" };
    switch (typeFlag) {
      case "x":
        for (const [key, value] of paxRecords(bytes)) addRecord(this.#local, key, value);
        return;
      case "g":
        for (const [key, value] of paxRecords(bytes)) addRecord(this.#global, key, value);
        this.#handler.global?.();
        return;
      case "L":
        this.#longName = untilNul(bytes.toString("latin1"));
        return;
      default:
        this.#longLink = untilNul(bytes.toString("latin1"));
    }
  }

  #entry(block: Buffer, typeFlag: string): void {
    const records: Records = new Map([...this.#global, ...this.#local]);
    this.#local = new Map();
    const raw = this.#rawHeader(block, typeFlag, records);
    this.#longName = undefined;
    this.#longLink = undefined;
    if (typeOf(typeFlag, raw.header.name) === undefined) {
      this.#handler.skipped(raw.header.name, typeFlag);
      this.#skip = raw.storedBytes + paddingOf(raw.storedBytes);
      this.#offset += this.#skip;
      return;
    }
    if (typeFlag === "S") {
      const parts: SparsePart[] = [];
      readOldSparse(block, 386, 4, parts);
      if (block[482] === 0) this.#beginEntry(raw, parts, raw.storedBytes);
      else this.#state = { kind: "sparse-blocks", raw, parts };
      return;
    }
    if (records.get("GNU.sparse.major") === "1") {
      this.#state = { kind: "sparse-map", raw, blocks: [] };
      return;
    }
    const map = records.get("GNU.sparse.map");
    if (map !== undefined) this.#beginEntry(raw, parseCommaMap(map), raw.storedBytes);
    else this.#beginEntry(raw, [{ offset: 0, length: raw.storedBytes }], raw.storedBytes);
  }

  #rawHeader(block: Buffer, typeFlag: string, records: Records): RawHeader {
    const name = records.get("GNU.sparse.name") ?? records.get("path") ?? this.#longName ?? nameOf(block);
    const storedBytes = records.has("size") ? decimal(records, "size") : numberAt(block, 124, 12);
    const type = typeOf(typeFlag, name) ?? "file";
    const isSparse = typeFlag === "S" || records.has("GNU.sparse.major") || records.has("GNU.sparse.map");
    // Links and nodes have no content, whatever the size says (pax(1), "size"); some writers give links that of the file.
    const hasContent = type === "file";
    const size =
      typeFlag === "S"
        ? numberAt(block, 483, 12)
        : records.has("GNU.sparse.realsize")
          ? decimal(records, "GNU.sparse.realsize")
          : records.has("GNU.sparse.size") && isSparse
            ? decimal(records, "GNU.sparse.size")
            : storedBytes;
    return {
      typeFlag,
      records,
      storedBytes: hasContent || typeOf(typeFlag, name) === undefined ? storedBytes : 0,
      header: {
        type,
        name: bytePathOfLatin1(name),
        linkName: bytePathOfLatin1(records.get("linkpath") ?? this.#longLink ?? untilNul(text(block, 157, 100))),
        mode: numberAt(block, 100, 8) & 0o7777,
        uid: idOf(records.has("uid") ? decimal(records, "uid") : numberAt(block, 108, 8)),
        gid: idOf(records.has("gid") ? decimal(records, "gid") : numberAt(block, 116, 8)),
        size: hasContent ? size : 0,
        mtimeNs: timeOf(records.get("mtime")) ?? BigInt(signedNumberAt(block, 136, 12)) * 1_000_000_000n,
        major: type === "char" || type === "block" ? numberAt(block, 329, 8) : 0,
        minor: type === "char" || type === "block" ? numberAt(block, 337, 8) : 0,
        xattrs: xattrsOf(records),
      },
    };
  }

  #beginEntry(raw: RawHeader, parts: readonly SparsePart[], stored: number): void {
    if (raw.header.type === "file") checkParts(parts, raw.header.size, stored);
    this.#handler.begin(raw.header);
    this.#parts = parts.filter((part) => part.length > 0).toReversed();
    this.#left = stored;
    this.#padding = paddingOf(stored);
    this.#position = 0;
    this.#size = raw.header.size;
    this.#offset += stored + this.#padding;
    this.#state = { kind: "data" };
    if (stored === 0) this.#endEntry();
  }

  /** Returns how many bytes of the chunk were taken. */
  #takeData(chunk: Buffer, at: number): number {
    const part = this.#parts.at(-1);
    if (part === undefined) throw new Error("data without a place");
    if (this.#position < part.offset) {
      this.#handler.hole(part.offset - this.#position);
      this.#position = part.offset;
    }
    const end = part.offset + part.length;
    const length = Math.min(end - this.#position, chunk.length - at);
    this.#handler.data(at === 0 && length === chunk.length ? chunk : chunk.subarray(at, at + length));
    this.#position += length;
    this.#left -= length;
    if (this.#position === end) this.#parts.pop();
    if (this.#left === 0) this.#endEntry();
    return length;
  }

  #endEntry(): void {
    if (this.#position < this.#size) this.#handler.hole(this.#size - this.#position);
    this.#handler.end();
    this.#skip = this.#padding;
    this.#state = { kind: "header" };
  }
}

const metaTypes: ReadonlySet<string> = new Set(["x", "g", "L", "K"]);

function typeOf(typeFlag: string, name: string): TarType | undefined {
  switch (typeFlag) {
    case "0":
    case "7":
    case "S":
      return "file";
    // v7 had no type for folders.
    case "\0":
      return name.endsWith("/") ? "dir" : "file";
    case "1":
      return "hardlink";
    case "2":
      return "symlink";
    case "3":
      return "char";
    case "4":
      return "block";
    case "5":
      return "dir";
    case "6":
      return "fifo";
    default:
      return undefined;
  }
}
