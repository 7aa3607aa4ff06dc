/**
 * The merged tree of a chain as files: into a folder of the caller's, or as the entries of a tar. Nothing is mounted, and
 * no symlink, of the image or in the folder, leads out. Source: BuildKit, exporter/local and exporter/tar.
 */
import { createHash } from "node:crypto";
import {
  type BigIntStats,
  chmodSync,
  closeSync,
  constants,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readlinkSync,
  readSync,
  renameSync,
  rmSync,
  symlinkSync,
} from "node:fs";
import { dirname } from "node:path";
import {
  type BytePath,
  bytePath,
  bytePathOfLatin1,
  fsPath,
  joinBytePath,
  textOfBytePath,
} from "../kernel/byte-path.ts";
import { copyFileData, deviceNumber, makeNode, setMtime } from "../kernel/files.ts";
import { getXattr } from "../kernel/xattr.ts";
import { type Digest, sha256 } from "../oci/digest.ts";
import type { LayerEntry } from "../store/layer-entry.ts";
import { type Found, layeredView } from "../store/layered-view.ts";
import { paddingOf, tarHeader, trailerBytes } from "../store/tar-headers.ts";
import { exportFailed } from "./errors.ts";

export interface ExportedTree {
  /** Bottom first. */
  readonly trees: readonly string[];
  /** Every time is this one; undefined: each its own. Seconds. */
  readonly mtime: number | undefined;
  readonly signal: AbortSignal;
}

interface Entry {
  /** Relative, "" for the root. */
  readonly path: BytePath;
  readonly found: Found;
  /** An earlier path that is the same file. */
  readonly linkTo: BytePath | undefined;
}

/** Path and digest of every file, sorted: what statements about exported files are about. */
export function fileDigests(tree: ExportedTree): readonly { readonly name: string; readonly digest: Digest }[] {
  const digests: { readonly name: string; readonly digest: Digest }[] = [];
  for (const { path, found } of entriesOf(tree)) {
    if (found.type !== "file") continue;
    const hash = createHash("sha256");
    const fd = openSync(found.hostPath, constants.O_RDONLY | constants.O_NOFOLLOW);
    try {
      const piece = Buffer.allocUnsafe(pieceBytes);
      for (let count = readSync(fd, piece); count > 0; count = readSync(fd, piece))
        hash.update(piece.subarray(0, count));
    } finally {
      closeSync(fd);
    }
    digests.push({ name: textOfBytePath(path), digest: `sha256:${hash.digest("hex")}` as string as Digest });
  }
  return digests;
}

/** Depth first, names sorted as bytes, folders before what is in them; without sockets. The root comes first. */
function* entriesOf({ trees, signal }: ExportedTree): Generator<Entry> {
  const view = layeredView(trees);
  const linked = new Map<string, BytePath>();
  const root = view.lookup(bytePathOfLatin1(""));
  if (root === undefined) return;
  const visit = function* (found: Found, path: BytePath): Generator<Entry> {
    signal.throwIfAborted();
    if (found.type === "socket") return;
    let linkTo: BytePath | undefined;
    if (found.type === "file" && found.stat.nlink > 1n) {
      // Layers share unchanged files: only names within one layer are links of each other.
      const tree = trees.find((each) => Buffer.from(found.hostPath).indexOf(`${each}/`) === 0);
      const key = `${tree} ${found.stat.ino}`;
      linkTo = linked.get(key);
      if (linkTo === undefined) linked.set(key, path);
    }
    yield { path, found, linkTo };
    if (found.type !== "dir") return;
    for (const child of view.readdir(found)) {
      const name = child.path.slice(child.path.lastIndexOf("/") + 1) as BytePath;
      yield* visit(child, path === "" ? name : joinBytePath(path, name));
    }
  };
  yield* visit(root, bytePathOfLatin1(""));
}

// A folder -------------------------------------------------------------------------------------------------------

export interface FolderExport extends ExportedTree {
  /** Absolute; made if it is not there. */
  readonly folder: string;
  /** What is there and not in the tree goes. */
  readonly removesOthers: boolean;
}

