/** What happens during a pull or a push, as data. The CLI decides how it looks. */
import type { Digest } from "../oci/digest.ts";
import type { Reference } from "../oci/reference.ts";

export type TransferEvent =
  | { readonly kind: "pullStarted"; readonly reference: Reference }
  | { readonly kind: "pushStarted"; readonly reference: Reference }
  | { readonly kind: "layerState"; readonly layer: LayerLabel; readonly state: LayerState }
  | {
      readonly kind: "layerProgress";
      readonly layer: LayerLabel;
      readonly doing: "downloading" | "pushing";
      readonly doneBytes: number;
      readonly totalBytes: number;
    }
  | {
      readonly kind: "pulled";
      readonly reference: Reference;
      /** What the registry calls it: of the index, where there is one. */
      readonly digest: Digest;
      /** False: the store had it under this name already. */
      readonly newer: boolean;
    }
  | { readonly kind: "pushed"; readonly reference: Reference; readonly digest: Digest; readonly sizeBytes: number };

/** 12 hex digits: of the blob when pulling, of the diffID when pushing, as docker shows them. */
export type LayerLabel = string;

export type LayerState =
  // pull
  | { readonly kind: "pullingFsLayer" }
  | { readonly kind: "waiting" }
  | { readonly kind: "alreadyExists" }
  | { readonly kind: "downloadComplete" }
  | { readonly kind: "extracting" }
  | { readonly kind: "pullComplete" }
  // push
  | { readonly kind: "preparing" }
  | { readonly kind: "layerAlreadyExists" }
  | { readonly kind: "mounted"; readonly from: string }
  | { readonly kind: "pushed" };
