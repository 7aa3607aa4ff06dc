/**
 * A layer's index on disk, and the content digest over it. One JSON document, a short array an entry: V8 parses ten
 * thousand of them in some 10 ms, and a person can read it.
 */
import { createHash } from "node:crypto";
import { type BytePath, bytePathOfLatin1 } from "../kernel/byte-path.ts";
import { type ContentDigest, contentDigestOf, type Digest, hexOf } from "../oci/digest.ts";
import type { LayerEntry } from "./layer-entry.ts";

export interface LayerIndex {
  /** In tar order. */
  readonly entries: readonly LayerEntry[];
  /** What lies in the tree and not in the tar: copied up and not changed, or a socket. Sorted as the entries are. */
  readonly omitted: readonly BytePath[];
}

const indexFormat = 1;

type Tag = "f" | "d" | "l" | "h" | "c" | "b" | "p" | "w" | "o";
/** Tag, path, mode, uid, gid, mtime; then by type: size, hex, capability | target | major, minor. */
type Line = readonly [Tag, string, number, number, number, number, ...(string | number)[]];

interface Document {
  readonly format: number;
  readonly entries: readonly Line[];
  readonly omitted: readonly string[];
}

export function encodeIndex({ entries, omitted }: LayerIndex): string {
  // In parts: all lines as arrays at once would need several times the memory of the text.
  const parts: string[] = [];
  for (let at = 0; at < entries.length; at += 1000)
    parts.push(JSON.stringify(entries.slice(at, at + 1000).map(lineOf)).slice(1, -1));
  return `{"format":${indexFormat},"entries":[${parts.join(",")}],"omitted":${JSON.stringify(omitted)}}`;
}

/** @throws {Error} when the text is no index: the caller knows which layer it is */
export function decodeIndex(text: string): LayerIndex {
  const document = JSON.parse(text) as Document;
  if (document.format !== indexFormat) throw new Error(`index of format ${document.format}`);
  return {
    entries: document.entries.map(entryOf),
    omitted: document.omitted.map((path) => bytePathOfLatin1(path)),
  };
}

function lineOf(entry: LayerEntry): Line {
  const { path, mode, uid, gid, mtime } = entry;
  switch (entry.type) {
    case "file": {
      const hex = hexOf(entry.digest);
      return entry.capability === undefined
        ? ["f", path, mode, uid, gid, mtime, entry.size, hex]
        : ["f", path, mode, uid, gid, mtime, entry.size, hex, entry.capability];
    }
    case "dir":
      return ["d", path, mode, uid, gid, mtime];
    case "symlink":
      return ["l", path, mode, uid, gid, mtime, entry.target];
    case "hardlink":
      return ["h", path, mode, uid, gid, mtime, entry.target];
    case "char":
      return ["c", path, mode, uid, gid, mtime, entry.major, entry.minor];
    case "block":
      return ["b", path, mode, uid, gid, mtime, entry.major, entry.minor];
    case "fifo":
      return ["p", path, mode, uid, gid, mtime];
    case "whiteout":
      return ["w", path, mode, uid, gid, mtime];
    case "opaque":
      return ["o", path, mode, uid, gid, mtime];
    default:
      throw new Error("unknown entry");
  }
}

function entryOf(line: Line): LayerEntry {
  const path = line[1] as BytePath;
  const mode = line[2];
  const uid = line[3];
  const gid = line[4];
  const mtime = line[5];
  switch (line[0]) {
    case "f": {
      const size = line[6] as number;
      const digest = `sha256:${line[7]}` as Digest;
      return line[8] === undefined
        ? { type: "file", path, mode, uid, gid, mtime, size, digest }
        : { type: "file", path, mode, uid, gid, mtime, size, digest, capability: line[8] as string };
    }
    case "d":
      return { type: "dir", path, mode, uid, gid, mtime };
    case "l":
      return { type: "symlink", path, mode, uid, gid, mtime, target: line[6] as BytePath };
    case "h":
      return { type: "hardlink", path, mode, uid, gid, mtime, target: line[6] as BytePath };
    case "c":
      return { type: "char", path, mode, uid, gid, mtime, major: line[6] as number, minor: line[7] as number };
    case "b":
      return { type: "block", path, mode, uid, gid, mtime, major: line[6] as number, minor: line[7] as number };
    case "p":
      return { type: "fifo", path, mode, uid, gid, mtime };
    case "w":
      return { type: "whiteout", path, mode, uid, gid, mtime };
    case "o":
      return { type: "opaque", path, mode, uid, gid, mtime };
    default:
      throw new Error(`unknown entry type ${JSON.stringify(line[0])}`);
  }
}

/**
 * Identity of what a layer does, without when: the entries without their times, one JSON line each. The order of the
 * index counts; that of layers we made is canonical.
 */
export function contentDigest(entries: readonly LayerEntry[]): ContentDigest {
  const hash = createHash("sha256");
  let text = "";
  for (const entry of entries) {
    const line = lineOf(entry);
    text += `${JSON.stringify([...line.slice(0, 5), ...line.slice(6)])}\n`;
    if (text.length > 1 << 16) {
      hash.update(text);
      text = "";
    }
  }
  hash.update(text);
  return contentDigestOf(`sha256:${hash.digest("hex")}` as string as Digest);
}
