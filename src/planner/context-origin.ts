/** A context's folder as an origin: ignored entries do not exist, and files belong to 0:0 unless an archive said more. */
import { type BigIntStats, lstatSync, readdirSync, readlinkSync } from "node:fs";
import { errnoOf, TsbuildError } from "../errors.ts";
import { type BytePath, bytePathOfLatin1, fsPathBelow, joinBytePath, textOfBytePath } from "../kernel/byte-path.ts";
import { fileTypeOf } from "../kernel/files.ts";
import type { FileDigests } from "./file-digests.ts";
import type { FolderMatches, IgnoreRules } from "./ignore-rules.ts";
import type { FileFacts, Origin, OriginNode, OriginStat } from "./origin.ts";

interface ContextNode extends OriginNode {
  readonly excluded: boolean;
  readonly matches: FolderMatches | undefined;
}

/** Told each name that is looked at, and what it is; undefined: nothing. The names in a folder are told by the folder. */
export type Observe = (path: BytePath, stat: OriginStat | undefined) => void;

const unobserved: Observe = () => undefined;

const rootPath = bytePathOfLatin1("");

/** As the kernel: ELOOP behind the fortieth. */
const maxSymlinks = 40;

/** Of small files between their hashing and their copying: what was hashed is what is copied, and read once. */
const keptBytes = 64 * 1024 * 1024;

export class ContextOrigin implements Origin {
  readonly owners: Origin["owners"];
  /** Absolute. */
  readonly folder: string;
  readonly rules: IgnoreRules;
  readonly #digests: FileDigests;
  readonly #nodes = new Map<BytePath, ContextNode | undefined>();
  readonly #children = new Map<BytePath, readonly ContextNode[]>();
  #stats: ReadonlyMap<BytePath, BigIntStats> = new Map();

  constructor(folder: string, rules: IgnoreRules, digests: FileDigests, owners: Origin["owners"] = "root") {
    this.folder = folder;
    this.rules = rules;
    this.#digests = digests;
    this.owners = owners;
  }

  lookup(path: BytePath, options: { readonly followLast?: boolean } = {}): OriginNode | undefined {
    return this.#lookup(path, options, unobserved);
  }

  readdir(folder: OriginNode): readonly OriginNode[] {
    return this.#readdir(folder, unobserved);
  }

  /** The same origin, telling what was looked at for an answer. */
  watched(observe: Observe): Origin {
    return {
      lookup: (path, options = {}) => this.#lookup(path, options, observe),
      readdir: (folder) => this.#readdir(folder, observe),
      owners: this.owners,
      facts: (files, signal) => this.facts(files, signal),
    };
  }

  /** These names were looked at a moment ago, and were this. */
  believe(stats: ReadonlyMap<BytePath, BigIntStats>): void {
    this.#stats = stats;
  }

