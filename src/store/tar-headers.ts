/**
 * A layer entry as tar headers, byte for byte as Go's archive/tar writes them in its PAX format: BuildKit and containerd
 * do so, and equal content then has an equal diffID. Sources: pax(1), "ustar Interchange Format" and "pax Header Block";
 * Go's archive/tar/writer.go and strconv.go.
 */
import { type BytePath, bytePathOfLatin1 } from "../kernel/byte-path.ts";
import { opaqueMarker, whiteoutPrefix } from "../oci/whiteout.ts";
import type { LayerEntry } from "./layer-entry.ts";

export const blockBytes = 512;
/** Two blocks of zeros end a tar. */
export const trailerBytes = 1024;

/** Zeros up to the next block. */
export function paddingOf(size: number): number {
  return (blockBytes - (size % blockBytes)) % blockBytes;
}

const maxOctal7 = 0o7777777;
const maxOctal11 = 0o77777777777;
const capabilityKey = "SCHILY.xattr.security.capability";

/**
 * The header blocks of `entry`, a PAX header in front where a value does not fit. `capability` (base64) is the file's
 * own, for a hard link that of its target: Go's writers repeat it.
 */
export function tarHeader(entry: LayerEntry, capability: string | undefined): Buffer {
  const name = tarName(entry);
  const linkName = entry.type === "symlink" || entry.type === "hardlink" ? entry.target : "";
  const size = entry.type === "file" ? entry.size : 0;
  const records = recordsOf(entry, capability, name);

  const main = Buffer.alloc(blockBytes);
  putString(main, 0, 100, asciiOnly(name));
  putOctal(main, 100, 8, entry.mode);
  putOctal(main, 108, 8, entry.uid);
  putOctal(main, 116, 8, entry.gid);
  putOctal(main, 124, 12, size);
  putOctal(main, 136, 12, entry.mtime);
  main.write(typeFlags[entry.type], 156, "latin1");
  putString(main, 157, 100, asciiOnly(linkName));
  const device = entry.type === "char" || entry.type === "block" ? entry : undefined;
  putOctal(main, 329, 8, device?.major ?? 0);
  putOctal(main, 337, 8, device?.minor ?? 0);
  finishHeader(main);
  return records.length === 0 ? main : Buffer.concat([paxHeader(name, records), main]);
}

/** The length of `tarHeader`, mostly without making it. */
export function tarHeaderBytes(entry: LayerEntry, capability: string | undefined): number {
  if (recordsOf(entry, capability, tarName(entry)).length === 0) return blockBytes;
  return tarHeader(entry, capability).length;
}

/** In the byte order of the keys. */
function recordsOf(entry: LayerEntry, capability: string | undefined, name: string): [string, string][] {
  const linkName = entry.type === "symlink" || entry.type === "hardlink" ? entry.target : "";
  const size = entry.type === "file" ? entry.size : 0;
  const records: [string, string][] = [];
  if (capability !== undefined) records.push([capabilityKey, Buffer.from(capability, "base64").toString("latin1")]);
  if (entry.gid > maxOctal7) records.push(["gid", String(entry.gid)]);
  if (needsRecord(linkName, 100)) records.push(["linkpath", linkName]);
  if (entry.mtime < 0 || entry.mtime > maxOctal11) records.push(["mtime", String(entry.mtime)]);
  if (needsRecord(name, 100)) records.push(["path", name]);
  if (size > maxOctal11) records.push(["size", String(size)]);
  if (entry.uid > maxOctal7) records.push(["uid", String(entry.uid)]);
  return records;
}

const typeFlags: Readonly<Record<LayerEntry["type"], string>> = {
  file: "0",
  hardlink: "1",
  symlink: "2",
  char: "3",
  block: "4",
  dir: "5",
  fifo: "6",
  whiteout: "0",
  opaque: "0",
};

/** The name in the tar: whiteouts are spelled as files, directories end in a slash. */
export function tarName(entry: LayerEntry): BytePath {
  switch (entry.type) {
    case "dir":
      return bytePathOfLatin1(`${entry.path}/`);
    case "opaque":
      return bytePathOfLatin1(`${entry.path}/${opaqueMarker}`);
    case "whiteout": {
      const slash = entry.path.lastIndexOf("/") + 1;
      return bytePathOfLatin1(`${entry.path.slice(0, slash)}${whiteoutPrefix}${entry.path.slice(slash)}`);
    }
    default:
      return entry.path;
  }
}

function needsRecord(text: string, size: number): boolean {
  return text.length > size || !isAscii(text);
}

function isAscii(text: string): boolean {
  return /^[\x01-\x7f]*$/.test(text);
}

function asciiOnly(text: string): string {
  return isAscii(text) ? text : text.replace(/[^\x01-\x7f]/g, "");
}

function putString(block: Buffer, at: number, size: number, text: string): void {
  block.write(text.slice(0, size), at, "latin1");
  // A cut path that ends in a slash would make old readers see a folder: Go ends it before the slash.
  if (text.length > size && text[size - 1] === "/") block[at + text.slice(0, size - 1).replace(/\/+$/, "").length] = 0;
}

/** What does not fit is written as 0: its PAX record counts. */
function putOctal(block: Buffer, at: number, size: number, value: number): void {
  const fits = value >= 0 && value < 8 ** (size - 1);
  block.write((fits ? value : 0).toString(8).padStart(size - 1, "0"), at, "latin1");
}

function finishHeader(block: Buffer): void {
  block.write("ustar\x0000", 257, "latin1");
  // The sum is over the block with blanks in its place.
  let sum = 8 * 0x20;
  for (let i = 0; i < blockBytes; i++) sum += block[i] ?? 0;
  block.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
}

function paxHeader(name: string, records: readonly [string, string][]): Buffer {
  const data = Buffer.from(records.map(([key, value]) => paxRecord(key, value)).join(""), "latin1");
  const slash = name.lastIndexOf("/") + 1;
  const header = Buffer.alloc(blockBytes);
  const paxName = asciiOnly(`${name.slice(0, slash)}PaxHeaders.0/${name.slice(slash)}`.replace(/\/+$/, ""));
  putString(header, 0, 100, paxName.slice(0, 100).replace(/\/+$/, ""));
  for (const [at, size, value] of [
    [100, 8, 0],
    [108, 8, 0],
    [116, 8, 0],
    [124, 12, data.length],
    [136, 12, 0],
  ] as const)
    putOctal(header, at, size, value);
  header.write("x", 156, "latin1");
  finishHeader(header);
  return Buffer.concat([header, data, Buffer.alloc(paddingOf(data.length))]);
}

/** `<length> <key>=<value>\n`, where the length counts itself. */
function paxRecord(key: string, value: string): string {
  const rest = ` ${key}=${value}\n`;
  let length = rest.length + 1;
  while (String(length).length + rest.length !== length) length = String(length).length + rest.length;
  return length + rest;
}
