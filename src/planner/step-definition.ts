/**
 * A step's definition: its own effective input with the digests of what it takes from elsewhere, in canonical form.
 * With the parent's result it makes the cache key.
 */
import type { Digest } from "../oci/digest.ts";
import type { Selection } from "./selection.ts";

export interface StepDefinition {
  readonly digest: Digest;
  /** The canonical JSON that was hashed. For COPY it lists the selected files with their digests, to explain a miss. */
  readonly input: string;
  /** COPY and ADD. */
  readonly selection: Selection | undefined;
  /** `--link`, and nothing else, does not stand on its parent. */
  readonly needsParent: boolean;
}
