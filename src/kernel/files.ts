/** What Node's `fs` cannot do to files: nodes, times in nanoseconds, exclusive renames, cheap copies, syncfs. */
import { type BigIntStats, closeSync, constants, fstatSync, futimesSync, openSync, readSync, writeSync } from "node:fs";
import { check, cPath, errno, libc, libcInBackground } from "./libc.ts";

/** Source: fcntl.h. */
export const AT_FDCWD = -100;
const AT_SYMLINK_NOFOLLOW = 0x100;
const UTIME_OMIT = 0x3ffffffen;

/** Source: renameat2(2). */
const RENAME_NOREPLACE = 1;
const RENAME_EXCHANGE = 2;

/** Source: linux/fs.h, `_IOW(0x94, 9, int)`; the same number on x86-64 and arm64. */
const FICLONE = 0x40049409;

export interface DeviceNumber {
  readonly major: number;
  readonly minor: number;
}

/** Source: glibc, makedev(3). */
export function deviceNumber(rdev: bigint): DeviceNumber {
  return {
    major: Number(((rdev >> 8n) & 0xfffn) | ((rdev >> 32n) & 0xffff_f000n)),
    minor: Number((rdev & 0xffn) | ((rdev >> 12n) & 0xffff_ff00n)),
  };
}

export function rdevOf({ major, minor }: DeviceNumber): bigint {
  const [a, i] = [BigInt(major), BigInt(minor)];
  return ((a & 0xfffn) << 8n) | ((a & ~0xfffn) << 32n) | (i & 0xffn) | ((i & ~0xffn) << 12n);
}

export type FileType = "file" | "dir" | "symlink" | "char" | "block" | "fifo" | "socket";

export function fileTypeOf(stat: BigIntStats): FileType {
  if (stat.isFile()) return "file";
  if (stat.isDirectory()) return "dir";
  if (stat.isSymbolicLink()) return "symlink";
  if (stat.isCharacterDevice()) return "char";
  if (stat.isBlockDevice()) return "block";
  return stat.isFIFO() ? "fifo" : "socket";
}

export type NodeKind =
  | { readonly type: "char" | "block"; readonly device: DeviceNumber }
  | { readonly type: "fifo" }
  | { readonly type: "file" };

/** Makes the node; its mode is not changed by the umask afterwards, so set it. @throws {TsbuildError} `SYSCALL_FAILED` */
export function makeNode(path: string | Buffer, kind: NodeKind, mode: number): void {
  const [type, device] =
    kind.type === "char"
      ? [constants.S_IFCHR, rdevOf(kind.device)]
      : kind.type === "block"
        ? [constants.S_IFBLK, rdevOf(kind.device)]
        : [kind.type === "fifo" ? constants.S_IFIFO : constants.S_IFREG, 0n];
  check(libc("mknodat", AT_FDCWD, cPath(path), type | mode, device), `making the node ${printable(path)}`);
}

/** Sets the modification time of the name itself and leaves the access time. @throws {TsbuildError} `SYSCALL_FAILED` */
export function setMtime(path: string | Buffer, mtimeNs: bigint): void {
  const times = Buffer.alloc(32);
  times.writeBigInt64LE(UTIME_OMIT, 8);
  // Seconds are rounded down, so that the nanoseconds of a time before 1970 are positive too.
  const nanoseconds = ((mtimeNs % 1_000_000_000n) + 1_000_000_000n) % 1_000_000_000n;
  times.writeBigInt64LE((mtimeNs - nanoseconds) / 1_000_000_000n, 16);
  times.writeBigInt64LE(nanoseconds, 24);
  check(libc("utimensat", AT_FDCWD, cPath(path), times, AT_SYMLINK_NOFOLLOW), `setting the time of ${printable(path)}`);
}

/**
 * The same for an open file, whose access time is nobody's concern: cheaper, for times that Node can set. It takes a time
 * before 1970 for "now", and its floating point is exact for whole seconds only.
 * @throws {TsbuildError} `SYSCALL_FAILED`
 */
