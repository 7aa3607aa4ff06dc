/**
 * Entries of a tar, or of a walk, made into files below a folder. The archive and the folder may both be hostile, and
 * the folder may change meanwhile: parents are opened by openat2(2) and cannot lead out, the last name is never
 * followed, content is written under a name of ours and renamed, modes and owners are set through descriptors.
 */
import {
  chmodSync,
  closeSync,
  constants,
  fchmodSync,
  fchownSync,
  lchownSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  renameSync,
  symlinkSync,
  unlinkSync,
  writeSync,
} from "node:fs";
import { errnoOf } from "../errors.ts";
import { type BytePath, bytePathOfLatin1, textOfBytePath } from "../kernel/byte-path.ts";
import { makeNode, setMtime } from "../kernel/files.ts";
import { errno, errnoName } from "../kernel/libc.ts";
import { randomBytes } from "../kernel/random.ts";
import { closeInRoot, openFolderInRoot, pathBelowFd } from "../kernel/resolve-in-root.ts";
import { setXattr } from "../kernel/xattr.ts";
import type { TarHandler, TarHeader } from "../store/tar-reader.ts";
import { copyOntoFolder, copyPathFailed, folderOntoFile } from "./container-errors.ts";

export interface SinkOptions {
  /** What may not be left: a container's root, or the folder that is copied into. */
  readonly root: number;
  /** Folder in it that names are relative to; its symlinks were followed. */
  readonly base: BytePath;
  /** `root`: a name's parents are resolved as the container would. `none`: no symlink is followed. */
  readonly symlinks: "root" | "none";
  /** Undefined keeps the ids of the entries. */
  readonly owner: { readonly uid: number; readonly gid: number } | undefined;
  /** For messages. */
  readonly display: string;
}

export interface FileSink extends TarHandler, Disposable {
  /** Sets the times of folders, which were changed by what was put into them. */
  finish(): void;
}

