/**
 * A layer's tar becomes a tree for overlayfs. The archive is hostile until proven otherwise: names are resolved below the
 * fd of the tree's root (openat2, RESOLVE_IN_ROOT), the last component is never followed, of the attributes only a list
 * of harmless ones is kept. Nothing outside the tree is ever touched. Source: image-spec, layer.md, "Applying
 * Changesets", with whiteouts turned into what overlayfs reads.
 */
import { createHash, type Hash, hash as hashOnce } from "node:crypto";
import {
  chmodSync,
  closeSync,
  constants,
  fchmodSync,
  fchownSync,
  ftruncateSync,
  futimesSync,
  lchownSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  writeSync,
} from "node:fs";
import {
  type BytePath,
  bytePath,
  bytePathOfLatin1,
  fsPath,
  joinBytePath,
  textOfBytePath,
} from "../kernel/byte-path.ts";
import { copyFileData, makeNode, setMtime } from "../kernel/files.ts";
import { errno, errnoName } from "../kernel/libc.ts";
import { closeInRoot, O_PATH, openFolderInRoot, pathBelowFd } from "../kernel/resolve-in-root.ts";
import { getXattr, setXattr } from "../kernel/xattr.ts";
import type { Digest } from "../oci/digest.ts";
import { opaqueMarker, whiteoutPrefix } from "../oci/whiteout.ts";
import { archiveInvalid } from "./errors.ts";
import { wholeSeconds } from "./layer-changes.ts";
import type { LayerEntry } from "./layer-entry.ts";
import { type Merged, mergedName, mergedNames } from "./merged-folders.ts";
import { markOpaque } from "./overlay-marks.ts";
import type { Layout } from "./store-context.ts";
import type { TarHandler, TarHeader } from "./tar-reader.ts";

export interface Extraction {
  /** An empty folder, as text. */
  readonly tree: string;
  /** Trees of the layers below, topmost first. */
  readonly lowers: readonly BytePath[];
  readonly layout: Layout;
}

const maxPathBytes = 4096;
const maxNameBytes = 255;
/** Of folders whose fd is kept. */
const keptFolders = 32;

interface Folder {
  readonly fd: number;
  /** Where it really is below the root. */
  readonly path: BytePath;
}

interface Attributes {
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly mtime: number;
}

/** An inode of the tree; a file may have several names. */
type Inode =
  | { kind: "file"; attributes: Attributes; size: number; digest: Digest; capability: string | undefined }
  | { kind: "dir"; attributes: Attributes; opaque: boolean }
  | { kind: "symlink"; attributes: Attributes; target: BytePath }
  | { kind: "char" | "block"; attributes: Attributes; major: number; minor: number }
  | { kind: "fifo"; attributes: Attributes }
  | { kind: "whiteout" };

interface OpenFile {
  readonly header: TarHeader;
  readonly path: BytePath;
  readonly fd: number;
  hash: Hash | undefined;
  digest: Digest | undefined;
  position: number;
  endsInHole: boolean;
}

export class LayerExtractor implements TarHandler, Disposable {
  readonly #root: Folder;
  readonly #rootHost: string;
  readonly #lowers: readonly BytePath[];
  readonly #layout: Layout;
  readonly #folders = new Map<string, Folder>();
  readonly #staleFds: number[] = [];
  readonly #inodes = new Map<BytePath, Inode>();
  /** Set last: making a name in a folder changes its time. */
  readonly #folderTimes = new Map<BytePath, bigint>();
  #rootTimeNs: bigint | undefined;
  #rootOpaque = false;
  #file: OpenFile | undefined;
  readonly #ownUid = process.geteuid?.() ?? 0;
  readonly #ownGid = process.getegid?.() ?? 0;

