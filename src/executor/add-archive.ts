/**
 * ADD of local archives: what is a tar by its content, whatever its name, is unpacked into the destination; all else is
 * copied. An archive comes from anywhere, so the destination is the root of all its names and of the symbolic links that
 * they go through. Source: moby's pkg/archive `Untar` and pkg/chrootarchive.
 */
import {
  chmodSync,
  closeSync,
  constants,
  createReadStream,
  fchmodSync,
  fchownSync,
  ftruncateSync,
  lchownSync,
  linkSync,
  lstatSync,
  openSync,
  readSync,
  symlinkSync,
  writeSync,
} from "node:fs";
import { posix } from "node:path";
import type { Readable } from "node:stream";
import { TsbuildError } from "../errors.ts";
import {
  type BytePath,
  bytePath,
  bytePathOfLatin1,
  fsPath,
  joinBytePath,
  textOfBytePath,
} from "../kernel/byte-path.ts";
import { makeNode, type NodeKind, setMtime } from "../kernel/files.ts";
import { check, libc } from "../kernel/libc.ts";
import { decompressor, sniffCompression } from "../oci/decompress.ts";
import { opaqueMarker, whiteoutPrefix } from "../oci/whiteout.ts";
import type { SelectedSource } from "../planner/selection.ts";
import { type TarHandler, type TarHeader, TarReader } from "../store/tar-reader.ts";
import { type CopyTask, copySource, parentMetadata } from "./copy-tree.ts";
import { archiveBroken, entryInvalid, notAFolder } from "./errors.ts";
import { parentOf, UpperTree } from "./upper-tree.ts";

/**
 * `markers`: what names that begin with `.wh.` do: act on the layers below, or nothing, where the tree becomes no layer.
 * @throws {TsbuildError} `COPY_FAILED`, `ARCHIVE_INVALID`, `NO_SPACE`
 */
export async function addTree(task: CopyTask, signal: AbortSignal, markers: Markers = "act"): Promise<void> {
  const tree = new UpperTree(task.upperdir, task.lowerdirs);
  for (const source of task.sources) {
    const [entry] = source.entries;
    const isPlain = source.verbatim === true || entry.hostPath === "";
    const mayBeArchive = entry.type === "file" && !isPlain && entry.size > 0;
    if (mayBeArchive && (await holdsTar(entry.hostPath)))
      await unpack(new Unpacker(tree, task, markers), source, signal);
    else for (const _ of copySource(tree, task, source)) signal.throwIfAborted();
  }
  tree.finish();
}

type Markers = "act" | "files";

/** Enough to know a compression by. */
const startBytes = 512;

/** Is the content a tar, plain or compressed, whose first entry can be read? */
export async function holdsTar(path: string | Buffer): Promise<boolean> {
  const compression = sniffCompression(readStart(path));
  const file = createReadStream(path);
  let plain: Readable = file;
  if (compression !== "none") {
    const stage = decompressor(compression);
    file.on("error", (error) => stage.destroy(error));
    plain = file.pipe(stage);
  }
  const first = new FirstEntry();
  const reader = new TarReader(first);
  try {
    for await (const chunk of plain as AsyncIterable<Buffer>) {
      reader.push(chunk);
      if (first.isThere) return true;
    }
    return false;
  } catch (error) {
    // Compressed by its first bytes, and then not; a header by its place, and then none: an ordinary file.
    if (error instanceof TsbuildError) return first.isThere;
    throw error;
  } finally {
    file.destroy();
    plain.destroy();
  }
}

/** Whether an entry came; what is in it does not matter. */
class FirstEntry implements TarHandler {
  isThere = false;
  readonly begin = (): void => this.#come();
  readonly skipped = (): void => this.#come();
  readonly global = (): void => this.#come();
  readonly data = nothing;
  readonly hole = nothing;
  readonly end = nothing;

  #come(): void {
    this.isThere = true;
  }
}

const nothing = (): void => undefined;

function readStart(path: string | Buffer): Buffer {
  const fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    const block = Buffer.alloc(startBytes);
    return block.subarray(0, readSync(fd, block, 0, startBytes, 0));
  } finally {
    closeSync(fd);
  }
}

