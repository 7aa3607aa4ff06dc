/** Random bytes for names. node:crypto has the same and takes 5 ms to load, a tenth of a command. Source: urandom(4). */
import { closeSync, openSync, readSync } from "node:fs";

export function randomBytes(length: number): Buffer {
  const bytes = Buffer.alloc(length);
  const fd = openSync("/dev/urandom", "r");
  try {
    for (let done = 0; done < length; ) done += readSync(fd, bytes, done, length - done, null);
  } finally {
    closeSync(fd);
  }
  return bytes;
}

/** From 0 to below `limit`, each as likely as the others to within 2⁻³². `limit` is at most 2¹⁶. */
export function randomBelow(limit: number): number {
  return randomBytes(6).readUIntBE(0, 6) % limit;
}
