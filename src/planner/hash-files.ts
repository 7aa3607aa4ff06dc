/** sha256 of files, here for a few small ones and in a thread for the rest. */
import { createHash } from "node:crypto";
import { closeSync, openSync, readSync } from "node:fs";
import { Worker } from "node:worker_threads";
import { errnoOf, TsbuildError } from "../errors.ts";
import type { Digest } from "../oci/digest.ts";

export interface FileToHash {
  readonly hostPath: string | Buffer;
  readonly size: number;
}

export type HashAnswer =
  | { readonly kind: "digests"; readonly digests: readonly Digest[] }
  | { readonly kind: "failed"; readonly path: string; readonly errno: string };

/** What is done here takes about as long as starting a thread does. */
const maxFilesHere = 500;
const maxBytesHere = 16 * 1024 * 1024;

/**
 * @throws {TsbuildError} `PERMISSION_DENIED`, `SOURCE_NOT_FOUND` for a file that went away; the signal's reason
 */
export async function hashFiles(files: readonly FileToHash[], signal: AbortSignal): Promise<readonly Digest[]> {
  const bytes = files.reduce((sum, file) => sum + file.size, 0);
  const small = files.length <= maxFilesHere && bytes <= maxBytesHere;
  const answer = small ? hashFilesSync(files) : await hashInThreads(files, signal);
  if (answer.kind === "digests") return answer.digests;
  throw new TsbuildError({
    code: answer.errno === "EACCES" || answer.errno === "EPERM" ? "PERMISSION_DENIED" : "SOURCE_NOT_FOUND",
    what: `cannot read ${answer.path}: ${answer.errno}`,
  });
}

export function hashFilesSync(files: readonly FileToHash[]): HashAnswer {
  const buffer = Buffer.allocUnsafe(256 * 1024);
  const digests: Digest[] = [];
  for (const { hostPath } of files) {
    try {
      digests.push(hashFile(hostPath, buffer));
    } catch (error) {
      return { kind: "failed", path: hostPath.toString(), errno: errnoOf(error) ?? String(error) };
    }
  }
  return { kind: "digests", digests };
}

function hashFile(path: string | Buffer, buffer: Buffer): Digest {
  const fd = openSync(path, "r");
  try {
    const hash = createHash("sha256");
    for (let read = readSync(fd, buffer); read > 0; read = readSync(fd, buffer)) hash.update(buffer.subarray(0, read));
    return `sha256:${hash.digest("hex")}` as Digest;
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
  const worker = new Worker(new URL("./hash-files.worker.ts", import.meta.url), { workerData: files });
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
