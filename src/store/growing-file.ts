/**
 * A blob that is unpacked while it is still being written: the one thread receives, hashes and writes, the other reads
 * behind it. Neither waits for the other to be done, and whoever reads need not hash the same bytes again.
 */
import { createHash } from "node:crypto";
import { closeSync, fsync, openSync, writeSync } from "node:fs";
import type { Digest } from "../oci/digest.ts";

/** Shared: how often something changed, the state (32 bits each), the bytes written (64 bits); the digest follows. */
const words = { changes: 0, state: 1 } as const;
const writtenAt = 8;
const states = { growing: 0, whole: 1, failed: 2 } as const;
const digestAt = 16;
const digestLength = "sha256:".length + 64;

/** The writer's side. */
export class GrowingFile {
  readonly shared: SharedArrayBuffer = new SharedArrayBuffer(digestAt + digestLength);
  readonly #words = new Int32Array(this.shared, 0, 2);
  readonly #written = new BigInt64Array(this.shared, writtenAt, 1);
  readonly #hash = createHash("sha256");
  readonly #fd: number;
  readonly #abandoning = new AbortController();
  #size = 0;

  /** The file must not be there. */
  constructor(file: string) {
    this.#fd = openSync(file, "wx", 0o600);
  }

  get size(): number {
    return this.#size;
  }

  /** Aborted when nobody reads it any more: there is nothing to write for. */
  get abandoned(): AbortSignal {
    return this.#abandoning.signal;
  }

  abandon(): void {
    this.#abandoning.abort();
  }

  write(chunk: Buffer): void {
    for (let done = 0; done < chunk.length; ) done += writeSync(this.#fd, chunk, done);
    // After the writing: the reader may have the bytes while they are hashed.
    this.#size += chunk.length;
    Atomics.store(this.#written, 0, BigInt(this.#size));
    this.#tell();
    this.#hash.update(chunk);
  }

  /** The disk begins to take it, so that whoever syncs it later waits less. */
  end(): void {
    const digest = `sha256:${this.#hash.digest("hex")}`;
    Buffer.from(this.shared, digestAt).write(digest, "latin1");
    this.#finish(states.whole);
  }

  fail(): void {
    this.#finish(states.failed);
  }

  #finish(state: number): void {
    if (Atomics.load(this.#words, words.state) !== states.growing) return;
    Atomics.store(this.#words, words.state, state);
    this.#tell();
    if (state === states.failed) closeSync(this.#fd);
    else fsync(this.#fd, () => closeSync(this.#fd));
  }

  #tell(): void {
    Atomics.add(this.#words, words.changes, 1);
    Atomics.notify(this.#words, words.changes);
  }
}

/** The reader's side, in another thread. */
export class Growth {
  readonly #shared: SharedArrayBuffer;
  readonly #words: Int32Array<SharedArrayBuffer>;
  readonly #written: BigInt64Array<SharedArrayBuffer>;

  constructor(shared: SharedArrayBuffer) {
    this.#shared = shared;
    this.#words = new Int32Array(shared, 0, 2);
    this.#written = new BigInt64Array(shared, writtenAt, 1);
  }

  /** Blocks until the file has more than `position` bytes, or is whole. @throws {Error} when it will never be */
  waitBeyond(position: number): void {
    for (;;) {
      const changes = Atomics.load(this.#words, words.changes);
      const state = Atomics.load(this.#words, words.state);
      if (state === states.failed) throw new Error("the file that is unpacked will not be whole");
      if (state === states.whole || Atomics.load(this.#written, 0) > position) return;
      Atomics.wait(this.#words, words.changes, changes);
    }
  }

  /** Blocks until the file is whole. */
  digest(): Digest {
    this.waitBeyond(Number.POSITIVE_INFINITY);
    return Buffer.from(this.#shared, digestAt, digestLength).toString("latin1") as string as Digest;
  }
}