/**
 * Files belong to the caller and have the image's modes and times. What is there under the same name is replaced, folders
 * are merged.
 * @throws {TsbuildError} `NO_SPACE`, `PERMISSION_DENIED`, `READ_ONLY`, `INVALID_ARGUMENT`
 */
export function exportToFolder(options: FolderExport): void {
  const { folder, mtime, removesOthers } = options;
  const times: (readonly [BytePath, bigint])[] = [];
  const names = new Map<BytePath, Set<string>>();
  const root = bytePath(folder);
  try {
    makeFolders(folder);
    for (const { path, found, linkTo } of entriesOf(options)) {
      const to = path === "" ? root : joinBytePath(root, path);
      const time = mtime === undefined ? found.stat.mtimeNs : BigInt(mtime) * 1_000_000_000n;
      if (path !== "") {
        const parent = path.includes("/") ? (path.slice(0, path.lastIndexOf("/")) as BytePath) : ("" as BytePath);
        names.get(parent)?.add(path.slice(path.lastIndexOf("/") + 1));
      }
      if (found.type === "dir") {
        names.set(path, new Set());
        if (path !== "") makeFolder(to, found.stat);
        times.push([to, time]);
        continue;
      }
      if (linkTo !== undefined) replaceBy(to, (staged) => linkSync(fsPath(joinBytePath(root, linkTo)), fsPath(staged)));
      else writeEntry(to, found);
      setMtime(fsPath(to), time);
    }
    if (removesOthers)
      for (const [path, kept] of names) removeOthers(path === "" ? root : joinBytePath(root, path), kept);
    // Innermost first: writing into a folder changes its time.
    for (const [path, time] of times.toReversed()) setMtime(fsPath(path), time);
  } catch (error) {
    throw exportFailed(folder, error);
  }
}

/** One by one: Node's own recursive call never ends where the kernel lets nobody make a folder, as in /proc. */
function makeFolders(folder: string): void {
  if (lstatSync(folder, { throwIfNoEntry: false }) !== undefined) return;
  makeFolders(dirname(folder));
  mkdirSync(folder);
}

function makeFolder(to: BytePath, { mode }: BigIntStats): void {
  const there = lstatSync(fsPath(to), { throwIfNoEntry: false });
  if (there !== undefined && !there.isDirectory()) rmSync(fsPath(to), { force: true });
  if (there === undefined || !there.isDirectory()) mkdirSync(fsPath(to));
  chmodSync(fsPath(to), Number(mode & 0o7777n));
}

function writeEntry(to: BytePath, { type, stat, hostPath }: Found): void {
  const mode = Number(stat.mode & 0o7777n);
  replaceBy(to, (staged) => {
    switch (type) {
      case "file": {
        const from = openSync(hostPath, constants.O_RDONLY | constants.O_NOFOLLOW);
        try {
          const fd = openSync(fsPath(staged), "wx", 0o600);
          try {
            copyFileData(from, fd);
          } finally {
            closeSync(fd);
          }
        } finally {
          closeSync(from);
        }
        break;
      }
      case "symlink":
        symlinkSync(readlinkSync(hostPath, { encoding: "buffer" }), fsPath(staged));
        return;
      case "fifo":
        makeNode(fsPath(staged), { type }, mode);
        break;
      case "char":
      case "block":
        makeNode(fsPath(staged), { type, device: deviceNumber(stat.rdev) }, mode);
        break;
      default:
        throw new Error(`a ${type} has no content`);
    }
    chmodSync(fsPath(staged), mode);
  });
}

/** Under its name when it is whole; a folder in its place goes first. */
function replaceBy(to: BytePath, write: (staged: BytePath) => void): void {
  const staged = `${to}.${process.pid}.tsbuild` as BytePath;
  try {
    write(staged);
    if (lstatSync(fsPath(to), { throwIfNoEntry: false })?.isDirectory() === true)
      rmSync(fsPath(to), { recursive: true, force: true });
    renameSync(fsPath(staged), fsPath(to));
    // Two names of one file: rename(2) does nothing and leaves both.
    rmSync(fsPath(staged), { force: true });
  } catch (error) {
    rmSync(fsPath(staged), { force: true });
    throw error;
  }
}

