/** One entry of a layer's tar, as data. The list of them, in tar order, is the layer's *index*. */
import type { BytePath } from "../kernel/byte-path.ts";
import type { Digest } from "../oci/digest.ts";

interface EntryBase {
  /** Relative to the root, without leading or trailing slash; never empty. */
  readonly path: BytePath;
  /** The 12 permission bits. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Whole seconds, as in the tar. */
  readonly mtime: number;
}

export type LayerEntry =
  | (EntryBase & {
      readonly type: "file";
      readonly size: number;
      readonly digest: Digest;
      /** `security.capability`, base64. */
      readonly capability?: string;
    })
  | (EntryBase & { readonly type: "dir" })
  | (EntryBase & { readonly type: "symlink"; readonly target: BytePath })
  /** A further name of the entry `target`, which stands earlier in the list. */
  | (EntryBase & { readonly type: "hardlink"; readonly target: BytePath })
  | (EntryBase & { readonly type: "char" | "block"; readonly major: number; readonly minor: number })
  | (EntryBase & { readonly type: "fifo" })
  /** `path` (without `.wh.`) of the layers below is gone. */
  | (EntryBase & { readonly type: "whiteout" })
  /** All below the directory `path` of the layers below is gone. Only layers that were pulled or loaded have it. */
  | (EntryBase & { readonly type: "opaque" });
