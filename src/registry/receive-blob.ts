/** A blob that arrives in pieces: hashed and counted while it is written, so that a cut transfer goes on where it was. */
import { createHash, type Hash } from "node:crypto";
import { closeSync, openSync, writeSync } from "node:fs";
import { errnoOf, TsbuildError } from "../errors.ts";
import type { Descriptor } from "../oci/descriptor.ts";
import { answerUnreadable, connectionLost, contentMismatch } from "./errors.ts";
import { type HttpAnswer, networkError, Transient } from "./http.ts";

export interface BlobTarget {
  /** Must not be there yet. On failure it is rubbish for the caller to remove. */
  readonly file: string;
  readonly onProgress: (receivedBytes: number) => void;
  readonly signal: AbortSignal;
}

export class BlobReceiver implements Disposable {
  readonly #descriptor: Descriptor;
  readonly #target: BlobTarget;
  readonly #doing: string;
  readonly #hash: Hash;
  readonly #fd: number;
  #received = 0;

  constructor(descriptor: Descriptor, doing: string, target: BlobTarget) {
    this.#descriptor = descriptor;
    this.#target = target;
    this.#doing = doing;
    this.#hash = createHash(algorithmOf(descriptor.digest));
    this.#fd = openSync(target.file, "wx", 0o600);
  }

  [Symbol.dispose](): void {
    closeSync(this.#fd);
  }

  get receivedBytes(): number {
    return this.#received;
  }

  /** For the next request: what is still missing. */
  get headers(): Readonly<Record<string, string>> {
    return this.#received > 0 ? { range: `bytes=${this.#received}-` } : {};
  }

  get isComplete(): boolean {
    return this.#received === this.#descriptor.size && this.#received > 0;
  }

  /** @throws {Transient} when it ends too early */
  async take(answer: HttpAnswer): Promise<void> {
    const { digest, size } = this.#descriptor;
    let skip = this.#bytesToSkip(answer);
    try {
      for await (const received of answer.body as AsyncIterable<Buffer>) {
        const chunk = skip === 0 ? received : received.subarray(Math.min(skip, received.length));
        skip -= received.length - chunk.length;
        if (chunk.length === 0) continue;
        if (this.#received + chunk.length > size)
          throw contentMismatch("a blob", digest, answer.url, `and ${size} bytes, got more`);
        this.#hash.update(chunk);
        for (let at = 0; at < chunk.length; ) at += writeSync(this.#fd, chunk, at);
        this.#received += chunk.length;
        this.#target.onProgress(this.#received);
      }
    } catch (error) {
      if (error instanceof TsbuildError || isFileError(error)) throw error;
      throw networkError(error, this.#doing, answer.url, this.#target.signal);
    }
    if (this.#received < size)
      throw new Transient(connectionLost(this.#doing, answer.url, `it ended after ${this.#received} of ${size} bytes`));
  }

  /** A server without ranges sends once more what we have. */
  #bytesToSkip(answer: HttpAnswer): number {
    if (answer.status === 200) return this.#received;
    const from = /^bytes (\d+)-/.exec(answer.header("content-range") ?? "")?.[1];
    if (from !== undefined && Number(from) === this.#received) return 0;
    answer.body.destroy();
    throw answerUnreadable(this.#doing, answer.url, "it sent another range than the one asked for");
  }

  /** Once, at the end. @throws {TsbuildError} `REGISTRY_FAILED` when it is something else */
  verify(url: string): void {
    const { digest, size } = this.#descriptor;
    const got = `${algorithmOf(digest)}:${this.#hash.digest("hex")}`;
    if (got !== digest) throw contentMismatch("a blob", digest, url, `got ${got} (${size} bytes)`);
  }
}

export function algorithmOf(digest: string): "sha256" | "sha512" {
  return digest.startsWith("sha512:") ? "sha512" : "sha256";
}

/** A full disk is not the network's fault. */
function isFileError(error: unknown): boolean {
  const errno = errnoOf(error);
  return errno === "ENOSPC" || errno === "EDQUOT" || errno === "EROFS" || errno === "EIO";
}
