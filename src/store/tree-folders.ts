/**
 * The folders of a tree that is being unpacked, by fd: resolved below the tree's root by the kernel, so that no symlink
 * of the archive leads out of it, and kept while entries of the same folder follow each other.
 */
import { closeSync, constants, openSync, readlinkSync, realpathSync } from "node:fs";
import { type BytePath, bytePath, bytePathOfLatin1, fsPath } from "../kernel/byte-path.ts";
import { errno } from "../kernel/libc.ts";
import { closeInRoot, O_PATH, openFolderInRoot, pathBelowFd } from "../kernel/resolve-in-root.ts";

/** As many as a sorted archive comes back to. */
const keptFolders = 32;

export interface Folder {
  readonly fd: number;
  /** Where it really is below the root. */
  readonly path: BytePath;
}

export class TreeFolders implements Disposable {
  readonly root: Folder;
  /** The root's real path on the host. */
  readonly host: BytePath;
  readonly #kept = new Map<string, Folder>();
  readonly #stale: number[] = [];

  constructor(tree: string) {
    this.root = {
      fd: openSync(tree, O_PATH | constants.O_DIRECTORY | constants.O_NOFOLLOW),
      path: bytePathOfLatin1(""),
    };
    this.host = bytePath(realpathSync(tree));
  }

  /** The folder that `path` leads to, or −errno. */
  open(path: BytePath): Folder | number {
    if (path === "") return this.root;
    const kept = this.#kept.get(path);
    if (kept !== undefined) return kept;
    const fd = openFolderInRoot(this.root.fd, fsPath(path));
    if (fd < 0) return fd;
    if (this.#kept.size >= keptFolders) this.forget();
    const host = readlinkSync(`/proc/self/fd/${fd}`, { encoding: "latin1" });
    if (host !== this.host && !host.startsWith(`${this.host}/`)) {
      closeInRoot(fd);
      return -errno.EXDEV;
    }
    const folder = { fd, path: bytePathOfLatin1(host.slice(this.host.length + 1)) };
    this.#kept.set(path, folder);
    return folder;
  }

  /** For when a folder has been removed. The fds stay open until the next entry: this one may still use them. */
  forget(): void {
    for (const { fd } of this.#kept.values()) this.#stale.push(fd);
    this.#kept.clear();
  }

  nextEntry(): void {
    for (const fd of this.#stale) closeInRoot(fd);
    this.#stale.length = 0;
  }

  [Symbol.dispose](): void {
    this.forget();
    this.nextEntry();
    closeSync(this.root.fd);
  }
}

export function hostIn(folder: Folder, name: string): string | Buffer {
  return pathBelowFd(folder.fd, fsPath(bytePathOfLatin1(name)));
}
