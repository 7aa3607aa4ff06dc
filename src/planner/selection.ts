/**
 * What a COPY, an ADD or a bind mount takes, entry by entry. Computed once for the key and handed to the executor as it
 * is: what was hashed is what is copied.
 */
import type { BytePath } from "../kernel/byte-path.ts";
import type { Digest } from "../oci/digest.ts";

export interface Selection {
  /** Over all sources: paths relative to the selected roots, types, modes, owners, sizes, targets, bytes. No times. */
  readonly digest: Digest;
  /** In the order they are copied. */
  readonly sources: readonly SelectedSource[];
  /** What `digest` is over, one an entry: see selection-lines.ts. */
  readonly lines: readonly string[];
}

export interface SelectedSource {
  /** The name *written* (or matched), not a link's target: what the destination's basename becomes. */
  readonly basename: BytePath;
  /** Of a URL: a file as it is, even when it is an archive. */
  readonly verbatim?: true;
  /** Came from a wildcard: a directory is copied as its contents, as always, but an exclude names things by it. */
  readonly matched: boolean;
  /** The first has path "": the source itself. A directory's entries follow, parents first, by byte order. */
  readonly entries: readonly [SelectedEntry, ...SelectedEntry[]];
  /** `--parents`: the directories to keep above it, outermost first, paths relative to the destination. */
  readonly keptParents: readonly SelectedEntry[];
}

export interface SelectedEntry {
  readonly path: BytePath;
  readonly type: "file" | "dir" | "symlink" | "char" | "block" | "fifo";
  readonly mode: number;
  /** From a context: 0. */
  readonly uid: number;
  readonly gid: number;
  readonly mtimeNs: bigint;
  readonly size: number;
  /** Of files: sha256 of the bytes. */
  readonly digest?: Digest;
  readonly target?: BytePath;
  readonly major?: number;
  readonly minor?: number;
  /** `security.capability`, base64. */
  readonly capability?: string;
  /** Equal for names of one inode within this selection. */
  readonly inode?: string;
  /** Where to read it, on the host: absolute; "" for a heredoc. */
  readonly hostPath: string | Buffer;
  /** Of heredocs, and of small files whose bytes were at hand when they were hashed. */
  readonly content?: Uint8Array;
}
