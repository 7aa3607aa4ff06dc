/** A layer's blob into a folder: decompressed, verified and unpacked in one pass over its bytes. */
import { createHash } from "node:crypto";
import { closeSync, mkdirSync, openSync, writeFileSync } from "node:fs";
import { errnoOf, TsbuildError } from "../errors.ts";
import { type BytePath, bytePath } from "../kernel/byte-path.ts";
import { syncFileSystem } from "../kernel/files.ts";
import type { DiffId, Digest } from "../oci/digest.ts";
import { uncompressed } from "./blob-stream.ts";
import { archiveInvalid, noSpace } from "./errors.ts";
import { LayerExtractor } from "./extract-layer.ts";
import { contentDigest, encodeIndex } from "./layer-index.ts";
import { indexFile, type Sealed } from "./seal-layer.ts";
import type { Layout } from "./store-context.ts";
import { TarReader } from "./tar-reader.ts";

export interface UnpackTask {
  readonly kind: "unpack";
  /** The blob. */
  readonly file: string;
  readonly digest: Digest;
  readonly size: number;
  readonly diffId: DiffId | undefined;
  /** Empty; gets `tree` and `index`. */
  readonly folder: string;
  /** Topmost first. */
  readonly lowers: readonly BytePath[];
  readonly layout: Layout;
  /** For messages. */
  readonly root: string;
  /** Read and compare the digests, write nothing. */
  readonly verifyOnly: boolean;
}

/** @throws {TsbuildError} `ARCHIVE_INVALID`, `NO_SPACE` */
export async function unpackBlob(task: UnpackTask): Promise<Sealed> {
  const tree = `${task.folder}/tree`;
  const fd = openSync(task.file, "r");
  try {
    if (task.verifyOnly) return await verifyOnly(fd, task);
    mkdirSync(tree, { mode: 0o700 });
    using extractor = new LayerExtractor({ tree, lowers: task.lowers, layout: task.layout });
    const reader = new TarReader(extractor);
    const tarHash = createHash("sha256");
    let sizeBytes = 0;
    const take = (chunk: Buffer): void => {
      tarHash.update(chunk);
      sizeBytes += chunk.length;
      reader.push(chunk);
    };
    verifyBlob(task, await readBlob(fd, task.digest, take));
    reader.finish();
    const diffId = `sha256:${tarHash.digest("hex")}` as string as DiffId;
    if (task.diffId !== undefined && task.diffId !== diffId) throw wrongDiffId(diffId, task.diffId);
    const entries = extractor.finish();
    writeFileSync(indexFile(task.folder), encodeIndex({ entries, omitted: [] }), { mode: 0o600 });
    syncFileSystem(task.folder);
    return { diffId, contentDigest: contentDigest(entries), sizeBytes };
  } catch (error) {
    throw explained(error, task);
  } finally {
    closeSync(fd);
  }
}

async function verifyOnly(fd: number, task: UnpackTask): Promise<Sealed> {
  const tarHash = createHash("sha256");
  let sizeBytes = 0;
  verifyBlob(
    task,
    await readBlob(fd, task.digest, (chunk) => {
      tarHash.update(chunk);
      sizeBytes += chunk.length;
    }),
  );
  const diffId = `sha256:${tarHash.digest("hex")}` as string as DiffId;
  if (diffId !== task.diffId) throw wrongDiffId(diffId, task.diffId);
  // The layer that is here already has its content digest.
  return { diffId, contentDigest: contentDigest([]), sizeBytes };
}

const wrongDiffId = (found: DiffId, wanted: DiffId | undefined): TsbuildError =>
  archiveInvalid(`the layer's content has the digest ${found}, and the image says ${wanted}`);

interface BlobRead {
  readonly digest: Digest;
  readonly size: number;
}

async function readBlob(fd: number, like: Digest, take: (chunk: Buffer) => void): Promise<BlobRead> {
  const algorithm = like.slice(0, like.indexOf(":"));
  const hash = createHash(algorithm);
  let size = 0;
  const onRaw = (chunk: Buffer): void => {
    hash.update(chunk);
    size += chunk.length;
  };
  for await (const chunk of uncompressed(fd, onRaw)) take(chunk);
  return { digest: `${algorithm}:${hash.digest("hex")}` as string as Digest, size };
}

function verifyBlob(task: UnpackTask, read: BlobRead): void {
  if (read.size !== task.size)
    throw archiveInvalid(`the layer ${task.digest} has ${read.size} bytes, and its descriptor says ${task.size}`);
  if (read.digest !== task.digest)
    throw archiveInvalid(`the layer has the digest ${read.digest}, and its descriptor says ${task.digest}`);
}

function explained(error: unknown, task: UnpackTask): unknown {
  if (error instanceof TsbuildError) return error;
  const code = errnoOf(error);
  if (code === "ENOSPC" || code === "EDQUOT") return noSpace(task.root, error);
  return error;
}

/** For tasks that take text. */
export function lowersOf(treesBottomFirst: readonly string[]): readonly BytePath[] {
  return treesBottomFirst.toReversed().map(bytePath);
}