  constructor({ tree, lowers, layout }: Extraction) {
    this.#root = {
      fd: openSync(tree, O_PATH | constants.O_DIRECTORY | constants.O_NOFOLLOW),
      path: bytePathOfLatin1(""),
    };
    this.#rootHost = realpathSync(tree);
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
    this.#closeStale();
    const header = { ...read, mtimeNs: storableTime(read.mtimeNs) };
    const path = cleanName(header.name);
    if (path === "") {
      this.#rootEntry(header);
      return;
    }
    const slash = path.lastIndexOf("/");
    const name = path.slice(slash + 1);
    const parent = this.#folder(bytePathOfLatin1(path.slice(0, Math.max(slash, 0))));
    if (name.startsWith(whiteoutPrefix)) {
      this.#whiteout(parent, name);
      return;
    }
    const at = joinBytePath(parent.path, bytePathOfLatin1(name));
    const host = hostIn(parent, name);
    switch (header.type) {
      case "file":
        this.#clear(at, host);
        this.#beginFile(header, at, host);
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
    for (const [path, mtimeNs] of this.#folderTimes)
      setMtime(fsPath(joinBytePath(bytePath(this.#rootHost), path)), mtimeNs);
    if (this.#rootTimeNs !== undefined) setMtime(this.#rootHost, this.#rootTimeNs);
    return sortedEntries(this.#inodes);
  }

  [Symbol.dispose](): void {
    if (this.#file !== undefined) closeSync(this.#file.fd);
    this.#file = undefined;
    this.#forgetFolders();
    this.#closeStale();
    closeSync(this.#root.fd);
  }

  // Names -----------------------------------------------------------------------------------------------------------

  /** The folder that an entry's parent path leads to, made where it is missing. */
  #folder(path: BytePath): Folder {
    if (path === "") return this.#root;
    const kept = this.#folders.get(path);
    if (kept !== undefined) return kept;
    const fd = openFolderInRoot(this.#root.fd, fsPath(path));
    if (fd >= 0) return this.#keep(path, fd);
    if (fd !== -errno.ENOENT) throw badParent(path, fd);
    const slash = path.lastIndexOf("/");
    const parent = this.#folder(bytePathOfLatin1(path.slice(0, Math.max(slash, 0))));
    const name = path.slice(slash + 1);
    const at = joinBytePath(parent.path, bytePathOfLatin1(name));
    const host = hostIn(parent, name);
    const present = this.#inodes.get(at);
    if (present?.kind === "whiteout") this.#clear(at, host);
    // A symlink that leads nowhere, for one.
    else if (present !== undefined) throw badParent(path, -errno.ENOTDIR);
    this.#makeImpliedFolder(at, host, present?.kind === "whiteout");
    const made = openFolderInRoot(this.#root.fd, fsPath(path));
    if (made < 0) throw badParent(path, made);
    return this.#keep(path, made);
  }

  #keep(path: BytePath, fd: number): Folder {
    if (this.#folders.size >= keptFolders) this.#forgetFolders();
    const host = readlinkSync(`/proc/self/fd/${fd}`, { encoding: "latin1" });
    const prefix = bytePath(this.#rootHost);
    if (host !== prefix && !host.startsWith(`${prefix}/`)) throw badParent(path, -errno.EXDEV);
    const folder = { fd, path: bytePathOfLatin1(host.slice(prefix.length + 1)) };
    this.#folders.set(path, folder);
    return folder;
  }

  /** They stay open until the next entry: this one may still use them. */
  #forgetFolders(): void {
    for (const { fd } of this.#folders.values()) this.#staleFds.push(fd);
    this.#folders.clear();
  }

  #closeStale(): void {
    for (const fd of this.#staleFds) closeInRoot(fd);
    this.#staleFds.length = 0;
  }

  /** A parent that the archive has no entry for looks as it does below. */
  #makeImpliedFolder(at: BytePath, host: string | Buffer, opaque: boolean): void {
    const below = opaque ? undefined : this.#below(at);
    const stat = below?.stat.isDirectory() ? below.stat : undefined;
    mkdirSync(host, { mode: 0o700 });
    const attributes: Attributes =
      stat === undefined
        ? { mode: 0o755, uid: 0, gid: 0, mtime: 0 }
        : {
            mode: Number(stat.mode & 0o7777n),
            uid: Number(stat.uid),
            gid: Number(stat.gid),
            mtime: wholeSeconds(stat.mtimeNs),
          };
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
    this.#applyOwnerAndMode(this.#rootHost, header);
    this.#rootTimeNs = header.mtimeNs;
  }

  #beginFile(header: TarHeader, path: BytePath, host: string | Buffer): void {
    const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
    const fd = openSync(host, flags, 0o600);
    this.#file = { header, path, fd, hash: undefined, digest: undefined, position: 0, endsInHole: false };
  }

  #finishFile(file: OpenFile): void {
    const { header, fd, path } = file;
    // chown(2) clears set-user-ID and capabilities, so it stands before both.
    if (header.uid !== this.#ownUid || header.gid !== this.#ownGid) fchownSync(fd, header.uid, header.gid);
    fchmodSync(fd, header.mode);
    const capability = this.#applyXattrs(header, `/proc/self/fd/${fd}`, path);
    setFileTime(fd, header.mtimeNs, path, this.#rootHost);
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
    const slash = written.lastIndexOf("/");
    const name = written.slice(slash + 1);
    const source = this.#existingFolder(bytePathOfLatin1(written.slice(0, Math.max(slash, 0))));
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
    this.#copyUp(below, at, host);
  }

  /** As `#folder`, without making anything. */
  #existingFolder(path: BytePath): Folder | undefined {
    if (path === "") return this.#root;
    const kept = this.#folders.get(path);
    if (kept !== undefined) return kept;
    const fd = openFolderInRoot(this.#root.fd, fsPath(path));
    return fd < 0 ? undefined : this.#keep(path, fd);
  }

  /** A link to a file of a layer below: a full copy, as a layer cannot say it otherwise. */
  #copyUp(below: Merged, at: BytePath, host: string | Buffer): void {
    const { stat } = below;
    const attributes: Attributes = {
      mode: Number(stat.mode & 0o7777n),
      uid: Number(stat.uid),
      gid: Number(stat.gid),
      mtime: wholeSeconds(stat.mtimeNs),
    };
    if (stat.isSymbolicLink()) {
      const target = bytePathOfLatin1(readlinkSync(fsPath(below.host), { encoding: "latin1" }));
      symlinkSync(fsPath(target), host);
      lchownSync(host, attributes.uid, attributes.gid);
      setMtime(host, stat.mtimeNs);
      this.#inodes.set(at, { kind: "symlink", attributes, target });
      return;
    }
    if (!stat.isFile()) throw archiveInvalid(`the hard link ${printable(at)} leads to a device of a layer below`);
    const from = openSync(fsPath(below.host), constants.O_RDONLY | constants.O_NOFOLLOW);
    try {
      const to = openSync(host, constants.O_RDWR | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW, 0o600);
      try {
        copyFileData(from, to);
      } finally {
        closeSync(to);
      }
      this.#applyOwnerAndMode(host, attributes);
      const capability = getXattr(fsPath(below.host), capabilityXattr);
      if (capability !== undefined) setXattr(host, capabilityXattr, capability);
      setMtime(host, stat.mtimeNs);
      const digest = digestOfFile(host);
      this.#inodes.set(at, {
        kind: "file",
        attributes,
        size: Number(stat.size),
        digest,
        capability: capability?.toString("base64"),
      });
    } finally {
      closeSync(from);
    }
  }

  // Whiteouts -------------------------------------------------------------------------------------------------------

  #whiteout(parent: Folder, marker: string): void {
    if (marker === opaqueMarker) {
      if (parent === this.#root) this.#rootOpaque = true;
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
    markOpaque(fsPath(joinBytePath(bytePath(this.#rootHost), path)), this.#layout);
    inode.opaque = true;
  }

  /** Overlayfs merges the roots of all layers whatever they say: each name below is hidden by itself. */
  #hideAllBelow(): void {
    for (const name of mergedNames(this.#lowers, this.#layout)) {
      const at = bytePathOfLatin1(name);
      const present = this.#inodes.get(at);
      if (present?.kind === "dir") this.#makeOpaque(at);
      if (present !== undefined) continue;
      makeNode(hostIn(this.#root, name), { type: "char", device: { major: 0, minor: 0 } }, 0);
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
    this.#forgetFolders();
    this.#forgetBelow(at);
    this.#folderTimes.delete(at);
    rmSync(joinedHost(this.#rootHost, at), { recursive: true });
  }

  #forgetBelow(folder: BytePath): void {
    for (const name of readdirSync(joinedHost(this.#rootHost, folder), { encoding: "latin1" })) {
      const path = joinBytePath(folder, bytePathOfLatin1(name));
      if (this.#inodes.get(path)?.kind === "dir") this.#forgetBelow(path);
      this.#inodes.delete(path);
      this.#folderTimes.delete(path);
    }
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

const capabilityXattr = "security.capability";
const zeros = Buffer.alloc(1 << 16);
const emptyDigest = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" as string as Digest;

/** Without `.`, empty components and a leading slash. @throws {TsbuildError} `ARCHIVE_INVALID` */
function cleanName(name: BytePath): BytePath {
  if (name.length > maxPathBytes)
    throw archiveInvalid(`a name of ${name.length} bytes is too long: ${printable(name).slice(0, 60)}…`);
  if (name.includes("\0")) throw archiveInvalid("a name holds a NUL");
  const parts: string[] = [];
  for (const part of name.split("/")) {
    if (part === "" || part === ".") continue;
    if (part === "..") throw archiveInvalid(`the archive holds a name with ..: ${printable(name)}`);
    if (part.length > maxNameBytes)
      throw archiveInvalid(`a component of a name is too long: ${printable(name).slice(0, 60)}…`);
    parts.push(part);
  }
  return bytePathOfLatin1(parts.join("/"));
}

function printable(path: BytePath): string {
  return textOfBytePath(path).replace(/[\x00-\x1f\x7f]/g, "?");
}

function badParent(path: BytePath, result: number): Error {
  return archiveInvalid(
    `the archive puts something below ${printable(path)}, which is no directory of it (${errnoName(result)})`,
  );
}

function hostIn(folder: Folder, name: string): string | Buffer {
  return pathBelowFd(folder.fd, fsPath(bytePathOfLatin1(name)));
}

function joinedHost(root: string, path: BytePath): string | Buffer {
  return fsPath(joinBytePath(bytePath(root), path));
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

function setFileTime(fd: number, mtimeNs: bigint, path: BytePath, root: string): void {
  // Node takes a time before 1970 for "now".
  if (mtimeNs >= 0n && mtimeNs % 1_000_000_000n === 0n) {
    const seconds = Number(mtimeNs / 1_000_000_000n);
    futimesSync(fd, seconds, seconds);
  } else setMtime(joinedHost(root, path), mtimeNs);
}

function digestOfFile(host: string | Buffer): Digest {
  const hash = createHash("sha256");
  hash.update(readFileSync(host));
  return `sha256:${hash.digest("hex")}` as string as Digest;
}

/** Depth first, names by bytes: a slash sorts before all else. */
function sortKey(path: string): string {
  return path.replaceAll("/", "\0");
}

function sortedEntries(inodes: ReadonlyMap<BytePath, Inode>): readonly LayerEntry[] {
  const paths = [...inodes.keys()].map((path) => ({ path, key: sortKey(path) }));
  paths.sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0));
  const first = new Map<Inode, BytePath>();
  const entries: LayerEntry[] = [];
  for (const { path } of paths) {
    const inode = inodes.get(path);
    if (inode !== undefined) entries.push(...entriesOf(path, inode, first));
  }
  return entries;
}

function entriesOf(path: BytePath, inode: Inode, first: Map<Inode, BytePath>): readonly LayerEntry[] {
  switch (inode.kind) {
    case "whiteout":
      return [{ type: "whiteout", path, mode: 0, uid: 0, gid: 0, mtime: 0 }];
    case "file": {
      const target = first.get(inode);
      if (target !== undefined) return [{ type: "hardlink", path, ...inode.attributes, target }];
      first.set(inode, path);
      const { size, digest, capability } = inode;
      return [
        { type: "file", path, ...inode.attributes, size, digest, ...(capability !== undefined && { capability }) },
      ];
    }
    case "dir": {
      const entry: LayerEntry = { type: "dir", path, ...inode.attributes };
      return inode.opaque ? [entry, { type: "opaque", path, mode: 0, uid: 0, gid: 0, mtime: 0 }] : [entry];
    }
    case "symlink":
      return [{ type: "symlink", path, ...inode.attributes, target: inode.target }];
    case "fifo":
      return [{ type: "fifo", path, ...inode.attributes }];
    default:
      return [{ type: inode.kind, path, ...inode.attributes, major: inode.major, minor: inode.minor }];
  }
}
