/**
 * What an overlay upperdir changes: its entries in tar order, content not yet read. A function of the upperdir and the
 * trees below. Rules as BuildKit has them: what equals the file below is no change, a folder that changed only its time
 * is none either, a folder that was replaced lists a whiteout for each name that is gone.
 */
import { type BigIntStats, closeSync, lstatSync, openSync, readdirSync, readlinkSync, readSync } from "node:fs";
import { errnoOf } from "../errors.ts";
import { type BytePath, bytePathOfLatin1, fsPath, joinBytePath, textOfBytePath } from "../kernel/byte-path.ts";
import { deviceNumber } from "../kernel/files.ts";
import { getXattr } from "../kernel/xattr.ts";
import { whiteoutPrefix } from "../oci/whiteout.ts";
import { pathTooLong, whiteoutNameUsed } from "./errors.ts";
import { type Merged, mergedName, mergedNames } from "./merged-folders.ts";
import { isOpaque, isWhiteout } from "./overlay-marks.ts";
import type { UnhashedEntry } from "./pack-layer.ts";
import type { Layout } from "./store-context.ts";

export interface Upper {
  /** The upperdir, as a host path in bytes. */
  readonly tree: BytePath;
  /** The trees below it, topmost first. */
  readonly lowers: readonly BytePath[];
  readonly layout: Layout;
}

export interface LayerChanges {
  readonly entries: readonly UnhashedEntry[];
  /** In the upperdir, but no change. */
  readonly omitted: readonly BytePath[];
}

/** Stops a walk that turns out to be too much work for the thread it runs on. */
export interface WalkBudget {
  entries: number;
  bytes: number;
}

/**
 * Undefined when the budget does not suffice.
 * @throws {TsbuildError} `UNSUPPORTED` for a name that begins with `.wh.`, and for a path that is too long
 */
export function layerChanges(upper: Upper, budget?: WalkBudget): LayerChanges | undefined {
  const walk = new Walk(upper, budget);
  try {
    walk.folder(bytePathOfLatin1(""), [...upper.lowers], false);
  } catch (error) {
    if (error === overBudget) return undefined;
    if (errnoOf(error) === "ENAMETOOLONG") throw pathTooLong(error);
    throw error;
  }
  return { entries: walk.entries, omitted: walk.omitted };
}

const overBudget = new Error("over budget");

class Walk {
  readonly entries: UnhashedEntry[] = [];
  readonly omitted: BytePath[] = [];
  readonly #upper: Upper;
  readonly #budget: WalkBudget | undefined;
  /** First name of each inode with several names that is in the layer. */
  readonly #links = new Map<string, BytePath>();

  constructor(upper: Upper, budget: WalkBudget | undefined) {
    this.#upper = upper;
    this.#budget = budget;
  }

