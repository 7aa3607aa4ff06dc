/**
 * What COPY, ADD and bind mounts take from: a context's folder, less what is ignored, or the merged tree of a chain of
 * layers. Symlinks are followed inside its root and never lead out.
 */
import type { BigIntStats } from "node:fs";
import type { BytePath } from "../kernel/byte-path.ts";
import type { Digest } from "../oci/digest.ts";

/** Sockets mean nothing without their server and are never taken. */
export type NodeType = "file" | "dir" | "symlink" | "char" | "block" | "fifo" | "socket";

export interface OriginNode {
  /** Relative to the root, without symlinks before the last component; "" is the root. */
  readonly path: BytePath;
  /** For Node's functions. */
  readonly hostPath: string | Buffer;
  readonly stat: BigIntStats;
  readonly type: NodeType;
}

export interface FileFacts {
  readonly digest: Digest;
  /** `security.capability`, base64. */
  readonly capability?: string;
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

/** The root of a tree without layers, and of no context. */
export const emptyOrigin: Origin = {
  lookup: () => undefined,
  readdir: () => [],
  owners: "kept",
  facts: async () => [],
};
