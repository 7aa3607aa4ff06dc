/**
 * Digests of a context's files, remembered by device, inode, size, mtime and ctime, so that an unchanged file is read
 * once in its life. One compact memo a context folder in the store, an LRU of memos in memory above it.
 */
import { LRUCache } from "lru-cache";
import { type Digest, hexOf, sha256 } from "../oci/digest.ts";
import type { MemoStore } from "../store/store.ts";
import { hashFiles, type OnSmallFile } from "./hash-files.ts";
import type { OriginNode, OriginStat } from "./origin.ts";

/** By path: `dev:ino:size:mtimeNs:ctimeNs hex`. */
type Memo = Map<string, string>;

const memos = new LRUCache<string, Memo>({ max: 16 });

const maxUnused = 10_000;

export class FileDigests {
  readonly #store: MemoStore;
  readonly #name: string;
  readonly #memoryKey: string;
  #read: Memo | undefined;
  /** Asked for in this build. */
  readonly #used = new Set<string>();
  /** Lines of the memo that are not in the store. */
  #learned = 0;

  /** `storeRoot` tells the memos of several stores apart in memory. */
  constructor(store: MemoStore, storeRoot: string, folder: string) {
    this.#store = store;
    this.#name = `context-digests/1/${hexOf(sha256(folder)).slice(0, 32)}`;
    this.#memoryKey = `${storeRoot}\n${folder}`;
  }

  /** Read by the first who asks: most builds of an unchanged context do not. */
  get #memo(): Memo {
    if (this.#read !== undefined) return this.#read;
    const memo = memos.get(this.#memoryKey) ?? read(this.#store.get(this.#name));
    memos.set(this.#memoryKey, memo);
    this.#read = memo;
    return memo;
  }

  /** In the order of `files`. What had to be read and is small goes to `onSmallFile`, by its index. */
  async of(files: readonly OriginNode[], signal: AbortSignal, onSmallFile?: OnSmallFile): Promise<readonly Digest[]> {
    const digests = new Array<Digest>(files.length);
    const missing: number[] = [];
    const memo = this.#memo;
    for (const [index, file] of files.entries()) {
      this.#used.add(file.path);
      const known = memo.get(file.path);
      const signature = signatureOf(file.stat);
      if (known?.startsWith(signature)) digests[index] = `sha256:${known.slice(signature.length)}` as Digest;
      else missing.push(index);
    }
    if (missing.length === 0) return digests;
    // Before the first byte is read: what changes later has a later ctime.
    const started = BigInt(Date.now()) * 1_000_000n;
    const toHash = missing.flatMap((index) => files[index] ?? []);
    const hashed = await hashFiles(
      toHash.map(({ hostPath, stat }) => ({ hostPath, size: Number(stat.size) })),
      signal,
      (at, content) => onSmallFile?.(missing[at] ?? 0, content),
    );
    for (const [at, index] of missing.entries()) {
      const digest = hashed[at];
      const file = files[index];
      if (digest === undefined || file === undefined) throw new Error("a file without digest");
      digests[index] = digest;
      if (isOldEnough(file.stat, started)) {
        memo.set(file.path, signatureOf(file.stat) + hexOf(digest));
        this.#learned += 1;
      } else if (memo.delete(file.path)) this.#learned += 1;
    }
    return digests;
  }

  /**
   * Writes what was learned, unless that is so little that reading these files again costs less than writing what is known
   * of all.
   */
  save(): void {
    if (this.#learned * 100 < this.#memo.size || this.#learned === 0) return;
    // Files that other builds of this folder take stay, but not without end those that are long gone.
    if (this.#memo.size > 4 * this.#used.size + maxUnused)
      for (const path of this.#memo.keys()) if (!this.#used.has(path)) this.#memo.delete(path);
    const lines: string[] = [];
    for (const [path, line] of this.#memo) lines.push(`${path.length} ${path}${line}\n`);
    this.#store.set(this.#name, Buffer.from(lines.join(""), "latin1"));
    this.#learned = 0;
  }
}

function signatureOf(stat: OriginStat): string {
  return `${stat.dev}:${stat.ino}:${stat.size}:${stat.mtimeNs}:${stat.ctimeNs} `;
}

const second = 1_000_000_000n;

/**
 * A file that changed in the same tick of its file system's clock as it was read could change again without a trace.
 * The kernel's clock ticks at least every 10 ms; where times are whole seconds it may be one of two.
 */
export function isOldEnough(stat: OriginStat, startedNs: bigint): boolean {
  // Nobody can set ctime, so it alone tells when the last change was.
  const coarse = stat.ctimeNs % second === 0n;
  return stat.ctimeNs + (coarse ? 2n * second : 20_000_000n) < startedNs;
}

/** A memo that cannot be read is an empty one. */
function read(bytes: Buffer | undefined): Memo {
  const memo: Memo = new Map();
  const text = bytes?.toString("latin1") ?? "";
  for (let at = 0; at < text.length; ) {
    const blank = text.indexOf(" ", at);
    const length = Number(text.slice(at, blank));
    const start = blank + 1;
    const end = text.indexOf("\n", start + length);
    if (blank < 0 || !Number.isSafeInteger(length) || end < 0) return new Map();
    memo.set(text.slice(start, start + length), text.slice(start + length, end));
    at = end + 1;
  }
  return memo;
}
