/** A hard link to a file of a layer below: a full copy of it, as a layer cannot say it otherwise. */
import { createHash } from "node:crypto";
import { chmodSync, closeSync, constants, lchownSync, openSync, readlinkSync, readSync, symlinkSync } from "node:fs";
import { bytePathOfLatin1, fsPath } from "../kernel/byte-path.ts";
import { copyFileData, setMtime } from "../kernel/files.ts";
import { getXattr, setXattr } from "../kernel/xattr.ts";
import type { Digest } from "../oci/digest.ts";
import { attributesOfStat, type Inode } from "./extracted-inodes.ts";
import type { Merged } from "./merged-folders.ts";

/** `below` is a regular file or a symlink; nothing is at `host` yet. */
export function copyUp(below: Merged, host: string | Buffer): Inode {
  const attributes = attributesOfStat(below.stat);
  if (below.stat.isSymbolicLink()) {
    const target = bytePathOfLatin1(readlinkSync(fsPath(below.host), { encoding: "latin1" }));
    symlinkSync(fsPath(target), host);
    lchownSync(host, attributes.uid, attributes.gid);
    setMtime(host, below.stat.mtimeNs);
    return { kind: "symlink", attributes, target };
  }
  const digest = copyContent(fsPath(below.host), host);
  // chown(2) clears set-user-ID and capabilities, so it stands before both.
  lchownSync(host, attributes.uid, attributes.gid);
  chmodSync(host, attributes.mode);
  const capability = getXattr(fsPath(below.host), "security.capability");
  if (capability !== undefined) setXattr(host, "security.capability", capability);
  setMtime(host, below.stat.mtimeNs);
  return {
    kind: "file",
    attributes,
    size: Number(below.stat.size),
    digest,
    capability: capability?.toString("base64"),
  };
}

function copyContent(source: string | Buffer, target: string | Buffer): Digest {
  const from = openSync(source, constants.O_RDONLY | constants.O_NOFOLLOW);
  try {
    const to = openSync(target, constants.O_RDWR | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW, 0o600);
    try {
      copyFileData(from, to);
      return digestOf(to);
    } finally {
      closeSync(to);
    }
  } finally {
    closeSync(from);
  }
}

function digestOf(fd: number): Digest {
  const hash = createHash("sha256");
  const buffer = Buffer.allocUnsafe(1 << 18);
  for (let position = 0; ; ) {
    const length = readSync(fd, buffer, 0, buffer.length, position);
    if (length === 0) return `sha256:${hash.digest("hex")}` as string as Digest;
    hash.update(buffer.subarray(0, length));
    position += length;
  }
}