export function setMtimeOfOpen(fd: number, path: string | Buffer, mtimeNs: bigint): void {
  if (mtimeNs >= 0n && mtimeNs % 1_000_000_000n === 0n) {
    const seconds = Number(mtimeNs / 1_000_000_000n);
    futimesSync(fd, seconds, seconds);
  } else setMtime(path, mtimeNs);
}

/** False, and nothing changed, when `to` exists. @throws {TsbuildError} `SYSCALL_FAILED` */
export function renameNoReplace(from: string | Buffer, to: string | Buffer): boolean {
  const result = libc("renameat2", AT_FDCWD, cPath(from), AT_FDCWD, cPath(to), RENAME_NOREPLACE);
  if (result === -errno.EEXIST) return false;
  check(result, `renaming ${printable(from)} to ${printable(to)}`);
  return true;
}

/** Swaps two names in one step. @throws {TsbuildError} `SYSCALL_FAILED` */
export function renameExchange(a: string | Buffer, b: string | Buffer): void {
  check(
    libc("renameat2", AT_FDCWD, cPath(a), AT_FDCWD, cPath(b), RENAME_EXCHANGE),
    `exchanging ${printable(a)} and ${printable(b)}`,
  );
}

/** Writes all of the file system that holds `path` to the disk. @throws {TsbuildError} `SYSCALL_FAILED`, `NO_SPACE` */
export function syncFileSystem(path: string): void {
  const fd = openSync(path, constants.O_RDONLY);
  try {
    check(libc("syncfs", fd), `syncing the file system of ${path}`);
  } finally {
    closeSync(fd);
  }
}

/** Begins to write out all of the file system that holds `path`, and returns; `onDone` if the disk has taken it. */
export function startSyncingFileSystem(path: string, onDone: () => void): void {
  const fd = openSync(path, constants.O_RDONLY);
  libcInBackground("syncfs", [fd], (result) => {
    closeSync(fd);
    if (result === 0) onDone();
  });
}

let cloneWorks = true;
const pieceBytes = 1 << 30;

/**
 * Copies all bytes of one open file to another, empty one; shares the blocks where the file system can. Returns the
 * number of bytes.
 * @throws {TsbuildError} `SYSCALL_FAILED`, `NO_SPACE`
 */
export function copyFileData(from: number, to: number): number {
  if (cloneWorks) {
    const result = libc("ioctl", to, FICLONE, from);
    if (result === 0) return fstatSync(to).size;
    // One file system a store: what does not work once will not work the next time.
    if (result === -errno.EOPNOTSUPP || result === -errno.ENOTTY || result === -errno.ENOSYS) cloneWorks = false;
  }
  let copied = 0;
  for (;;) {
    const result = libc("copy_file_range", from, null, to, null, pieceBytes, 0);
    if (result > 0) {
      copied += result;
      continue;
    }
    // 0 is the end, but also what files of procfs answer; then, and where the kernel refuses, read and write.
    if (result === 0 && copied > 0) return copied;
    if (result === 0 || fallsBack.has(-result)) return copied + copyByReading(from, to);
    check(result, "copying a file");
  }
}

const fallsBack: ReadonlySet<number> = new Set([
  errno.EXDEV,
  errno.EINVAL,
  errno.EOPNOTSUPP,
  errno.ENOSYS,
  errno.EBADF,
  errno.EPERM,
]);

function copyByReading(from: number, to: number): number {
  const buffer = Buffer.allocUnsafe(1 << 18);
  let copied = 0;
  for (;;) {
    const length = readSync(from, buffer, 0, buffer.length, null);
    if (length === 0) return copied;
    for (let written = 0; written < length; ) written += writeSync(to, buffer, written, length - written);
    copied += length;
  }
}

function printable(path: string | Buffer): string {
  return typeof path === "string" ? path : path.toString("utf8");
}