export function fileSink(options: SinkOptions): FileSink {
  const { root, base, owner, display } = options;
  let parent: { readonly path: BytePath; readonly fd: number } | undefined;
  let open:
    | { readonly fd: number; readonly header: TarHeader; readonly staged: string | Buffer; readonly name: Buffer }
    | undefined;
  const folders: { readonly path: BytePath; readonly mtimeNs: bigint }[] = [];

  const resolution = options.symlinks === "root" ? "in-root" : "no-symlinks";
  const shown = (path: BytePath): string => `${display}/${textOfBytePath(path)}`;
  /** An archive need not name the folders that its files are in. */
  const openFolder = (path: BytePath, make: boolean): number => {
    const full = [base, path].filter((part) => part !== "").join("/");
    const open = (): number => openFolderInRoot(root, Buffer.from(full, "latin1"), resolution);
    const fd = open();
    if (fd !== -errno.ENOENT || !make || path === "") return fd;
    const { folder, name } = split(path);
    const above = openFolder(folder, true);
    if (above < 0) return above;
    try {
      mkdirSync(pathBelowFd(above, name), { mode: 0o755 });
    } catch (error) {
      // A symlink to nowhere.
      if (errnoOf(error) !== "EEXIST") throw error;
    } finally {
      closeInRoot(above);
    }
    return open();
  };
  const openParent = (path: BytePath): number => {
    if (parent?.path === path) return parent.fd;
    if (parent !== undefined) closeInRoot(parent.fd);
    parent = undefined;
    const fd = openFolder(path, true);
    if (fd < 0) throw copyPathFailed(shown(path), errnoName(fd));
    parent = { path, fd };
    return fd;
  };
  const idsOf = (header: TarHeader): { uid: number; gid: number } => owner ?? { uid: header.uid, gid: header.gid };
  const stagedName = (fd: number): string | Buffer =>
    pathBelowFd(fd, `.tsbuild-copy-${randomBytes(6).toString("hex")}`);
  /** What is in the way goes, unless it is a folder. */
  const place = (staged: string | Buffer, fd: number, name: Buffer, path: BytePath): void => {
    const target = pathBelowFd(fd, name);
    if (lstatSync(target, { throwIfNoEntry: false })?.isDirectory()) {
      unlinkSync(staged);
      throw copyOntoFolder(shown(path));
    }
    renameSync(staged, target);
  };

  const makeFolder = (fd: number, name: Buffer, header: TarHeader, path: BytePath): void => {
    const target = pathBelowFd(fd, name);
    const there = lstatSync(target, { throwIfNoEntry: false });
    if (there === undefined) mkdirSync(target, { mode: 0o700 });
    // A symlink to a folder may lead anywhere: it is in the way, as a file is.
    else if (!there.isDirectory()) throw folderOntoFile(shown(path));
    const folder = openSync(target, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW);
    try {
      if (there === undefined || owner === undefined) {
        const { uid, gid } = idsOf(header);
        fchownSync(folder, uid, gid);
      }
      fchmodSync(folder, header.mode);
    } finally {
      closeSync(folder);
    }
    folders.push({ path, mtimeNs: header.mtimeNs });
  };

  const makeOther = (header: TarHeader, staged: string | Buffer, path: BytePath): void => {
    switch (header.type) {
      case "symlink":
        symlinkSync(Buffer.from(header.linkName, "latin1"), staged);
        break;
      case "fifo":
        makeNode(staged, { type: "fifo" }, header.mode);
        break;
      case "char":
      case "block":
        makeNode(staged, { type: header.type, device: { major: header.major, minor: header.minor } }, header.mode);
        break;
      case "hardlink": {
        linkWithin(header, staged, path);
        return;
      }
      default:
        throw new Error(`no such entry: ${header.type}`);
    }
    const { uid, gid } = idsOf(header);
    lchownSync(staged, uid, gid);
    if (header.type !== "symlink") chmodSync(staged, header.mode);
    setMtime(staged, header.mtimeNs);
  };

  const linkWithin = (header: TarHeader, staged: string | Buffer, path: BytePath): void => {
    const first = cleanName(header.linkName);
    const { folder, name } = split(first);
    const from = openFolder(folder, false);
    if (from < 0) throw copyPathFailed(shown(path), errnoName(from));
    try {
      linkSync(pathBelowFd(from, name), staged);
    } finally {
      closeInRoot(from);
    }
  };

  return {
    begin(header) {
      const path = cleanName(header.name);
      if (path === "") {
        // The folder itself: `./` of an archive.
        return;
      }
      const { folder, name } = split(path);
      const fd = openParent(folder);
      if (header.type === "dir") {
        makeFolder(fd, name, header, path);
        return;
      }
      const staged = stagedName(fd);
      if (header.type === "file") {
        const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
        open = { fd: openSync(staged, flags, 0o600), header, staged, name };
        return;
      }
      makeOther(header, staged, path);
      place(staged, fd, name, path);
    },
    data(chunk) {
      if (open === undefined) return;
      for (let at = 0; at < chunk.length; ) at += writeSync(open.fd, chunk, at, chunk.length - at);
    },
    hole(length) {
      if (open === undefined) return;
      const zeros = Buffer.alloc(Math.min(length, 64 * 1024));
      for (let left = length; left > 0; ) left -= writeSync(open.fd, zeros, 0, Math.min(left, zeros.length));
    },
    end() {
      if (open === undefined) return;
      const { fd, header, staged, name } = open;
      open = undefined;
      try {
        const { uid, gid } = idsOf(header);
        fchownSync(fd, uid, gid);
        // After the owner: chown(2) clears set-user-ID.
        fchmodSync(fd, header.mode);
        const capability = header.xattrs.get("security.capability");
        if (capability !== undefined) setXattr(staged, "security.capability", capability);
      } finally {
        closeSync(fd);
      }
      setMtime(staged, header.mtimeNs);
      const path = cleanName(header.name);
      place(staged, openParent(split(path).folder), name, path);
    },
    skipped: () => undefined,
    finish() {
      for (const { path, mtimeNs } of folders.toReversed()) {
        const { folder, name } = split(path);
        setMtime(pathBelowFd(openParent(folder), name), mtimeNs);
      }
    },
    [Symbol.dispose]() {
      if (open !== undefined) {
        closeSync(open.fd);
        unlinkSync(open.staged);
      }
      if (parent !== undefined) closeInRoot(parent.fd);
    },
  };
}

/** Relative to the folder, whatever it says: no empty parts, no `.`, and `..` never leaves it. */
function cleanName(name: BytePath): BytePath {
  const parts: string[] = [];
  for (const part of name.split("/")) {
    if (part === "" || part === ".") continue;
    if (part === "..") parts.pop();
    else parts.push(part);
  }
  return bytePathOfLatin1(parts.join("/"));
}

function split(path: BytePath): { readonly folder: BytePath; readonly name: Buffer } {
  const slash = path.lastIndexOf("/");
  return {
    folder: bytePathOfLatin1(slash < 0 ? "" : path.slice(0, slash)),
    name: Buffer.from(path.slice(slash + 1), "latin1"),
  };
}
