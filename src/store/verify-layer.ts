/** Is a layer's tree still what its index says, and the index what its record says? Every byte is read again. */

import { createHash } from "node:crypto";
import { type BigIntStats, closeSync, lstatSync, openSync, readdirSync } from "node:fs";
import { TsbuildError } from "../errors.ts";
import {
  type BytePath,
  bytePath,
  bytePathOfLatin1,
  fsPath,
  joinBytePath,
  textOfBytePath,
} from "../kernel/byte-path.ts";
import { getXattr } from "../kernel/xattr.ts";
import { blobDigestOf, type ContentDigest, type DiffId, type Digest } from "../oci/digest.ts";
import { uncompressed } from "./blob-stream.ts";
import { FoldedTar, isFolded } from "./folded-layer.ts";
import { entryOf } from "./layer-changes.ts";
import type { LayerEntry } from "./layer-entry.ts";
import { contentDigest, type LayerIndex } from "./layer-index.ts";
import { isOpaque, isWhiteout } from "./overlay-marks.ts";
import { type ContentOf, contentIn, packedLayer, type UnhashedEntry } from "./pack-layer.ts";
import { readIndex } from "./seal-layer.ts";
import type { Layout } from "./store-context.ts";

export interface VerifyLayerTask {
  readonly kind: "verify-layer";
  readonly folder: string;
  readonly layout: Layout;
  readonly diffId: DiffId;
  readonly contentDigest: ContentDigest;
  /** The blob has the layer's tar; without one it is made from the tree. */
  readonly hasBlob: boolean;
}

export interface VerifyBlobTask {
  readonly kind: "verify-blob";
  readonly file: string;
  readonly digest: Digest;
  /** Of a layer: of what it holds uncompressed. */
  readonly diffId: DiffId | undefined;
}

/** One sentence a fault, at most a dozen. */
export type Faults = readonly string[];

const maxFaults = 12;

export function verifyLayer(task: VerifyLayerTask): Faults {
  const faults: string[] = [];
  try {
    const index = readIndex(task.folder);
    if (contentDigest(index.entries) !== task.contentDigest) faults.push("the index is not the one that was recorded");
    if (isFolded(task.folder)) compareFolded(task, index.entries, faults);
    else {
      new TreeComparison(task, index, faults).run();
      // A tree whose entries are not there cannot be read to its end.
      if (faults.length === 0) comparePacked(task, index.entries, contentIn(bytePath(`${task.folder}/tree`)), faults);
    }
  } catch (error) {
    if (!(error instanceof TsbuildError) && !(error instanceof Error && "syscall" in error)) throw error;
    faults.push(error.message);
  }
  return faults.slice(0, maxFaults);
}

function compareFolded(task: VerifyLayerTask, entries: readonly LayerEntry[], faults: string[]): void {
  const tar = FoldedTar.read(task.folder, entries, Number.POSITIVE_INFINITY);
  if (tar === undefined || tar.digest() !== blobDigestOf(task.diffId)) {
    faults.push("its tar is damaged");
    return;
  }
  const digests = new Map(entries.flatMap((entry) => (entry.type === "file" ? [[entry.path, entry.digest]] : [])));
  const contentOf: ContentOf = ({ path }) => {
    const bytes = tar.content(path, digests.get(path) ?? ("" as Digest));
    return { kind: "bytes", bytes: bytes ?? Buffer.alloc(0) };
  };
  comparePacked(task, entries, contentOf, faults);
}

function comparePacked(
  task: VerifyLayerTask,
  entries: readonly LayerEntry[],
  contentOf: ContentOf,
  faults: string[],
): void {
  const unhashed = entries.map((entry): UnhashedEntry => {
    if (entry.type !== "file") return entry;
    const { digest: _, ...rest } = entry;
    return rest;
  });
  const packed = packedLayer(unhashed, contentOf);
  for (const [at, entry] of entries.entries()) {
    const found = packed.entries[at];
    if (entry.type === "file" && found?.type === "file" && entry.digest !== found.digest)
      faults.push(`${printable(entry.path)}: its content has changed`);
  }
  if (faults.length === 0 && !task.hasBlob && packed.diffId !== task.diffId)
    faults.push(`its tar has the digest ${packed.diffId} in place of ${task.diffId}`);
}

class TreeComparison {
  readonly #layout: Layout;
  readonly #tree: BytePath;
  readonly #faults: string[];
  readonly #expected = new Map<BytePath, LayerEntry>();
  readonly #opaque = new Set<BytePath>();
  readonly #omitted: ReadonlySet<BytePath>;
  readonly #inodes = new Map<BytePath, bigint>();

