/**
 * The merged tree of a chain without mounting it: overlayfs's lookup as functions. Symlinks are resolved inside the root
 * and `..` stops there, so nothing an image holds leads out of it. The kernel never follows a symlink here: every
 * component is looked at with lstat first.
 *
 * For sealed layers, and for an upperdir that only the caller writes. Nothing is remembered between two calls.
 */
import { type BigIntStats, closeSync, constants, lstatSync, openSync, readlinkSync, readSync } from "node:fs";
import { TsbuildError } from "../errors.ts";
import {
  type BytePath,
  bytePath,
  bytePathOfLatin1,
  fsPath,
  joinBytePath,
  textOfBytePath,
} from "../kernel/byte-path.ts";
import { type FileType, fileTypeOf } from "../kernel/files.ts";
import { storeCorrupt } from "./errors.ts";
import { type Merged, mergedName, mergedNames } from "./merged-folders.ts";
import { ownLayout } from "./overlay-marks.ts";
import type { Layout } from "./store-context.ts";

export interface Found {
  /** Where it really is: relative to the root, without symlinks before the last component; "" is the root. */
  readonly path: BytePath;
  /** For Node's functions. For a folder, the topmost of the folders that show merged. */
  readonly hostPath: string | Buffer;
  readonly stat: BigIntStats;
  readonly type: FileType;
}

export interface LayeredView {
  /**
   * What `path` names, or undefined. A symlink in the last place is followed, unless `followLast` is false. A loop of
   * symlinks names nothing.
   */
  lookup(path: BytePath, options?: { readonly followLast?: boolean }): Found | undefined;
  /** What is in a folder that `lookup` or `readdir` found, sorted by bytes; symlinks as they are. */
  readdir(folder: Found): readonly Found[];
  /**
   * Where a path leads, all symlinks followed, what does not exist appended: where a file of that name would be made.
   * @throws {TsbuildError} `INVALID_ARGUMENT` for a loop of symlinks
   */
  resolve(path: BytePath): BytePath;
  /** Content of a regular file; undefined when it is absent, no regular file, or larger than `maxBytes`. */
  readFile(path: BytePath, maxBytes: number): Buffer | undefined;
}

/** As the kernel: ELOOP behind the fortieth. */
const maxSymlinks = 40;

/** `trees`: host paths, bottom first, as `LayerStore.trees` gives them. */
export function layeredView(trees: readonly string[]): LayeredView {
  return new View(trees.toReversed().map(bytePath), ownLayout());
}

interface Place {
  readonly path: BytePath;
  /** Empty where nothing exists. */
  readonly folders: readonly BytePath[];
}

interface Walked {
  readonly path: BytePath;
  readonly found: Found | undefined;
}

class View implements LayeredView {
  readonly #root: Place;
  readonly #layout: Layout;
  readonly #folders = new WeakMap<Found, readonly BytePath[]>();

  constructor(topmostFirst: readonly BytePath[], layout: Layout) {
    this.#root = { path: bytePathOfLatin1(""), folders: topmostFirst };
    this.#layout = layout;
  }

  lookup(path: BytePath, { followLast = true }: { readonly followLast?: boolean } = {}): Found | undefined {
    return this.#walk(path, followLast || path.endsWith("/"))?.found;
  }

  resolve(path: BytePath): BytePath {
    const walked = this.#walk(path, true);
    if (walked === undefined)
      throw new TsbuildError({
        code: "INVALID_ARGUMENT",
        what: `too many levels of symbolic links: /${textOfBytePath(path)}`,
      });
    return walked.path;
  }

  readdir(folder: Found): readonly Found[] {
    const folders = this.#folders.get(folder);
    if (folders === undefined) return [];
    const found: Found[] = [];
    for (const name of mergedNames(folders, this.#layout)) {
      const merged = mergedName(name, folders, this.#layout);
      if (merged !== undefined) found.push(this.#found(joinBytePath(folder.path, bytePathOfLatin1(name)), merged));
    }
    return found;
  }

  readFile(path: BytePath, maxBytes: number): Buffer | undefined {
    const found = this.lookup(path);
    if (found?.type !== "file" || found.stat.size > BigInt(maxBytes)) return undefined;
    const fd = openSync(found.hostPath, constants.O_RDONLY | constants.O_NOFOLLOW);
    try {
      const buffer = Buffer.alloc(Number(found.stat.size));
      let length = 0;
      while (length < buffer.length) {
        const read = readSync(fd, buffer, length, buffer.length - length, null);
        if (read === 0) break;
        length += read;
      }
      return buffer.subarray(0, length);
    } finally {
      closeSync(fd);
    }
  }

  /** Undefined for a loop of symlinks. */
  #walk(path: BytePath, followLast: boolean): Walked | undefined {
    const pending = path.split("/").reverse();
    const places: Place[] = [];
    let found: Found | undefined = this.#rootFound();
    let symlinks = 0;
    for (let name = pending.pop(); name !== undefined; name = pending.pop()) {
      if (name === "" || name === ".") {
        // `file/` and `file/.` name no folder.
        if (found !== undefined && found.type !== "dir") found = undefined;
        continue;
      }
      if (name === "..") {
        places.pop();
        found = this.#foundAt(places.at(-1));
        continue;
      }
      const here = places.at(-1) ?? this.#root;
      const at = joinBytePath(here.path, bytePathOfLatin1(name));
      const merged = here.folders.length === 0 ? undefined : mergedName(name, here.folders, this.#layout);
      if (merged?.stat.isSymbolicLink() && (followLast || pending.some((rest) => rest !== ""))) {
        symlinks += 1;
        if (symlinks > maxSymlinks) return undefined;
        const target = readTarget(merged.host);
        if (target.startsWith("/")) places.length = 0;
        found = this.#foundAt(places.at(-1));
        pending.push(...target.split("/").reverse());
        continue;
      }
      places.push({ path: at, folders: merged?.folders ?? [] });
      found = merged === undefined ? undefined : this.#found(at, merged);
    }
    return { path: places.at(-1)?.path ?? this.#root.path, found };
  }

  #foundAt(place: Place | undefined): Found | undefined {
    if (place === undefined) return this.#rootFound();
    const [top] = place.folders;
    return top === undefined ? undefined : this.#folderFound(place.path, top, place.folders);
  }

  #rootFound(): Found | undefined {
    const [top] = this.#root.folders;
    return top === undefined ? undefined : this.#folderFound(this.#root.path, top, this.#root.folders);
  }

  #folderFound(path: BytePath, host: BytePath, folders: readonly BytePath[]): Found {
    const stat = lstatSync(fsPath(host), { bigint: true, throwIfNoEntry: false });
    if (stat === undefined) throw storeCorrupt("a layer's tree is missing", textOfBytePath(host));
    return this.#found(path, { host, stat, folders });
  }

  #found(path: BytePath, merged: Merged): Found {
    const found: Found = { path, hostPath: fsPath(merged.host), stat: merged.stat, type: fileTypeOf(merged.stat) };
    if (merged.folders.length > 0) this.#folders.set(found, merged.folders);
    return found;
  }
}

function readTarget(host: BytePath): string {
  return readlinkSync(fsPath(host), { encoding: "latin1" });
}
