/** Extended attributes of a name itself: a symlink is never followed. Source: xattr(7). */
import { check, cPath, errno, libc } from "./libc.ts";

/** No attribute we read or write is longer. The kernel's own limit is 64 KiB. */
const valueLimit = 65_536;
/** Nearly all values fit, and a small buffer is passed faster. */
const usualLimit = 256;

let usualBuffer: Buffer | undefined;
let valueBuffer: Buffer | undefined;

/**
 * The value, or undefined where there is none or the file system has no such attributes.
 * @throws {TsbuildError} `SYSCALL_FAILED`, `PERMISSION_DENIED`
 */
export function getXattr(path: string | Buffer, name: string): Buffer | undefined {
  usualBuffer ??= Buffer.alloc(usualLimit);
  const cName = cPath(path);
  let buffer = usualBuffer;
  let length = libc("lgetxattr", cName, name, buffer, usualLimit);
  if (length === -errno.ERANGE) {
    valueBuffer ??= Buffer.alloc(valueLimit);
    buffer = valueBuffer;
    length = libc("lgetxattr", cName, name, buffer, valueLimit);
  }
  if (length === -errno.ENODATA || length === -errno.ENOTSUP) return undefined;
  check(length, `reading the attribute ${name} of ${printable(path)}`);
  return Buffer.from(buffer.subarray(0, length));
}

/**
 * False where the file system has no such attributes.
 * @throws {TsbuildError} `SYSCALL_FAILED`, `PERMISSION_DENIED`, `NO_SPACE`
 */
export function setXattr(path: string | Buffer, name: string, value: Uint8Array): boolean {
  const result = libc("lsetxattr", cPath(path), name, value, value.length, 0);
  if (result === -errno.ENOTSUP) return false;
  check(result, `setting the attribute ${name} of ${printable(path)}`);
  return true;
}

/** False where there was none. @throws {TsbuildError} `SYSCALL_FAILED`, `PERMISSION_DENIED` */
export function removeXattr(path: string | Buffer, name: string): boolean {
  const result = libc("lremovexattr", cPath(path), name);
  if (result === -errno.ENODATA || result === -errno.ENOTSUP) return false;
  check(result, `removing the attribute ${name} of ${printable(path)}`);
  return true;
}

/** Names, in the order of the file system. @throws {TsbuildError} `SYSCALL_FAILED` */
export function listXattrs(path: string | Buffer): readonly string[] {
  valueBuffer ??= Buffer.alloc(valueLimit);
  const length = libc("llistxattr", cPath(path), valueBuffer, valueLimit);
  if (length === -errno.ENOTSUP) return [];
  check(length, `listing the attributes of ${printable(path)}`);
  return valueBuffer
    .toString("latin1", 0, length)
    .split("\0")
    .filter((name) => name !== "");
}

function printable(path: string | Buffer): string {
  return typeof path === "string" ? path : path.toString("utf8");
}
