/** sha256 of files, here for a few small ones and in a thread for the rest. */

import { createHash, hash as hashOnce } from "node:crypto";
import { closeSync, openSync, readSync } from "node:fs";
import { setImmediate } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import { errnoOf, TsbuildError } from "../errors.ts";
import type { Digest } from "../oci/digest.ts";
import { programFile } from "../program-file.ts";

export interface FileToHash {
  readonly hostPath: string | Buffer;
  readonly size: number;
}

export type HashAnswer =
  | { readonly kind: "digests"; readonly digests: readonly Digest[] }
  | { readonly kind: "failed"; readonly path: string; readonly errno: string };

/** Of one small file: open, read, hash, close. */
const msOfFile = 0.008;
const msOfByte = 1 / 400_000;
/** Starting two threads and telling them what to do takes about as long, and they halve what is above it. */
const maxMsHere = 200;
const filesAtOnce = 500;

/** Takes the bytes of a small file while they are at hand; the buffer is its own. */
export type OnSmallFile = (index: number, content: Buffer) => void;

/** Larger ones are copied by the kernel, and would fill the memory. */
const smallBytes = 32 * 1024;

/**
 * @throws {TsbuildError} `PERMISSION_DENIED`, `SOURCE_NOT_FOUND` for a file that went away; the signal's reason
 */
export async function hashFiles(
  files: readonly FileToHash[],
  signal: AbortSignal,
  onSmallFile?: OnSmallFile,
): Promise<readonly Digest[]> {
  const bytes = files.reduce((sum, file) => sum + file.size, 0);
  const expectedMs = files.length * msOfFile + bytes * msOfByte;
  const answer =
    expectedMs <= maxMsHere ? await hashHere(files, signal, onSmallFile) : await hashInThreads(files, signal);
  if (answer.kind === "digests") return answer.digests;
  throw new TsbuildError({
    code: answer.errno === "EACCES" || answer.errno === "EPERM" ? "PERMISSION_DENIED" : "SOURCE_NOT_FOUND",
    what: `cannot read ${answer.path}: ${answer.errno}`,
  });
}

/** In pieces of a few milliseconds, so that signals and other steps have their turn. */
async function hashHere(
  files: readonly FileToHash[],
  signal: AbortSignal,
  onSmallFile: OnSmallFile | undefined,
): Promise<HashAnswer> {
  const digests: Digest[] = [];
  for (let start = 0; start < files.length; start += filesAtOnce) {
    if (start > 0) await setImmediate();
    signal.throwIfAborted();
    const answer = hashFilesSync(
      files.slice(start, start + filesAtOnce),
      onSmallFile === undefined ? undefined : (index, content) => onSmallFile(start + index, content),
    );
    if (answer.kind === "failed") return answer;
    digests.push(...answer.digests);
  }
  return { kind: "digests", digests };
}

export function hashFilesSync(files: readonly FileToHash[], onSmallFile?: OnSmallFile): HashAnswer {
  const buffer = Buffer.allocUnsafe(256 * 1024);
  const digests: Digest[] = [];
  for (const [index, { hostPath, size }] of files.entries()) {
    try {
      const { digest, length } = hashFile(hostPath, buffer);
      digests.push(digest);
      // Of another size than it had when it was looked at: whoever copies it finds out that it changes.
      if (length === size && size <= smallBytes) onSmallFile?.(index, Buffer.from(buffer.subarray(0, size)));
    } catch (error) {
      return { kind: "failed", path: hostPath.toString(), errno: errnoOf(error) ?? String(error) };
    }
  }
  return { kind: "digests", digests };
}

function hashFile(path: string | Buffer, buffer: Buffer): { readonly digest: Digest; readonly length: number } {
  const fd = openSync(path, "r");
  try {
    let read = readSync(fd, buffer);
    // A short read of a regular file is its end.
    if (read < buffer.length)
      return { digest: `sha256:${hashOnce("sha256", buffer.subarray(0, read), "hex")}` as Digest, length: read };
    const hash = createHash("sha256");
    let length = 0;
    for (; read > 0; read = readSync(fd, buffer)) {
      hash.update(buffer.subarray(0, read));
      length += read;
    }
    return { digest: `sha256:${hash.digest("hex")}` as Digest, length };
  } finally {
    closeSync(fd);
  }
}

/** Two halves of equal weight: one in a thread each, so that the caller's thread goes on. */
async function hashInThreads(files: readonly FileToHash[], signal: AbortSignal): Promise<HashAnswer> {
  // Opening a file costs about as much as hashing 20 KB of it.
  const weights = files.map((file) => file.size + 20_000);
  const half = weights.reduce((sum, weight) => sum + weight, 0) / 2;
  let middle = 0;
  for (let sum = 0; middle < files.length && sum < half; middle++) sum += weights[middle] ?? 0;
  const parts = [files.slice(0, middle), files.slice(middle)].filter((part) => part.length > 0);
  const answers = await Promise.all(parts.map((part) => hashInThread(part, signal)));
  const failed = answers.find((answer) => answer.kind === "failed");
  if (failed !== undefined) return failed;
  return { kind: "digests", digests: answers.flatMap((answer) => (answer.kind === "digests" ? answer.digests : [])) };
}

async function hashInThread(files: readonly FileToHash[], signal: AbortSignal): Promise<HashAnswer> {
  signal.throwIfAborted();
  const { promise, resolve, reject } = Promise.withResolvers<HashAnswer>();
  const worker = new Worker(programFile("planner/hash-files.worker.ts"), { workerData: files });
  const onAbort = (): void => reject(signal.reason);
  signal.addEventListener("abort", onAbort, { once: true });
  worker.once("message", resolve).once("error", reject);
  worker.once("exit", () => reject(new Error("the hashing thread ended without an answer")));
  try {
    return await promise;
  } finally {
    signal.removeEventListener("abort", onAbort);
    await worker.terminate();
  }
}
