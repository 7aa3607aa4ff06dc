/** An image archive (`docker save`, `tsbuild save`) as its user sees it: config, layers, and the files they add up to. */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { posix } from "node:path";
import { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { extract, type Header } from "tar-stream";

export interface BuiltImage {
  readonly config: ImageDocument;
  /** The same as it is stored. */
  readonly configText: string;
  readonly layers: readonly ImageLayer[];
  /** By absolute path, without `/` itself. Names of one inode share their node. */
  readonly files: ReadonlyMap<string, FileNode>;
  /** What is wrong with the archive itself. */
  readonly problems: readonly string[];
}

export interface ImageDocument {
  readonly config?: Readonly<Record<string, unknown>>;
  readonly history?: readonly HistoryEntry[] | null;
  readonly rootfs?: { readonly diff_ids?: readonly string[] | null };
  readonly [key: string]: unknown;
}

export interface HistoryEntry {
  readonly created?: string;
  readonly created_by?: string;
  readonly comment?: string;
  readonly author?: string;
  readonly empty_layer?: boolean;
}

export interface ImageLayer {
  readonly diffId: string;
  readonly entries: readonly LayerEntry[];
}

export interface LayerEntry {
  /** Absolute; of a whiteout with `.wh.` before the last name. */
  readonly path: string;
  /** Undefined: a further name of `target`. */
  readonly node: FileNode | undefined;
  readonly target: string | undefined;
}

export interface FileNode {
  readonly type: "file" | "dir" | "symlink" | "fifo" | "char" | "block";
  /** 12 bits. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  /** SHA-256 of a file's bytes. */
  readonly digest: string | undefined;
  /** A file's bytes, if they are few. */
  readonly bytes: Buffer | undefined;
  readonly link: string | undefined;
  readonly device: string | undefined;
  readonly xattrs: Readonly<Record<string, string>>;
  /** Seconds since 1970. */
  readonly mtime: number;
}

const keptBytes = 65_536;
const cached = new Map<string, ImageLayer>();

/** An image of a config alone. */
export function imageWithoutLayers(configText: string): BuiltImage {
  // The builder's own document.
  const config = JSON.parse(configText) as ImageDocument;
  return { config, configText, layers: [], files: new Map(), problems: [] };
}

/** @throws when the archive cannot be read */
export async function readImage(archive: string): Promise<BuiltImage> {
  const problems: string[] = [];
  const documents = new Map<string, Buffer>();
  const layers = new Map<string, ImageLayer>();
  const links = new Map<string, string>();
  for await (const { header, bytes } of tarEntries(createReadStream(archive))) {
    const name = posix.normalize(header.name);
    if (header.type === "symlink") links.set(name, posix.join(posix.dirname(name), header.linkname ?? ""));
    else if (header.type !== "file") continue;
    else if (isTar(bytes)) layers.set(name, await readLayer(bytes));
    else documents.set(name, bytes);
  }
  const json = (name: string): unknown => JSON.parse(documents.get(posix.normalize(name))?.toString() ?? "null");
  // Both kinds of archive have it; it lists one image.
  const [manifest] = (json("manifest.json") ?? []) as readonly { Config: string; Layers: readonly string[] | null }[];
  if (manifest === undefined) throw new Error(`${archive}: no manifest.json`);
  const configText = documents.get(posix.normalize(manifest.Config))?.toString() ?? "";
  const config = JSON.parse(configText) as ImageDocument;
  const found = (manifest.Layers ?? []).flatMap((path) => {
    const name = posix.normalize(path);
    const layer = layers.get(links.get(name) ?? name);
    if (layer === undefined) problems.push(`the archive lacks its layer ${path}`);
    return layer ?? [];
  });
  const diffIds = config.rootfs?.diff_ids ?? [];
  for (const [index, { diffId }] of found.entries())
    if (diffIds[index] !== diffId) problems.push(`layer ${index} is ${diffId}, its diffID says ${diffIds[index]}`);
  const full = (config.history ?? []).filter((entry) => entry.empty_layer !== true);
  if (full.length !== found.length)
    problems.push(`${full.length} entries of the history have a layer, and there are ${found.length} layers`);
  return { config, configText, layers: found, files: merge(found, problems), problems };
}

/** An archive's own documents are JSON, or `1.0`. */
function isTar(bytes: Buffer): boolean {
  return (
    bytes.length >= 1024 &&
    bytes.length % 512 === 0 &&
    (bytes[0] === 0 || bytes.toString("latin1", 257, 262) === "ustar")
  );
}

async function readLayer(bytes: Buffer): Promise<ImageLayer> {
  const diffId = `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
  const known = cached.get(diffId);
  if (known !== undefined) return known;
  const entries: LayerEntry[] = [];
  for await (const { header, bytes: content } of tarEntries(Readable.from([bytes]))) {
    const path = absolute(header.name);
    if (path === "/") continue;
    if (header.type === "link") entries.push({ path, node: undefined, target: absolute(header.linkname ?? "") });
    else entries.push({ path, node: nodeOf(header, content), target: undefined });
  }
  const layer = { diffId, entries };
  cached.set(diffId, layer);
  return layer;
}

interface TarEntry {
  readonly header: Header;
  readonly bytes: Buffer;
}

async function* tarEntries(source: Readable): AsyncGenerator<TarEntry> {
  for await (const entry of source.pipe(extract())) {
    yield { header: entry.header, bytes: await buffer(entry) };
  }
}

const types: Readonly<Record<string, FileNode["type"]>> = {
  file: "file",
  "contiguous-file": "file",
  directory: "dir",
  symlink: "symlink",
  fifo: "fifo",
  "character-device": "char",
  "block-device": "block",
};

function nodeOf(header: Header, content: Buffer): FileNode {
  const type = types[header.type ?? "file"];
  if (type === undefined) throw new Error(`${header.name}: a tar entry of type ${header.type}`);
  const pax = "pax" in header ? (header.pax as Readonly<Record<string, string>> | null) : null;
  const xattrs = Object.entries(pax ?? {}).flatMap(([key, value]) =>
    key.startsWith("SCHILY.xattr.") ? [[key.slice("SCHILY.xattr.".length), value]] : [],
  );
  return {
    type,
    mode: type === "symlink" ? 0o777 : (header.mode ?? 0) & 0o7777,
    // Numbers that a plain header has no room for.
    uid: Number(pax?.["uid"] ?? header.uid ?? 0),
    gid: Number(pax?.["gid"] ?? header.gid ?? 0),
    size: type === "file" ? content.length : 0,
    digest: type === "file" ? createHash("sha256").update(content).digest("hex") : undefined,
    bytes: type === "file" && content.length <= keptBytes ? content : undefined,
    link: type === "symlink" ? (header.linkname ?? "") : undefined,
    device: type === "char" || type === "block" ? `${header.devmajor}:${header.devminor}` : undefined,
    xattrs: Object.fromEntries(xattrs),
    mtime: Math.floor((header.mtime?.getTime() ?? 0) / 1000),
  };
}

function absolute(name: string): string {
  return posix.normalize(`/${name}`).replace(/(.)\/$/, "$1");
}

// Merging -----------------------------------------------------------------------------------------------------------

function merge(layers: readonly ImageLayer[], problems: string[]): ReadonlyMap<string, FileNode> {
  const files = new Map<string, FileNode>();
  const removeBelow = (path: string): void => {
    for (const other of files.keys()) if (other.startsWith(path === "/" ? "/" : `${path}/`)) files.delete(other);
  };
  for (const [index, { entries }] of layers.entries()) {
    // Whiteouts act on the layers below only.
    for (const { path } of entries) {
      const name = posix.basename(path);
      const folder = posix.dirname(path);
      if (name === ".wh..wh..opq") removeBelow(folder);
      else if (name.startsWith(".wh.")) {
        const gone = posix.join(folder, name.slice(".wh.".length));
        removeBelow(gone);
        files.delete(gone);
      }
    }
    for (const { path, node, target } of entries) {
      if (posix.basename(path).startsWith(".wh.")) continue;
      const found = node ?? files.get(target ?? "");
      if (found === undefined) {
        problems.push(`layer ${index}: ${path} is a link to ${target}, which is not there`);
        continue;
      }
      if (posix.dirname(path) !== "/" && files.get(posix.dirname(path))?.type !== "dir")
        problems.push(`layer ${index}: ${path} has no folder to be in`);
      if (files.get(path)?.type === "dir" && found.type !== "dir") removeBelow(path);
      files.set(path, found);
    }
  }
  return files;
}
