/**
 * A file or a tree as the entries of a tar, in an order in which they can be unpacked. Everything is reached through an
 * open folder and a single name that is not followed: a tree that changes meanwhile leads nowhere else.
 */
import {
  type BigIntStats,
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  openSync,
  readdirSync,
  readlinkSync,
  readSync,
} from "node:fs";
import { errnoOf } from "../errors.ts";
import { type BytePath, bytePathOfLatin1, joinBytePath } from "../kernel/byte-path.ts";
import { deviceNumber, fileTypeOf } from "../kernel/files.ts";
import { libc } from "../kernel/libc.ts";
import { pathBelowFd } from "../kernel/resolve-in-root.ts";
import type { TarHandler, TarHeader, TarType } from "../store/tar-reader.ts";
import { isKernelFile } from "./kernel-files.ts";

const chunkBytes = 256 * 1024;
const noXattrs: ReadonlyMap<string, Buffer> = new Map();

/** What lies at a path, open: its name in the folder `parent`, or a folder by itself. */
export type WalkStart =
  | { readonly kind: "named"; readonly parent: number; readonly name: Buffer }
  /** A folder of which only the content, or itself under `as`, is meant. */
  | { readonly kind: "folder"; readonly fd: number }
  /** A regular file, open for reading. */
  | { readonly kind: "file"; readonly fd: number };

/** `deviceFolder`: the container's /dev, when the runtime has mounted one there. */
export interface WalkOptions {
  readonly deviceFolder?: { readonly dev: bigint; readonly ino: bigint } | undefined;
}

/**
 * Gives the thing and all below it to `to`; the topmost is called `as`, and `""` leaves a folder itself out. Of what the
 * kernel mounted there (/proc, /sys, /dev) only the folder is given, as docker does. Yields now and then, so that a
 * caller can wait for whoever takes the data.
 */
export function* walkTree(start: WalkStart, as: BytePath, to: TarHandler, options: WalkOptions = {}): Generator<void> {
  const walk: Walk = { to, links: new Map(), ...options };
  switch (start.kind) {
    case "folder":
      if (as !== "") emit(walk, headerOf(as, "dir", fstatSync(start.fd, { bigint: true })));
      yield* walkFolder(walk, start.fd, as);
      break;
    case "file":
      yield* walkOpenFile(walk, start.fd, as);
      break;
    case "named":
      yield* walkName(walk, start.parent, start.name, as);
      break;
  }
}

interface Walk extends WalkOptions {
  readonly to: TarHandler;
  /** First name of each inode with several. */
  readonly links: Map<string, BytePath>;
}

function* walkFolder(walk: Walk, fd: number, path: BytePath): Generator<void> {
  if (isClosed(walk, fd)) return;
  const names = readdirSync(`/proc/self/fd/${fd}`, { encoding: "latin1" }).sort();
  for (const name of names) {
    yield* walkName(walk, fd, Buffer.from(name, "latin1"), joinBytePath(path, bytePathOfLatin1(name)));
  }
}

function isClosed({ deviceFolder }: Walk, fd: number): boolean {
  if (isKernelFile(fd)) return true;
  if (deviceFolder === undefined) return false;
  const { dev, ino } = fstatSync(fd, { bigint: true });
  return dev === deviceFolder.dev && ino === deviceFolder.ino;
}

function* walkName(walk: Walk, parent: number, name: Buffer, path: BytePath): Generator<void> {
  const host = pathBelowFd(parent, name);
  const stat = lstatSync(host, { bigint: true, throwIfNoEntry: false });
  // It went away between the listing and now.
  if (stat === undefined) return;
  const type = typeOf(stat);
  if (type === undefined) return;
  if (type !== "dir" && stat.nlink > 1n) {
    const inode = `${stat.dev}:${stat.ino}`;
    const first = walk.links.get(inode);
    if (first !== undefined) {
      emit(walk, { ...headerOf(path, "hardlink", stat), linkName: first, size: 0 });
      return;
    }
    walk.links.set(inode, path);
  }
  switch (type) {
    case "dir": {
      const fd = openSync(host, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW);
      try {
        emit(walk, headerOf(path, "dir", stat));
        yield* walkFolder(walk, fd, path);
      } finally {
        closeSync(fd);
      }
      break;
    }
    case "file":
      yield* walkFile(walk, host, path);
      break;
    case "symlink":
      emit(walk, {
        ...headerOf(path, type, stat),
        linkName: bytePathOfLatin1(readlinkSync(host, { encoding: "latin1" })),
      });
      break;
    default:
      emit(walk, headerOf(path, type, stat));
  }
  yield;
}

/** O_NONBLOCK: a FIFO that took the file's place must not hold us up. */
function* walkFile(walk: Walk, host: string | Buffer, path: BytePath): Generator<void> {
  let fd: number;
  try {
    fd = openSync(host, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    if (errnoOf(error) === "ENOENT" || errnoOf(error) === "ELOOP") return;
    throw error;
  }
  try {
    yield* walkOpenFile(walk, fd, path);
  } finally {
    closeSync(fd);
  }
}

function* walkOpenFile(walk: Walk, fd: number, path: BytePath): Generator<void> {
  const stat = fstatSync(fd, { bigint: true });
  if (!stat.isFile()) return;
  const capability = capabilityOf(fd);
  const xattrs = capability === undefined ? noXattrs : new Map([["security.capability", capability]]);
  walk.to.begin({ ...headerOf(path, "file", stat), xattrs });
  const buffer = Buffer.allocUnsafe(chunkBytes);
  let left = Number(stat.size);
  while (left > 0) {
    const count = readSync(fd, buffer, 0, Math.min(left, chunkBytes), null);
    if (count === 0) break;
    walk.to.data(buffer.subarray(0, count));
    left -= count;
    yield;
  }
  // It became shorter while we read: as long as it said it was.
  if (left > 0) walk.to.hole(left);
  walk.to.end();
}

/** Undefined where there is none. */
function capabilityOf(fd: number): Buffer | undefined {
  const value = Buffer.alloc(64);
  const length = libc("fgetxattr", fd, "security.capability", value, value.length);
  return length > 0 ? value.subarray(0, length) : undefined;
}

function emit({ to }: Walk, header: TarHeader): void {
  to.begin(header);
  to.end();
}

function headerOf(name: BytePath, type: TarType, stat: BigIntStats): TarHeader {
  const device = type === "char" || type === "block" ? deviceNumber(stat.rdev) : { major: 0, minor: 0 };
  return {
    type,
    name,
    linkName: bytePathOfLatin1(""),
    mode: Number(stat.mode) & 0o7777,
    uid: Number(stat.uid),
    gid: Number(stat.gid),
    size: type === "file" ? Number(stat.size) : 0,
    mtimeNs: stat.mtimeNs,
    ...device,
    xattrs: noXattrs,
  };
}

/** Undefined for a socket: it means nothing without its process. */
function typeOf(stat: BigIntStats): TarType | undefined {
  const type = fileTypeOf(stat);
  return type === "socket" ? undefined : type;
}
