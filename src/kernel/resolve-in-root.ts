/**
 * Opening names below a root folder so that no symlink, `..` or race leads out of it: openat2(2) with RESOLVE_IN_ROOT,
 * which treats the folder as `/` for every component.
 */
import { constants } from "node:fs";
import { cPath, errno, libc } from "./libc.ts";

/** Its number is the same on all architectures. */
const SYS_openat2 = 437;

/** Source: openat2(2). */
const RESOLVE_NO_MAGICLINKS = 0x02;
const RESOLVE_NO_SYMLINKS = 0x04;
const RESOLVE_BENEATH = 0x08;
const RESOLVE_IN_ROOT = 0x10;

/** Not in Node's constants. */
export const O_PATH = 0x200000;
const O_CLOEXEC = 0x80000;

export type Resolution = "in-root" | "beneath" | "no-symlinks";

const resolutions: Readonly<Record<Resolution, number>> = {
  "in-root": RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
  beneath: RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS,
  "no-symlinks": RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS,
};

/**
 * Opens `path` below the folder `root` (an fd) and returns an fd, or −errno: ENOENT, ENOTDIR, ELOOP, EXDEV are answers.
 * `mode` counts with O_CREAT only.
 */
export function openInRoot(
  root: number,
  path: string | Buffer,
  flags: number,
  resolution: Resolution = "in-root",
  mode = 0,
): number {
  const how = Buffer.alloc(24);
  how.writeBigUInt64LE(BigInt(flags | O_CLOEXEC), 0);
  how.writeBigUInt64LE(BigInt(mode), 8);
  how.writeBigUInt64LE(BigInt(resolutions[resolution]), 16);
  const name = cPath(path.length === 0 ? "." : path);
  for (;;) {
    const fd = libc("syscallPath", SYS_openat2, root, name, how, how.length, 0);
    // EAGAIN: something was renamed while a `..` was walked.
    if (fd !== -errno.EAGAIN && fd !== -errno.EINTR) return fd;
  }
}

/** A folder below `root` as an O_PATH fd, or −errno. */
export function openFolderInRoot(root: number, path: string | Buffer, resolution: Resolution = "in-root"): number {
  return openInRoot(root, path, O_PATH | constants.O_DIRECTORY, resolution);
}

/** For fds opened here: in a worker, Node's own `closeSync` complains about those that it has not opened. */
export function closeInRoot(fd: number): void {
  libc("close", fd);
}

/** A path by which Node's functions reach a name in the folder `fd` without walking to it again. */
export function pathBelowFd(fd: number, name: string | Buffer): string | Buffer {
  const folder = `/proc/self/fd/${fd}/`;
  return typeof name === "string" ? folder + name : Buffer.concat([Buffer.from(folder), name]);
}
