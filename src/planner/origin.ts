/**
 * What COPY, ADD and bind mounts take from: a context's folder, less what is ignored, or the merged tree of a chain of
 * layers. Symlinks are followed inside its root and never lead out.
 */
import type { BigIntStats } from "node:fs";
import { type BytePath, bytePathOfLatin1 } from "../kernel/byte-path.ts";
import type { FileType } from "../kernel/files.ts";
import type { Digest } from "../oci/digest.ts";

/** What a selection needs to know of an entry. */
export type OriginStat = Pick<
  BigIntStats,
  "mode" | "uid" | "gid" | "size" | "nlink" | "dev" | "ino" | "rdev" | "mtimeNs" | "ctimeNs"
>;

export interface OriginNode {
  /** Relative to the root, without symlinks before the last component; "" is the root. */
  readonly path: BytePath;
  /** For Node's functions. */
  readonly hostPath: string | Buffer;
  readonly stat: OriginStat;
  /** Sockets mean nothing without their server and are never taken. */
  readonly type: FileType;
}

export interface FileFacts {
  readonly digest: Digest;
  /** `security.capability`, base64. */
  readonly capability?: string;
  /** Of a small file that was read just now: it need not be read again. */
  readonly content?: Uint8Array;
}

export interface Origin {
  /** A symlink in the last place is followed, unless `followLast` is false. Undefined for what is not there or hidden. */
  lookup(path: BytePath, options?: { readonly followLast?: boolean }): OriginNode | undefined;
  /** What is in a folder that this origin gave, sorted by bytes, without what is hidden. */
  readdir(folder: OriginNode): readonly OriginNode[];
  /** Files of a context belong to 0:0 whoever owns them on the host. */
  readonly owners: "kept" | "root";
  /** Digests of regular files, in their order: remembered, or computed now. */
  facts(files: readonly OriginNode[], signal: AbortSignal): Promise<readonly FileFacts[]>;
}

const emptyRoot: OriginNode = {
  path: bytePathOfLatin1(""),
  hostPath: "",
  type: "dir",
  stat: {
    mode: 0o40755n,
    uid: 0n,
    gid: 0n,
    size: 0n,
    nlink: 2n,
    dev: 0n,
    ino: 0n,
    rdev: 0n,
    mtimeNs: 0n,
    ctimeNs: 0n,
  },
};

/** A tree without layers, and the context of a build without files: a root and nothing in it. */
export const emptyOrigin: Origin = {
  lookup: (path) => (path.split("/").every((name) => name === "" || /^\.\.?$/.test(name)) ? emptyRoot : undefined),
  readdir: () => [],
  owners: "kept",
  facts: async () => [],
};