  /**
   * `lowers`: the folders of the same path that the layers below show merged, topmost first. `hidden`: this folder or
   * one above it is opaque, so that of them nothing is seen but through this layer.
   */
  folder(folder: BytePath, lowers: readonly BytePath[], hidden: boolean): void {
    const host = folder === "" ? this.#upper.tree : joinBytePath(this.#upper.tree, folder);
    const names = readdirSync(fsPath(host), { encoding: "latin1" });
    const vanished = hidden && lowers.length > 0 ? namesMissing(mergedNames(lowers, this.#upper.layout), names) : [];
    const gone = new Set(vanished);
    for (const name of [...names, ...vanished].sort()) {
      const path = joinBytePath(folder, bytePathOfLatin1(name));
      if (gone.has(name)) this.#whiteout(path);
      else this.#entry(path, joinBytePath(host, bytePathOfLatin1(name)), name, lowers, hidden);
    }
  }

  #entry(path: BytePath, host: BytePath, name: string, lowers: readonly BytePath[], hidden: boolean): void {
    const stat = lstatSync(fsPath(host), { bigint: true });
    const below = mergedName(name, lowers, this.#upper.layout);
    const folders = below?.folders ?? [];
    if (isWhiteout(stat)) {
      if (below === undefined) this.omitted.push(path);
      else this.#whiteout(path);
      return;
    }
    if (name.startsWith(whiteoutPrefix)) throw whiteoutNameUsed(`/${textOfBytePath(path)}`);
    if (stat.isDirectory()) {
      this.#spend(0);
      const at = this.entries.length;
      const opaque = hidden || (folders.length > 0 && isOpaque(fsPath(host), this.#upper.layout));
      this.entries.push({ type: "dir", path, ...attributes(stat) });
      this.folder(path, folders, opaque);
      const unchanged = below?.stat.isDirectory() === true && sameAttributes(below.stat, stat);
      if (unchanged && this.entries.length === at + 1) {
        this.entries.pop();
        this.#omitBefore(path);
      }
      return;
    }
    if (stat.isSocket()) {
      this.omitted.push(path);
      return;
    }
    this.#spend(stat.isFile() ? Number(stat.size) : 0);
    const capability = stat.isFile() ? getXattr(fsPath(host), "security.capability")?.toString("base64") : undefined;
    if (below !== undefined && this.#sameAsBelow(host, stat, capability, below)) {
      this.omitted.push(path);
      return;
    }
    const entry = entryOf(path, host, stat, capability);
    if (stat.nlink > 1n) {
      const inode = `${stat.dev}:${stat.ino}`;
      const first = this.#links.get(inode);
      if (first !== undefined) {
        this.entries.push({ type: "hardlink", path, ...attributes(stat), target: first });
        return;
      }
      this.#links.set(inode, path);
    }
    this.entries.push(entry);
  }

  #whiteout(path: BytePath): void {
    this.#spend(0);
    this.entries.push({ type: "whiteout", path, mode: 0, uid: 0, gid: 0, mtime: 0 });
  }

  /** A folder is known to be no change only after what is in it, which sorts behind it. */
  #omitBefore(path: BytePath): void {
    let at = this.omitted.length;
    while (at > 0 && (this.omitted[at - 1] as string).startsWith(`${path}/`)) at -= 1;
    this.omitted.splice(at, 0, path);
  }

  #sameAsBelow(host: BytePath, stat: BigIntStats, capability: string | undefined, below: Merged): boolean {
    const other = below.stat;
    if ((stat.mode & typeBits) !== (other.mode & typeBits) || !sameAttributes(stat, other)) return false;
    if (stat.mtimeNs !== other.mtimeNs || stat.rdev !== other.rdev) return false;
    if (stat.isSymbolicLink()) return readTarget(host) === readTarget(below.host);
    if (!stat.isFile()) return true;
    if (stat.size !== other.size) return false;
    if (getXattr(fsPath(below.host), "security.capability")?.toString("base64") !== capability) return false;
    // Equal times prove nothing: they can be set.
    return sameContent(host, below.host);
  }

  #spend(bytes: number): void {
    if (this.#budget === undefined) return;
    this.#budget.entries -= 1;
    this.#budget.bytes -= bytes;
    if (this.#budget.entries < 0 || this.#budget.bytes < 0) throw overBudget;
  }
}

const typeBits = 0o170000n;
const modeBits = 0o7777n;

function attributes(stat: BigIntStats): Pick<UnhashedEntry, "mode" | "uid" | "gid" | "mtime"> {
  return {
    mode: Number(stat.mode & modeBits),
    uid: Number(stat.uid),
    gid: Number(stat.gid),
    mtime: wholeSeconds(stat.mtimeNs),
  };
}

/** Rounded down, also before 1970. */
export function wholeSeconds(mtimeNs: bigint): number {
  const seconds = mtimeNs / 1_000_000_000n;
  return Number(mtimeNs < 0n && mtimeNs % 1_000_000_000n !== 0n ? seconds - 1n : seconds);
}

function sameAttributes(a: BigIntStats, b: BigIntStats): boolean {
  return (a.mode & modeBits) === (b.mode & modeBits) && a.uid === b.uid && a.gid === b.gid;
}

/** The entry of one name, as lstat and readlink see it. */
export function entryOf(
  path: BytePath,
  host: BytePath,
  stat: BigIntStats,
  capability: string | undefined,
): UnhashedEntry {
  const common = { path, ...attributes(stat) };
  if (stat.isFile())
    return {
      type: "file",
      ...common,
      size: Number(stat.size),
      ...(capability !== undefined && capability !== "" && { capability }),
    };
  if (stat.isSymbolicLink()) return { type: "symlink", ...common, target: readTarget(host) };
  if (stat.isDirectory()) return { type: "dir", ...common };
  if (stat.isFIFO()) return { type: "fifo", ...common };
  return { type: stat.isBlockDevice() ? "block" : "char", ...common, ...deviceNumber(stat.rdev) };
}

function readTarget(host: BytePath): BytePath {
  return bytePathOfLatin1(readlinkSync(fsPath(host), { encoding: "latin1" }));
}

function namesMissing(all: readonly string[], present: readonly string[]): readonly string[] {
  const here = new Set(present);
  return all.filter((name) => !here.has(name));
}

const compareBytes = 1 << 16;

function sameContent(a: BytePath, b: BytePath): boolean {
  const fds = [openSync(fsPath(a), "r"), openSync(fsPath(b), "r")] as const;
  try {
    const [left, right] = [Buffer.allocUnsafe(compareBytes), Buffer.allocUnsafe(compareBytes)];
    for (;;) {
      const read = readSync(fds[0], left, 0, compareBytes, null);
      if (read !== readSync(fds[1], right, 0, compareBytes, null)) return false;
      if (read === 0) return true;
      if (left.compare(right, 0, read, 0, read) !== 0) return false;
    }
  } finally {
    for (const fd of fds) closeSync(fd);
  }
}