function removeOthers(folder: BytePath, kept: ReadonlySet<string>): void {
  for (const name of readdirSync(fsPath(folder), { encoding: "buffer" })) {
    const text = name.toString("latin1");
    if (!kept.has(text)) rmSync(fsPath(joinBytePath(folder, bytePathOfLatin1(text))), { recursive: true, force: true });
  }
}

// A tar ----------------------------------------------------------------------------------------------------------

/** Waits while the other side does not read. The bytes may be used again when it returns. */
export type WriteBytes = (bytes: Buffer) => Promise<void> | void;

const pieceBytes = 1 << 20;

export interface TarExport extends ExportedTree {
  /** A folder that everything lies in: `linux_arm64`. */
  readonly prefix: string | undefined;
}

/** The entries, with owners; `endTar` writes what ends it, so that several trees may go into one. */
export async function exportToTar(options: TarExport, write: WriteBytes): Promise<void> {
  const prefix = options.prefix === undefined ? undefined : bytePath(options.prefix);
  const inside = (path: BytePath): BytePath =>
    prefix === undefined ? path : path === "" ? prefix : joinBytePath(prefix, path);
  for (const { path, found, linkTo } of entriesOf(options)) {
    if (inside(path) === "") continue;
    const entry = tarEntry(inside(path), found, linkTo === undefined ? undefined : inside(linkTo), options.mtime);
    await write(tarHeader(entry, found.type === "file" ? capabilityOf(found) : undefined));
    if (entry.type !== "file") continue;
    await writeContent(found, entry.size, write);
    await write(Buffer.alloc(paddingOf(entry.size)));
  }
}

/** A further file, of 0:0. */
export async function addToTar(path: string, content: Buffer, mtime: number, write: WriteBytes): Promise<void> {
  const size = content.length;
  const entry = {
    path: bytePath(path),
    mode: 0o644,
    uid: 0,
    gid: 0,
    mtime,
    type: "file",
    size,
    digest: noDigest,
  } as const;
  await write(tarHeader(entry, undefined));
  await write(content);
  await write(Buffer.alloc(paddingOf(size)));
}

export async function endTar(write: WriteBytes): Promise<void> {
  await write(Buffer.alloc(trailerBytes));
}

function capabilityOf({ hostPath }: Found): string | undefined {
  return getXattr(hostPath, "security.capability")?.toString("base64");
}

function tarEntry(
  path: BytePath,
  { stat, type, hostPath }: Found,
  linkTo: BytePath | undefined,
  mtime: number | undefined,
): LayerEntry {
  const base = {
    path,
    mode: Number(stat.mode & 0o7777n),
    uid: Number(stat.uid),
    gid: Number(stat.gid),
    mtime: mtime ?? Number(stat.mtimeNs / 1_000_000_000n),
  };
  if (linkTo !== undefined) return { ...base, type: "hardlink", target: linkTo };
  switch (type) {
    case "file":
      return { ...base, type, size: Number(stat.size), digest: noDigest };
    case "symlink":
      return {
        ...base,
        type,
        target: bytePathOfLatin1(readlinkSync(hostPath, { encoding: "buffer" }).toString("latin1")),
      };
    case "char":
    case "block":
      return { ...base, type, ...deviceNumber(stat.rdev) };
    case "dir":
    case "fifo":
      return { ...base, type };
    default:
      throw new Error(`a ${type} is in no tar`);
  }
}

/** Headers do not hold it. */
const noDigest = sha256("");

async function writeContent({ hostPath }: Found, size: number, write: WriteBytes): Promise<void> {
  const fd = openSync(hostPath, constants.O_RDONLY | constants.O_NOFOLLOW);
  try {
    for (let left = size; left > 0; ) {
      const piece = Buffer.allocUnsafe(Math.min(pieceBytes, left));
      const count = readSync(fd, piece, 0, piece.length, null);
      if (count === 0) throw new Error("a file of a layer is shorter than it was");
      await write(piece.subarray(0, count));
      left -= count;
    }
  } finally {
    closeSync(fd);
  }
}
