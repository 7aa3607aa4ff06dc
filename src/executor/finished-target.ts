/** What a build has made of one target, before anybody has asked for a form of it. */
import type { ImageId } from "../oci/digest.ts";
import type { ImageConfig } from "../oci/image-config.ts";
import type { Platform } from "../oci/platform.ts";
import type { Chain } from "../store/store.ts";

export interface FinishedTarget {
  /** That was asked for. */
  readonly platform: Platform;
  readonly chain: Chain;
  /** The image that it stands on; undefined for scratch. */
  readonly base: ImageId | undefined;
  /** How many layers of `chain` came from the base image. */
  readonly baseLayers: number;
  /** How many entries of the history, its last ones, this build has made. */
  readonly ownHistory: number;
  /** Seconds that its times do not lie behind. */
  readonly sourceDateEpoch: number | undefined;
  /** Digest of `configBytes`. */
  readonly id: ImageId;
  readonly config: ImageConfig;
  readonly configBytes: Uint8Array;
}
