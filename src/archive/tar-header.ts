/** Tar headers of image archives: few entries, short ASCII names, only files and folders. Source: POSIX pax, ustar. */

export const blockSize = 512;

/** Octal fits 8 GiB; beyond that the binary form, which GNU, BSD, Go and Python read. */
const octalSizeLimit = 8 ** 11;

/**
 * One header. Owner root, time 0: the same image makes the same archive at any time. `name` has at most 100 bytes and,
 * for a folder, a trailing slash.
 */
export function tarHeader(name: string, sizeBytes: number): Buffer {
  const isFolder = name.endsWith("/");
  const block = Buffer.alloc(blockSize);
  if (block.write(name, 0, 100, "latin1") !== name.length) throw new Error(`a name too long for ustar: ${name}`);
  block.write(isFolder ? "0000755\0" : "0000644\0", 100);
  block.write("0000000\0", 108);
  block.write("0000000\0", 116);
  if (sizeBytes < octalSizeLimit) block.write(`${sizeBytes.toString(8).padStart(11, "0")}\0`, 124);
  else {
    block.writeUInt8(0x80, 124);
    block.writeBigUInt64BE(BigInt(sizeBytes), 128);
  }
  block.write("00000000000\0", 136);
  block.write("        ", 148);
  block.write(isFolder ? "5" : "0", 156);
  block.write("ustar\0" + "00", 257);
  let sum = 0;
  for (const byte of block) sum += byte;
  block.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
  return block;
}

/** Zeros from the end of a file's bytes to the next block. */
export function paddingAfter(sizeBytes: number): Buffer {
  return Buffer.alloc((blockSize - (sizeBytes % blockSize)) % blockSize);
}

export const endOfTar: Buffer = Buffer.alloc(2 * blockSize);

export interface TarEntry {
  readonly name: string;
  readonly type: "file" | "link" | "symlink" | "other";
  readonly target: string;
  readonly sizeBytes: number;
}

/**
 * A header's entry; `pax`: records of the extended header before it. Undefined for a block of zeros.
 * @returns "damaged" when the checksum is wrong
 */
export function readTarHeader(block: Buffer, pax: ReadonlyMap<string, string>): TarEntry | undefined | "damaged" {
  if (block.every((byte) => byte === 0)) return undefined;
  let sum = 8 * 0x20;
  for (const [i, byte] of block.entries()) if (i < 148 || i >= 156) sum += byte;
  if (readNumber(block, 148, 8) !== sum) return "damaged";
  const prefix = block.toString("latin1", 257, 263) === "ustar\0" ? readText(block, 345, 155) : "";
  const plainName = readText(block, 0, 100);
  const type = String.fromCharCode(block.readUInt8(156));
  const size = pax.get("size");
  return {
    name: pax.get("path") ?? (prefix === "" ? plainName : `${prefix}/${plainName}`),
    type: tarTypes[type] ?? "other",
    target: pax.get("linkpath") ?? readText(block, 157, 100),
    sizeBytes: size === undefined ? readNumber(block, 124, 12) : Number(size),
  };
}

const tarTypes: Readonly<Record<string, TarEntry["type"]>> = {
  "0": "file",
  "\0": "file",
  "7": "file",
  "1": "link",
  "2": "symlink",
};

/** `x` and `L`, `K`: what stands in front of an entry and belongs to it. */
export function extensionKind(block: Buffer): "pax" | "longName" | "longLink" | undefined {
  switch (String.fromCharCode(block.readUInt8(156))) {
    case "x":
      return "pax";
    case "L":
      return "longName";
    case "K":
      return "longLink";
    default:
      return undefined;
  }
}

/** Records `LENGTH KEY=VALUE\n`. */
export function readPaxRecords(bytes: Buffer): Map<string, string> {
  const records = new Map<string, string>();
  for (let at = 0; at < bytes.length; ) {
    const blank = bytes.indexOf(0x20, at);
    const length = blank < 0 ? Number.NaN : Number(bytes.toString("latin1", at, blank));
    if (!(length > blank - at && at + length <= bytes.length)) break;
    const record = bytes.toString("utf8", blank + 1, at + length - 1);
    const equals = record.indexOf("=");
    if (equals > 0) records.set(record.slice(0, equals), record.slice(equals + 1));
    at += length;
  }
  return records;
}

function readText(block: Buffer, at: number, length: number): string {
  const end = block.subarray(at, at + length).indexOf(0);
  return block.toString("utf8", at, end < 0 ? at + length : at + end);
}

function readNumber(block: Buffer, at: number, length: number): number {
  if ((block.readUInt8(at) & 0x80) !== 0) return Number(block.readBigUInt64BE(at + length - 8));
  return Number.parseInt(block.toString("latin1", at, at + length).replaceAll(/[\0 ]+/g, "") || "0", 8);
}
