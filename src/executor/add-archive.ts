/**
 * ADD of local archives: what is a tar by its content, whatever its name, is unpacked into the destination; all else is
 * copied. An archive comes from anywhere, so each name is taken as one below the destination, and each parent is resolved
 * inside the image's root. Source: moby's pkg/archive `Untar`.
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
import { whiteoutPrefix } from "../oci/whiteout.ts";
import type { SelectedSource } from "../planner/selection.ts";
import { type TarHandler, type TarHeader, TarReader } from "../store/tar-reader.ts";
import { type CopyTask, copySource } from "./copy-tree.ts";
import { archiveBroken } from "./errors.ts";
import { parentOf, UpperTree } from "./upper-tree.ts";

/** @throws {TsbuildError} `COPY_FAILED`, `ARCHIVE_INVALID`, `NO_SPACE` */
export async function addTree(task: CopyTask, signal: AbortSignal): Promise<void> {
  const tree = new UpperTree(task.upperdir, task.lowerdirs);
  for (const source of task.sources) {
    const [entry] = source.entries;
    const isPlain = source.verbatim === true || entry.hostPath === "";
    const mayBeArchive = entry.type === "file" && !isPlain && entry.size > 0;
    if (mayBeArchive && (await holdsTar(entry.hostPath))) await unpack(tree, task, source, signal);
    else for (const _ of copySource(tree, task, source)) signal.throwIfAborted();
  }
  tree.finish();
}

const blockBytes = 512;

/** Is the content a tar, plain or compressed, whose first entry can be read? */
export async function holdsTar(path: string | Buffer): Promise<boolean> {
  const start = readStart(path);
  const compression = sniffCompression(start);
  if (compression === "none") return isTarHeader(start);
  const plain = decompressor(compression);
  const compressed = createReadStream(path);
  compressed.on("error", (error) => plain.destroy(error)).pipe(plain);
  try {
    const chunks: Buffer[] = [];
    let length = 0;
    for await (const chunk of plain as AsyncIterable<Buffer>) {
      chunks.push(chunk);
      length += chunk.length;
      if (length >= blockBytes) break;
    }
    return isTarHeader(Buffer.concat(chunks));
  } catch (error) {
    // Compressed by its first bytes, and then not: an ordinary file.
    if (error instanceof TsbuildError) return false;
    throw error;
  } finally {
    compressed.destroy();
    plain.destroy();
  }
}

function readStart(path: string | Buffer): Buffer {
  const fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    const block = Buffer.alloc(blockBytes);
    return block.subarray(0, readSync(fd, block, 0, blockBytes, 0));
  } finally {
    closeSync(fd);
  }
}

/** A header whose checksum fits; a tar that begins with zeros has no entries and counts as none. */
function isTarHeader(start: Buffer): boolean {
  if (start.length < blockBytes) return false;
  let sum = 0;
  for (let i = 0; i < blockBytes; i++) sum += i >= 148 && i < 156 ? 0x20 : (start[i] ?? 0);
  const written = /^\s*([0-7]+)/.exec(start.toString("latin1", 148, 156))?.[1];
  return sum !== 8 * 0x20 && written !== undefined && Number.parseInt(written, 8) === sum;
}