async function unpack(unpacker: Unpacker, source: SelectedSource, signal: AbortSignal): Promise<void> {
  const [{ hostPath }] = source.entries;
  const name = textOfBytePath(source.basename);
  try {
    await readTar(hostPath, new TarReader(unpacker), signal);
    unpacker.finish();
  } catch (error) {
    if (error instanceof TsbuildError && error.code === "ARCHIVE_INVALID") throw archiveBroken(name, error.message);
    throw error;
  } finally {
    unpacker.close();
  }
}

/** A whole tar, plain or compressed. @throws {TsbuildError} `ARCHIVE_INVALID` */
export async function readTar(path: string | Buffer, reader: TarReader, signal: AbortSignal): Promise<void> {
  const compression = sniffCompression(readStart(path));
  const file = createReadStream(path, { highWaterMark: 1 << 20 });
  let plain: Readable = file;
  if (compression !== "none") {
    const stage = decompressor(compression);
    file.on("error", (error) => stage.destroy(error));
    plain = file.pipe(stage);
  }
  try {
    for await (const chunk of plain as AsyncIterable<Buffer>) {
      signal.throwIfAborted();
      reader.push(chunk);
    }
    reader.finish({ isWhole: true });
  } finally {
    file.destroy();
    plain.destroy();
  }
}

/** Writes entry after entry. The order on one object: content, owner, mode, capabilities, time. */
class Unpacker implements TarHandler {
  readonly #tree: UpperTree;
  readonly #task: CopyTask;
  readonly #markers: Markers;
  readonly #top: BytePath;
  #open: { readonly fd: number; readonly header: TarHeader; readonly place: BytePath } | undefined;
  #position = 0;
  readonly #removed = new Set<BytePath>();
  readonly #emptied = new Set<BytePath>();