  constructor(task: VerifyLayerTask, index: LayerIndex, faults: string[]) {
    this.#layout = task.layout;
    this.#tree = bytePath(`${task.folder}/tree`);
    this.#faults = faults;
    for (const entry of index.entries)
      if (entry.type === "opaque") this.#opaque.add(entry.path);
      else this.#expected.set(entry.path, entry);
    this.#omitted = new Set(index.omitted);
  }

  run(): void {
    this.#folder(bytePathOfLatin1(""), false);
    for (const path of this.#expected.keys()) this.#fault(path, "is missing");
  }

  #folder(folder: BytePath, hidden: boolean): void {
    for (const name of readdirSync(fsPath(joinBytePath(this.#tree, folder)), { encoding: "latin1" }).sort()) {
      const path = joinBytePath(folder, bytePathOfLatin1(name));
      const host = joinBytePath(this.#tree, path);
      const stat = lstatSync(fsPath(host), { bigint: true });
      this.#name(path, host, stat);
      if (stat.isDirectory()) this.#folder(path, hidden || isOpaque(fsPath(host), this.#layout));
    }
    // What an opaque folder hides has whiteouts in the tar and none in the tree.
    if (hidden) this.#forgetHidden(folder);
  }

  #name(path: BytePath, host: BytePath, stat: BigIntStats): void {
    const expected = this.#expected.get(path);
    if (expected === undefined) {
      if (!this.#omitted.has(path)) this.#fault(path, "is not in the index");
      return;
    }
    this.#expected.delete(path);
    if (expected.type === "whiteout") {
      if (!isWhiteout(stat)) this.#fault(path, "is a whiteout in the index alone");
      return;
    }
    if (this.#opaque.has(path) && !isOpaque(fsPath(host), this.#layout)) this.#fault(path, "is no longer opaque");
    if (expected.type === "hardlink") {
      if (this.#inodes.get(expected.target) !== stat.ino)
        this.#fault(path, `is no link to ${printable(expected.target)}`);
      return;
    }
    this.#inodes.set(path, stat.ino);
    const capability = stat.isFile() ? getXattr(fsPath(host), "security.capability")?.toString("base64") : undefined;
    const difference = differenceOf(expected, entryOf(path, host, stat, capability));
    if (difference !== undefined) this.#fault(path, difference);
  }

  #forgetHidden(folder: BytePath): void {
    for (const [path, entry] of this.#expected)
      if (entry.type === "whiteout" && path.slice(0, Math.max(0, path.lastIndexOf("/"))) === folder)
        this.#expected.delete(path);
  }

  #fault(path: BytePath, text: string): void {
    if (this.#faults.length < maxFaults) this.#faults.push(`${printable(path)} ${text}`);
  }
}

/** The first field that differs, but for the content. */
function differenceOf(expected: LayerEntry, found: UnhashedEntry): string | undefined {
  const wanted: Readonly<Record<string, unknown>> = { ...expected, digest: undefined };
  const got: Readonly<Record<string, unknown>> = { ...found };
  for (const field of new Set([...Object.keys(wanted), ...Object.keys(got)])) {
    if (wanted[field] !== got[field]) return `has ${field} ${String(got[field])} in place of ${String(wanted[field])}`;
  }
  return undefined;
}

function printable(path: BytePath): string {
  return `/${textOfBytePath(path)}`;
}

export async function verifyBlob(task: VerifyBlobTask): Promise<Faults> {
  const algorithm = task.digest.slice(0, task.digest.indexOf(":"));
  const hash = createHash(algorithm);
  const tarHash = createHash("sha256");
  let fd: number | undefined;
  try {
    fd = openSync(task.file, "r");
    const raw = (chunk: Buffer): void => void hash.update(chunk);
    // Only a layer is worth decompressing.
    for await (const chunk of uncompressed(fd, raw, { decompress: task.diffId !== undefined })) tarHash.update(chunk);
    const faults: string[] = [];
    const digest = `${algorithm}:${hash.digest("hex")}`;
    if (digest !== task.digest) faults.push(`its bytes have the digest ${digest}`);
    const diffId = `sha256:${tarHash.digest("hex")}`;
    if (task.diffId !== undefined && diffId !== task.diffId)
      faults.push(`its uncompressed bytes have the digest ${diffId} in place of ${task.diffId}`);
    return faults;
  } catch (error) {
    if (!(error instanceof TsbuildError) && !(error instanceof Error && "syscall" in error)) throw error;
    return [error.message];
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}