  #lookup(
    path: BytePath,
    { followLast = true }: { readonly followLast?: boolean },
    observe: Observe,
  ): OriginNode | undefined {
    const pending = path.split("/").reverse();
    let here = this.#node(rootPath, observe);
    let symlinks = 0;
    for (let name = pending.pop(); name !== undefined; name = pending.pop()) {
      if (name === "" || name === ".") continue;
      if (here?.type !== "dir") return undefined;
      if (name === "..") {
        here = this.#node(parentOf(here.path), observe);
        continue;
      }
      const next = this.#node(joinBytePath(here.path, bytePathOfLatin1(name)), observe);
      if (next?.type === "symlink" && !next.excluded && (followLast || pending.some((rest) => rest !== ""))) {
        symlinks++;
        if (symlinks > maxSymlinks) return undefined;
        const target = readlinkSync(next.hostPath, { encoding: "latin1" });
        if (target.startsWith("/")) here = this.#node(rootPath, observe);
        pending.push(...target.split("/").reverse());
        continue;
      }
      here = next;
    }
    return here !== undefined && this.#isVisible(here, observe) ? here : undefined;
  }

  #readdir(folder: OriginNode, observe: Observe): readonly OriginNode[] {
    // Nodes are the very values that this origin gave.
    const children = this.#childrenOf(folder as ContextNode, observe);
    return this.rules.isEmpty ? children : children.filter((child) => this.#isVisible(child, observe));
  }

  async facts(files: readonly OriginNode[], signal: AbortSignal): Promise<readonly FileFacts[]> {
    const contents = new Map<number, Buffer>();
    let room = keptBytes;
    const digests = await this.#digests.of(files, signal, (index, content) => {
      room -= content.length;
      if (room >= 0) contents.set(index, content);
    });
    return digests.map((digest, index) => {
      const content = contents.get(index);
      return content === undefined ? { digest } : { digest, content };
    });
  }

  /** Number of files and folders that the context has; stops counting at `limit`. */
  count(limit: number): number {
    let count = 0;
    const visit = (folder: OriginNode): void => {
      for (const child of this.readdir(folder)) {
        if (count >= limit) return;
        if (child.type === "dir") visit(child);
        else count++;
      }
    };
    const root = this.lookup(rootPath);
    if (root !== undefined) visit(root);
    return count;
  }

  #node(path: BytePath, observe: Observe): ContextNode | undefined {
    if (!this.#nodes.has(path)) this.#nodes.set(path, this.#look(path, observe));
    const node = this.#nodes.get(path);
    observe(path, node?.stat);
    return node;
  }

  #look(path: BytePath, observe: Observe): ContextNode | undefined {
    const hostPath = fsPathBelow(this.folder, path);
    const stat = this.#stats.get(path) ?? statOf(hostPath);
    const folder = path === "" || this.rules.isEmpty ? undefined : this.#node(parentOf(path), observe);
    return stat === undefined ? undefined : this.#made(path, hostPath, stat, folder?.matches);
  }

  #made(path: BytePath, hostPath: string | Buffer, stat: BigIntStats, folder: FolderMatches | undefined): ContextNode {
    const type = fileTypeOf(stat);
    if (path === "" || this.rules.isEmpty) return { path, hostPath, stat, type, excluded: false, matches: undefined };
    const { excluded, matches } = this.rules.match(textOfBytePath(path), folder);
    return { path, hostPath, stat, type, excluded, matches };
  }

  #isExcluded(path: BytePath, folder: ContextNode): boolean {
    return !this.rules.isEmpty && this.rules.match(textOfBytePath(path), folder.matches).excluded;
  }

  /** An excluded folder is still there when something in it is not excluded. */
  #isVisible(node: ContextNode, observe: Observe): boolean {
    if (!node.excluded) return true;
    if (node.type !== "dir" || !this.rules.hasNegations) return false;
    if (!this.rules.mayIncludeBelow(textOfBytePath(node.path))) return false;
    return this.#childrenOf(node, observe).some((child) => this.#isVisible(child, observe));
  }

  #childrenOf(folder: ContextNode, observe: Observe): readonly ContextNode[] {
    observe(folder.path, folder.stat);
    const known = this.#children.get(folder.path);
    const children = known ?? this.#read(folder);
    if (known === undefined) this.#children.set(folder.path, children);
    if (observe !== unobserved) for (const { path, stat } of children) observe(path, stat);
    return children;
  }

  #read(folder: ContextNode): readonly ContextNode[] {
    const children: ContextNode[] = [];
    for (const { name, mayBeFolder } of entriesIn(folder.hostPath)) {
      const path = joinBytePath(folder.path, bytePathOfLatin1(name));
      // Nobody sees it, so nobody asks what it is: most of a large context is hidden.
      if (!(mayBeFolder && this.rules.hasNegations) && this.#isExcluded(path, folder)) continue;
      const hostPath = fsPathBelow(this.folder, path);
      const stat = this.#stats.get(path) ?? statOf(hostPath);
      // Gone since the folder was read.
      if (stat !== undefined) children.push(this.#made(path, hostPath, stat, folder.matches));
    }
    return children;
  }
}

/** One character a byte, so the order of strings is the order of bytes. */
function entriesIn(path: string | Buffer): readonly { readonly name: string; readonly mayBeFolder: boolean }[] {
  try {
    const entries = readdirSync(path, { encoding: "latin1", withFileTypes: true });
    return entries
      .map((entry) => ({ name: entry.name, mayBeFolder: !entry.isFile() && !entry.isSymbolicLink() }))
      .sort((a, b) => (a.name < b.name ? -1 : 1));
  } catch (error) {
    throw unreadable(path, error);
  }
}

function statOf(path: string | Buffer): BigIntStats | undefined {
  try {
    return lstatSync(path, { bigint: true, throwIfNoEntry: false });
  } catch (error) {
    // A name below a file is a name of nothing.
    if (errnoOf(error) === "ENOTDIR" || errnoOf(error) === "ENAMETOOLONG") return undefined;
    throw unreadable(path, error);
  }
}

function unreadable(path: string | Buffer, error: unknown): TsbuildError {
  return new TsbuildError({
    code: errnoOf(error) === "EACCES" ? "PERMISSION_DENIED" : "SOURCE_NOT_FOUND",
    what: `cannot read ${path.toString()}: ${errnoOf(error) ?? "failed"}`,
    cause: error,
  });
}

function parentOf(path: BytePath): BytePath {
  return bytePathOfLatin1(path.slice(0, Math.max(0, path.lastIndexOf("/"))));
}