  constructor(tree: UpperTree, task: CopyTask, markers: Markers) {
    this.#tree = tree;
    this.#task = task;
    this.#markers = markers;
    this.#top = tree.resolve(bytePath(task.destination)).path;
    // The destination is the instruction's, whose owner it gets.
    tree.makeFolders(this.#top, parentMetadata({ owner: task.owner, chmod: undefined }));
  }

  begin(header: TarHeader): void {
    const inside = cleaned(header.name);
    if (inside === "") return;
    const parent = this.#parent(parentOf(inside));
    const name = bytePathOfLatin1(inside.slice(inside.lastIndexOf("/") + 1));
    const place = joinBytePath(parent, name);
    const isMarker = this.#markers === "act" && name.startsWith(whiteoutPrefix);
    if (isMarker && name === opaqueMarker) this.#emptied.add(parent);
    else if (isMarker) this.#removed.add(joinBytePath(parent, unmarked(name)));
    else if (header.type === "dir") this.#folder(place, header);
    else this.#leaf(place, header);
  }

  /** A folder of the archive, by its path below the destination, in the upperdir; missing ones are made. */
  #parent(path: BytePath): BytePath {
    const found = this.#tree.resolve(path, this.#top);
    if (found.node?.type === "dir") {
      this.#tree.makeFolders(found.path, impliedFolder);
      return found.path;
    }
    const place = joinBytePath(this.#parent(parentOf(path)), bytePathOfLatin1(path.slice(path.lastIndexOf("/") + 1)));
    // A file, or a link that leads nowhere.
    if (this.#tree.find(place) !== undefined) throw notAFolder(place);
    this.#tree.remove(place);
    this.#tree.makeFolders(place, impliedFolder);
    return place;
  }

  data(chunk: Buffer): void {
    if (this.#open === undefined) return;
    for (let offset = 0; offset < chunk.length; ) {
      const written = writeSync(this.#open.fd, chunk, offset, chunk.length - offset, this.#position);
      offset += written;
      this.#position += written;
    }
  }

  hole(length: number): void {
    this.#position += length;
  }

  end(): void {
    if (this.#open === undefined) return;
    const { fd, header, place } = this.#open;
    ftruncateSync(fd, header.size);
    const { uid, gid } = this.#owner(header);
    fchownSync(fd, uid, gid);
    fchmodSync(fd, header.mode);
    const capability = header.xattrs.get("security.capability");
    if (capability !== undefined)
      check(libc("fsetxattr", fd, "security.capability", capability, capability.length, 0), "setting capabilities");
    this.close();
    setMtime(this.#tree.hostPath(place), header.mtimeNs);
  }

  /** @throws {TsbuildError} `ARCHIVE_INVALID` but for a volume label, which is about the archive and no file of it */
  skipped(name: BytePath, typeFlag: string): void {
    if (typeFlag === "V") return;
    const kind = JSON.stringify(typeFlag);
    throw entryInvalid(`${textOfBytePath(name)} is an entry of the unknown kind ${kind}`);
  }

  /**
   * All entries are in. A file named `.wh.NAME` acts in the image's layer as the removal of NAME, and one named
   * `.wh..wh..opq` as that of all that its folder held: of what the layers below have there.
   */
  finish(): void {
    for (const place of this.#removed) this.#tree.hide(place);
    for (const folder of this.#emptied) this.#tree.hideContents(folder);
  }

  close(): void {
    if (this.#open !== undefined) closeSync(this.#open.fd);
    this.#open = undefined;
  }

  #folder(place: BytePath, header: TarHeader): void {
    const tree = this.#tree;
    const metadata = { mode: header.mode, ...this.#owner(header) };
    if (tree.find(place)?.type === "dir") {
      tree.makeFolders(place, impliedFolder);
      tree.setFolderMetadata(place, metadata);
    } else {
      tree.remove(place);
      tree.makeFolder(place, metadata);
    }
    tree.setFolderTime(place, header.mtimeNs);
  }

  #leaf(place: BytePath, header: TarHeader): void {
    const tree = this.#tree;
    const linked = header.type === "hardlink" ? this.#linkTarget(header, place) : undefined;
    tree.remove(place);
    tree.touch(parentOf(place));
    const hostPath = tree.hostPath(place);
    const { uid, gid } = this.#owner(header);
    switch (header.type) {
      case "file":
        this.#position = 0;
        this.#open = { fd: openSync(hostPath, "wx", 0o600), header, place };
        return;
      case "hardlink": {
        if (linked === undefined) return;
        linkSync(tree.hostPath(linked), hostPath);
        // As moby has it: owner, mode and time of this entry are the file's from here on. tar repeats those of the file.
        lchownSync(hostPath, uid, gid);
        if (lstatSync(hostPath).isSymbolicLink()) return;
        chmodSync(hostPath, header.mode);
        break;
      }
      case "symlink":
        symlinkSync(fsPath(header.linkName), hostPath);
        lchownSync(hostPath, uid, gid);
        break;
      default:
        makeNode(hostPath, nodeKind(header), 0o600);
        lchownSync(hostPath, uid, gid);
        chmodSync(hostPath, header.mode);
    }
    setMtime(hostPath, header.mtimeNs);
  }

  /** Where the other name of a hard link is, in the upperdir: a file of the layers below is copied up first. */
  #linkTarget(header: TarHeader, own: BytePath): BytePath {
    const tree = this.#tree;
    const wanted = cleaned(header.linkName);
    const folder = tree.resolve(parentOf(wanted), this.#top);
    const place = joinBytePath(folder.path, bytePathOfLatin1(posix.basename(wanted)));
    const node = folder.node?.type === "dir" ? tree.find(place) : undefined;
    // What stood in the entry's own place goes before the link is made.
    if (node === undefined || node.type === "dir" || place === own || own.startsWith(`${place}/`))
      throw entryInvalid(
        `${textOfBytePath(header.name)} is a hard link to ${textOfBytePath(header.linkName)}, which is not there`,
      );
    if (!node.inUpper) tree.copyUpFile(place, node, impliedFolder);
    return place;
  }

  #owner(header: TarHeader): { readonly uid: number; readonly gid: number } {
    const { owner } = this.#task;
    if (owner === undefined) return { uid: header.uid, gid: header.gid };
    return { uid: owner.uid < 0 ? header.uid : owner.uid, gid: owner.gid < 0 ? header.gid : owner.gid };
  }
}

/** A folder that no entry describes is root's, whatever the owner of the instruction. */
const impliedFolder = { mode: 0o755, owner: { uid: 0, gid: 0 } } as const;

/** Absolute names and `..` stay below the destination; "" is the destination itself. */
function cleaned(name: BytePath): BytePath {
  return bytePathOfLatin1(posix.resolve("/", name).slice(1));
}

function unmarked(name: BytePath): BytePath {
  return bytePathOfLatin1(name.slice(whiteoutPrefix.length));
}

function nodeKind({ type, name, major, minor }: TarHeader): NodeKind {
  if (type !== "char" && type !== "block") return { type: "fifo" };
  if (type === "char" && major === 0 && minor === 0)
    throw entryInvalid(`${textOfBytePath(name)} is a device 0:0, which would hide files`);
  return { type, device: { major, minor } };
}
