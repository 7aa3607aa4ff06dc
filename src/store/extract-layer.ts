/**
 * A layer's tar becomes a tree for overlayfs. The archive is hostile until proven otherwise: names are resolved below the
 * fd of the tree's root (openat2, RESOLVE_IN_ROOT), the last component is never followed, of the attributes only a list
 * of harmless ones is kept. Nothing outside the tree is ever touched. Source: image-spec, layer.md, "Applying
 * Changesets", with whiteouts turned into what overlayfs reads.
 *
 * One long class: each kind of entry reads and writes what the others have left in the tree and in its inodes.
 */
import { createHash, type Hash, hash as hashOnce } from "node:crypto";
import {
  chmodSync,
  closeSync,
  constants,
  fchmodSync,
  fchownSync,
  ftruncateSync,
  lchownSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  writeSync,
} from "node:fs";
import { type BytePath, bytePathOfLatin1, fsPath, joinBytePath } from "../kernel/byte-path.ts";
import { makeNode, setMtime, setMtimeOfOpen } from "../kernel/files.ts";
import { errno, errnoName } from "../kernel/libc.ts";
import { setXattr } from "../kernel/xattr.ts";
import type { Digest } from "../oci/digest.ts";
import { opaqueMarker, whiteoutPrefix } from "../oci/whiteout.ts";
import { cleanName, maxPathBytes, printable } from "./archive-names.ts";
import { copyUp } from "./copy-up.ts";
import { archiveInvalid } from "./errors.ts";
import { type Attributes, attributesOfStat, type Inode, sortedEntries } from "./extracted-inodes.ts";
import { wholeSeconds } from "./layer-changes.ts";
import type { LayerEntry } from "./layer-entry.ts";
import { type Merged, mergedName, mergedNames } from "./merged-folders.ts";
import { markOpaque } from "./overlay-marks.ts";
import type { Layout } from "./store-context.ts";
import type { TarHandler, TarHeader } from "./tar-reader.ts";
import { type Folder, hostIn, TreeFolders } from "./tree-folders.ts";

export interface Extraction {
  /** An empty folder, as text. */
  readonly tree: string;
  /** Trees of the layers below, topmost first. */
  readonly lowers: readonly BytePath[];
  readonly layout: Layout;
}

interface OpenFile {
  readonly header: TarHeader;
  readonly path: BytePath;
  readonly fd: number;
  /** It has its owner and group since it was made: a folder with the set-group-ID bit would have passed on its own. */
  readonly isOwned: boolean;
  hash: Hash | undefined;
  digest: Digest | undefined;
  position: number;
  endsInHole: boolean;
}

export class LayerExtractor implements TarHandler, Disposable {
  readonly #folders: TreeFolders;
  readonly #lowers: readonly BytePath[];
  readonly #layout: Layout;
  readonly #inodes = new Map<BytePath, Inode>();
  /** Set last: making a name in a folder changes its time. */
  readonly #folderTimes = new Map<BytePath, bigint>();
  #rootTimeNs: bigint | undefined;
  #rootOpaque = false;
  #file: OpenFile | undefined;
  readonly #ownUid = process.geteuid?.() ?? 0;
  readonly #ownGid = process.getegid?.() ?? 0;

  constructor({ tree, lowers, layout }: Extraction) {
    this.#folders = new TreeFolders(tree);
    this.#lowers = lowers;
    this.#layout = layout;
    // Until an entry says otherwise, the root is that of the layers below.
    const [top] = lowers;
    const below = top === undefined ? undefined : lstatSync(fsPath(top), { bigint: true });
    lchownSync(tree, Number(below?.uid ?? 0n), Number(below?.gid ?? 0n));
    chmodSync(tree, below === undefined ? 0o755 : Number(below.mode & 0o7777n));
    this.#rootTimeNs = below?.mtimeNs ?? 0n;
  }