async function unpack(tree: UpperTree, task: CopyTask, source: SelectedSource, signal: AbortSignal): Promise<void> {
  const [{ hostPath }] = source.entries;
  const name = textOfBytePath(source.basename);
  const unpacker = new Unpacker(tree, task, name);
  try {
    await readTar(hostPath, new TarReader(unpacker), signal);
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
  readonly #archive: string;
  readonly #top: BytePath;
  #open: { readonly fd: number; readonly header: TarHeader; readonly place: BytePath } | undefined;
  #position = 0;

  constructor(tree: UpperTree, task: CopyTask, archive: string) {
    this.#tree = tree;
    this.#task = task;
    this.#archive = archive;
    this.#top = tree.resolve(bytePath(task.destination)).path;
    // The destination is the instruction's, whose owner it gets.
    const { uid = 0, gid = 0 } = task.owner ?? {};
    tree.makeFolders(this.#top, { mode: 0o755, uid: Math.max(uid, 0), gid: Math.max(gid, 0) });
  }

  begin(header: TarHeader): void {
    const inside = cleaned(header.name);
    if (inside === "") return;
    const wanted = joinBytePath(this.#top, inside);
    const parent = this.#tree.resolve(parentOf(wanted)).path;
    this.#tree.makeFolders(parent, impliedFolder);
    const name = bytePathOfLatin1(wanted.slice(wanted.lastIndexOf("/") + 1));
    const place = joinBytePath(parent, name);
    if (name.startsWith(whiteoutPrefix)) this.#whiteout(parent, bytePathOfLatin1(name.slice(whiteoutPrefix.length)));
    else if (header.type === "dir") this.#folder(place, header);
    else this.#leaf(place, header);
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

  /** An entry of a kind that nobody unpacks, such as a volume label. */
  skipped(): void {
    this.close();
  }

  close(): void {
    if (this.#open !== undefined) closeSync(this.#open.fd);
    this.#open = undefined;
  }

  #folder(place: BytePath, header: TarHeader): void {
    const tree = this.#tree;
    const metadata = { mode: header.mode, ...this.#owner(header) };
    if (tree.find(place)?.type === "dir") {
      tree.makeFolders(place, metadata);
      tree.setFolderMetadata(place, metadata);
    } else {
      tree.remove(place);
      tree.makeFolder(place, metadata);
    }
    tree.setFolderTime(place, header.mtimeNs);
  }

  #leaf(place: BytePath, header: TarHeader): void {
    const tree = this.#tree;
    // Looked up first: a link may name what stands in its own place.
    const linked = header.type === "hardlink" ? this.#linkTarget(header) : undefined;
    if (linked === place) return;
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
        if (!lstatSync(hostPath).isSymbolicLink()) chmodSync(hostPath, header.mode);
        break;
      }
      case "symlink":
        symlinkSync(fsPath(header.linkName), hostPath);
        lchownSync(hostPath, uid, gid);
        break;
      default:
        makeNode(hostPath, nodeKind(header, this.#archive), 0o600);
        lchownSync(hostPath, uid, gid);
        chmodSync(hostPath, header.mode);
    }
    setMtime(hostPath, header.mtimeNs);
  }

  /** Where the other name of a hard link is, in the upperdir: a file of the layers below is copied up first. */
  #linkTarget(header: TarHeader): BytePath {
    const tree = this.#tree;
    const wanted = joinBytePath(this.#top, cleaned(header.linkName));
    const place = joinBytePath(tree.resolve(parentOf(wanted)).path, bytePathOfLatin1(posix.basename(wanted)));
    const node = tree.find(place);
    if (node === undefined || node.type === "dir")
      throw archiveBroken(
        this.#archive,
        `${textOfBytePath(header.name)} is a hard link to ${textOfBytePath(header.linkName)}, which is not there`,
      );
    if (!node.inUpper) tree.copyUpFile(place, node, impliedFolder);
    return place;
  }

  /** A file named `.wh.NAME` acts in the image's layer as the removal of NAME. */
  #whiteout(parent: BytePath, name: BytePath): void {
    const tree = this.#tree;
    if (name === "" || name.startsWith(whiteoutPrefix)) return;
    const place = joinBytePath(parent, name);
    const node = tree.find(place);
    if (node === undefined || node.inUpper) return;
    makeNode(tree.hostPath(place), { type: "char", device: { major: 0, minor: 0 } }, 0);
    tree.forget(place);
  }

  #owner(header: TarHeader): { readonly uid: number; readonly gid: number } {
    const { owner } = this.#task;
    if (owner === undefined) return { uid: header.uid, gid: header.gid };
    return { uid: owner.uid < 0 ? header.uid : owner.uid, gid: owner.gid < 0 ? header.gid : owner.gid };
  }
}

/** A folder that no entry describes is root's, whatever the owner of the instruction. */
const impliedFolder = { mode: 0o755, uid: 0, gid: 0 } as const;

/** Absolute names and `..` stay below the destination; "" is the destination itself. */
function cleaned(name: BytePath): BytePath {
  return bytePathOfLatin1(posix.resolve("/", name).slice(1));
}

function nodeKind({ type, name, major, minor }: TarHeader, archive: string): NodeKind {
  if (type !== "char" && type !== "block") return { type: "fifo" };
  if (type === "char" && major === 0 && minor === 0)
    throw archiveBroken(archive, `${textOfBytePath(name)} is a device 0:0, which would hide files`);
  return { type, device: { major, minor } };
}