  begin(read: TarHeader): void {
    this.#folders.nextEntry();
    const header = { ...read, mtimeNs: storableTime(read.mtimeNs) };
    const path = cleanName(header.name);
    if (path === "") {
      this.#rootEntry(header);
      return;
    }
    const { parent: parentPath, name } = parted(path);
    const parent = this.#folder(parentPath);
    if (name.startsWith(whiteoutPrefix)) {
      this.#whiteout(parent, name);
      return;
    }
    const at = joinBytePath(parent.path, bytePathOfLatin1(name));
    const host = hostIn(parent, name);
    switch (header.type) {
      case "file":
        this.#clear(at, host);
        this.#beginFile(header, at, host, parent.path);
        return;
      case "dir":
        this.#makeFolder(header, at, host);
        return;
      case "hardlink":
        this.#link(header, at, host);
        return;
      case "symlink":
        if (header.linkName.length === 0 || header.linkName.length >= maxPathBytes || header.linkName.includes("\0"))
          throw archiveInvalid(`the symlink ${printable(at)} has no usable target`);
        this.#clear(at, host);
        symlinkSync(fsPath(header.linkName), host);
        this.#finishNode(header, at, host, {
          kind: "symlink",
          attributes: attributesOf(header),
          target: header.linkName,
        });
        return;
      default:
        this.#node(header, at, host);
    }
  }

  data(chunk: Buffer): void {
    const file = this.#file;
    if (file === undefined) return;
    if (file.position === 0 && chunk.length === file.header.size)
      file.digest = `sha256:${hashOnce("sha256", chunk, "hex")}` as string as Digest;
    else {
      file.hash ??= createHash("sha256");
      file.hash.update(chunk);
    }
    for (let done = 0; done < chunk.length; )
      done += writeSync(file.fd, chunk, done, chunk.length - done, file.position + done);
    file.position += chunk.length;
    file.endsInHole = false;
  }

  hole(length: number): void {
    const file = this.#file;
    if (file === undefined) return;
    file.hash ??= createHash("sha256");
    for (let left = length; left > 0; left -= zeros.length)
      file.hash.update(zeros.subarray(0, Math.min(left, zeros.length)));
    file.position += length;
    file.endsInHole = true;
  }

  end(): void {
    const file = this.#file;
    if (file === undefined) return;
    this.#file = undefined;
    try {
      if (file.endsInHole) ftruncateSync(file.fd, file.position);
      this.#finishFile(file);
    } finally {
      closeSync(file.fd);
    }
  }

  skipped(): void {
    // What no tool can represent in an image: volume labels, multi-volume parts, unknown kinds.
  }

  /** All entries are in. Returns the layer's index, sorted as layers of our own are. */
  finish(): readonly LayerEntry[] {
    if (this.#rootOpaque) this.#hideAllBelow();
    for (const [path, mtimeNs] of this.#folderTimes) setMtime(this.#host(path), mtimeNs);
    if (this.#rootTimeNs !== undefined) setMtime(fsPath(this.#folders.host), this.#rootTimeNs);
    return sortedEntries(this.#inodes);
  }

  [Symbol.dispose](): void {
    if (this.#file !== undefined) closeSync(this.#file.fd);
    this.#file = undefined;
    this.#folders[Symbol.dispose]();
  }

  // Names -----------------------------------------------------------------------------------------------------------

  /** The folder that an entry's parent path leads to, made where it is missing. */
  #folder(path: BytePath): Folder {
    const found = this.#folders.open(path);
    if (typeof found !== "number") return found;
    if (found !== -errno.ENOENT && found !== -errno.ENOTDIR) throw badParent(path, found);
    const { parent, name } = parted(path);
    const folder = this.#folder(parent);
    const at = joinBytePath(folder.path, bytePathOfLatin1(name));
    const host = hostIn(folder, name);
    const present = this.#inodes.get(at)?.kind;
    // A file, or a symlink that leads nowhere.
    if (present !== undefined && present !== "whiteout") throw badParent(path, found);
    this.#clear(at, host);
    this.#makeImpliedFolder(at, host, present === "whiteout");
    const made = this.#folders.open(path);
    if (typeof made === "number") throw badParent(path, made);
    return made;
  }

  /** A parent that the archive has no entry for looks as it does below. */
  #makeImpliedFolder(at: BytePath, host: string | Buffer, opaque: boolean): void {
    const below = opaque ? undefined : this.#below(at);
    const stat = below?.stat.isDirectory() ? below.stat : undefined;
    mkdirSync(host, { mode: 0o700 });
    const attributes: Attributes =
      stat === undefined ? { mode: 0o755, uid: 0, gid: 0, mtime: 0 } : attributesOfStat(stat);
    this.#applyOwnerAndMode(host, attributes);
    if (opaque) markOpaque(host, this.#layout);
    this.#inodes.set(at, { kind: "dir", attributes, opaque });
    this.#folderTimes.set(at, stat?.mtimeNs ?? 0n);
  }

  /** The name in the merged view of the layers below. */
  #below(path: BytePath): Merged | undefined {
    let folders: readonly BytePath[] = this.#lowers;
    let found: Merged | undefined;
    for (const name of path.split("/")) {
      if (folders.length === 0) return undefined;
      found = mergedName(name, folders, this.#layout);
      if (found === undefined) return undefined;
      folders = found.folders;
    }
    return found;
  }

  // Kinds -----------------------------------------------------------------------------------------------------------

  #rootEntry(header: TarHeader): void {
    if (header.type !== "dir") throw archiveInvalid("the archive makes its root something else than a directory");
    this.#applyOwnerAndMode(fsPath(this.#folders.host), header);
    this.#rootTimeNs = header.mtimeNs;
  }

  #beginFile(header: TarHeader, path: BytePath, host: string | Buffer, parent: BytePath): void {
    const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
    const fd = openSync(host, flags, 0o600);
    const folder = this.#inodes.get(parent);
    // Of the root nothing is known here; few files are in it.
    const mayPassOnGroup = folder?.kind !== "dir" || (folder.attributes.mode & setGroupId) !== 0;
    const isOwned = header.uid === this.#ownUid && header.gid === this.#ownGid && !mayPassOnGroup;
    this.#file = { header, path, fd, isOwned, hash: undefined, digest: undefined, position: 0, endsInHole: false };
  }

  #finishFile(file: OpenFile): void {
    const { header, fd, path } = file;
    // chown(2) clears set-user-ID and capabilities, so it stands before both.
    if (!file.isOwned) fchownSync(fd, header.uid, header.gid);
    fchmodSync(fd, header.mode);
    const capability = this.#applyXattrs(header, `/proc/self/fd/${fd}`, path);
    setMtimeOfOpen(fd, this.#host(path), header.mtimeNs);
    const digest =
      file.digest ??
      (file.hash === undefined ? emptyDigest : (`sha256:${file.hash.digest("hex")}` as string as Digest));
    this.#inodes.set(path, { kind: "file", attributes: attributesOf(header), size: file.position, digest, capability });
  }

  #makeFolder(header: TarHeader, at: BytePath, host: string | Buffer): void {
    const present = this.#inodes.get(at);
    let opaque = false;
    if (present?.kind === "dir") opaque = present.opaque;
    else {
      // In place of a whiteout: what lies below stays hidden.
      opaque = present?.kind === "whiteout";
      this.#clear(at, host);
      mkdirSync(host, { mode: 0o700 });
      if (opaque) markOpaque(host, this.#layout);
    }
    this.#applyOwnerAndMode(host, header);
    this.#applyXattrs(header, host, at);
    this.#inodes.set(at, { kind: "dir", attributes: attributesOf(header), opaque });
    this.#folderTimes.set(at, header.mtimeNs);
  }

  #node(header: TarHeader, at: BytePath, host: string | Buffer): void {
    const attributes = attributesOf(header);
    if (header.type === "fifo") {
      this.#clear(at, host);
      makeNode(host, { type: "fifo" }, 0o600);
      this.#finishNode(header, at, host, { kind: "fifo", attributes });
      return;
    }
    if (header.type !== "char" && header.type !== "block") throw new Error(`no node: ${header.type}`);
    const { type, major, minor } = header;
    // Overlayfs would read it as "nothing is here".
    if (type === "char" && major === 0 && minor === 0)
      throw archiveInvalid(`the archive holds the character device 0/0: ${printable(at)}`);
    if (major > 0xfff || minor > 0xf_ffff)
      throw archiveInvalid(`the device number of ${printable(at)} is out of range`);
    this.#clear(at, host);
    makeNode(host, { type, device: { major, minor } }, 0o600);
    this.#finishNode(header, at, host, { kind: type, attributes, major, minor });
  }

  #finishNode(header: TarHeader, at: BytePath, host: string | Buffer, inode: Inode): void {
    lchownSync(host, header.uid, header.gid);
    // A symlink has no mode of its own.
    if (header.type !== "symlink") chmodSync(host, header.mode);
    setMtime(host, header.mtimeNs);
    this.#inodes.set(at, inode);
  }

  #link(header: TarHeader, at: BytePath, host: string | Buffer): void {
    const written = cleanName(header.linkName);
    if (written === at) return;
    const { parent, name } = parted(written);
    const opened = this.#folders.open(parent);
    const source = typeof opened === "number" ? undefined : opened;
    const target = source === undefined ? undefined : joinBytePath(source.path, bytePathOfLatin1(name));
    const inode = target === undefined ? undefined : this.#inodes.get(target);
    if (source !== undefined && inode !== undefined && inode.kind !== "whiteout") {
      if (inode.kind === "dir") throw archiveInvalid(`the hard link ${printable(at)} leads to a directory`);
      if (target === at) return;
      this.#clear(at, host);
      // link(2) does not follow a symlink as its target.
      linkSync(hostIn(source, name), host);
      this.#inodes.set(at, inode);
      return;
    }
    const below = inode === undefined ? this.#below(written) : undefined;
    if (below === undefined || below.stat.isDirectory())
      throw archiveInvalid(`the hard link ${printable(at)} leads to ${printable(written)}, which is nowhere`);
    this.#clear(at, host);
    if (!below.stat.isFile() && !below.stat.isSymbolicLink())
      throw archiveInvalid(`the hard link ${printable(at)} leads to a device of a layer below`);
    this.#inodes.set(at, copyUp(below, host));
  }

  // Whiteouts -------------------------------------------------------------------------------------------------------

  #whiteout(parent: Folder, marker: string): void {
    if (marker === opaqueMarker) {
      if (parent === this.#folders.root) this.#rootOpaque = true;
      else this.#makeOpaque(parent.path);
      return;
    }
    // aufs wrote its own book-keeping under such names (.wh..wh.plnk and the like).
    if (marker.startsWith(`${whiteoutPrefix}${whiteoutPrefix}`)) return;
    const name = marker.slice(whiteoutPrefix.length);
    if (name === "" || name === "." || name === "..")
      throw archiveInvalid(
        `the archive holds a whiteout of no name: ${printable(joinBytePath(parent.path, bytePathOfLatin1(marker)))}`,
      );
    const at = joinBytePath(parent.path, bytePathOfLatin1(name));
    const present = this.#inodes.get(at);
    // A whiteout speaks about the layers below. What this layer has there hides them already, except for a folder.
    if (present?.kind === "dir") this.#makeOpaque(at);
    if (present !== undefined) return;
    makeNode(hostIn(parent, name), { type: "char", device: { major: 0, minor: 0 } }, 0);
    this.#inodes.set(at, { kind: "whiteout" });
  }

  #makeOpaque(path: BytePath): void {
    const inode = this.#inodes.get(path);
    if (inode?.kind !== "dir" || inode.opaque) return;
    markOpaque(this.#host(path), this.#layout);
    inode.opaque = true;
  }

  /** Overlayfs merges the roots of all layers whatever they say: each name below is hidden by itself. */
  #hideAllBelow(): void {
    for (const name of mergedNames(this.#lowers, this.#layout)) {
      const at = bytePathOfLatin1(name);
      const present = this.#inodes.get(at);
      if (present?.kind === "dir") this.#makeOpaque(at);
      if (present !== undefined) continue;
      makeNode(hostIn(this.#folders.root, name), { type: "char", device: { major: 0, minor: 0 } }, 0);
      this.#inodes.set(at, { kind: "whiteout" });
    }
  }

  // What lies in the way, owners, attributes --------------------------------------------------------------------------

  /** The last of several entries of one name wins. */
  #clear(at: BytePath, host: string | Buffer): void {
    const present = this.#inodes.get(at);
    if (present === undefined) return;
    this.#inodes.delete(at);
    if (present.kind !== "dir") {
      unlinkSync(host);
      return;
    }
    // What was known about folders may be about this one.
    this.#folders.forget();
    this.#forgetBelow(at);
    this.#folderTimes.delete(at);
    rmSync(this.#host(at), { recursive: true });
  }

  #forgetBelow(folder: BytePath): void {
    for (const name of readdirSync(this.#host(folder), { encoding: "latin1" })) {
      const path = joinBytePath(folder, bytePathOfLatin1(name));
      if (this.#inodes.get(path)?.kind === "dir") this.#forgetBelow(path);
      this.#inodes.delete(path);
      this.#folderTimes.delete(path);
    }
  }

  #host(path: BytePath): string | Buffer {
    return fsPath(joinBytePath(this.#folders.host, path));
  }

  #applyOwnerAndMode(host: string | Buffer, { uid, gid, mode }: Pick<Attributes, "uid" | "gid" | "mode">): void {
    lchownSync(host, uid, gid);
    chmodSync(host, mode);
  }

  /** Returns the capability that the index is to hold. */
  #applyXattrs(header: TarHeader, host: string | Buffer, path: BytePath): string | undefined {
    let capability: string | undefined;
    for (const [name, value] of header.xattrs) {
      const isCapability = name === capabilityXattr && header.type === "file";
      // Anything else could make overlayfs show other files (`trusted.overlay.redirect`), or belongs to this machine.
      const isHarmless = name.startsWith("user.") && !name.startsWith("user.overlay.");
      if (!isCapability && !isHarmless) continue;
      if (value.length > 65_536) throw archiveInvalid(`an attribute of ${printable(path)} is too long`);
      const kept = setXattr(realHost(host), name, value);
      if (isCapability && kept) capability = value.toString("base64");
    }
    return capability;
  }
}

/** What ext4 and xfs can store: beyond, they would keep another time than the index says. Source: ext4's inode times. */
function storableTime(ns: bigint): bigint {
  if (ns < earliestNs) return earliestNs;
  return ns > latestNs ? latestNs : ns;
}

const earliestNs = -0x8000_0000n * 1_000_000_000n;
const latestNs = 0x3_7fff_ffffn * 1_000_000_000n;

/** S_ISGID of inode(7). */
const setGroupId = 0o2000;

const capabilityXattr = "security.capability";
const zeros = Buffer.alloc(1 << 16);
const emptyDigest = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" as string as Digest;

function badParent(path: BytePath, result: number): Error {
  return archiveInvalid(
    `the archive puts something below ${printable(path)}, which is no directory of it (${errnoName(result)})`,
  );
}

function parted(path: BytePath): { readonly parent: BytePath; readonly name: string } {
  const slash = path.lastIndexOf("/");
  return { parent: bytePathOfLatin1(path.slice(0, Math.max(slash, 0))), name: path.slice(slash + 1) };
}

function attributesOf(header: TarHeader): Attributes {
  // A symlink's mode is what lstat says, whatever the archive has.
  const mode = header.type === "symlink" ? 0o777 : header.mode;
  return { mode, uid: header.uid, gid: header.gid, mtime: wholeSeconds(header.mtimeNs) };
}

/** l*xattr(2) does not follow the last component, and a file reached through its fd is one. */
function realHost(host: string | Buffer): string | Buffer {
  return typeof host === "string" && /^\/proc\/self\/fd\/[0-9]+$/.test(host)
    ? Buffer.from(readlinkSync(host, { encoding: "latin1" }), "latin1")
    : host;
}
