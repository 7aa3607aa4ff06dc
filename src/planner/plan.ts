/** The plan as data: `tsbuild plan --json` prints exactly this. */
import type { CacheKey, Digest } from "../oci/digest.ts";
import type { CacheRecord } from "../store/store.ts";
import type { StepId } from "./build-graph.ts";
import type { MissReason } from "./miss-reason.ts";

export interface Plan {
  readonly steps: readonly PlannedStep[];
}

export interface PlannedStep {
  readonly id: StepId;
  readonly label: string;
  readonly text: string;
  readonly line: number;
  readonly definition: Digest | undefined;
  readonly outcome: StepOutcome;
}

export type StepOutcome =
  | { readonly kind: "hit"; readonly key: CacheKey; readonly record: CacheRecord }
  /** A cache elsewhere has it: its layer would be fetched. `from`: as `--cache-from` says it. */
  | { readonly kind: "offered"; readonly key: CacheKey; readonly from: string }
  | {
      readonly kind: "miss";
      /** Undefined while what it stands on is not known: without any record of its definition it misses anyway. */
      readonly key: CacheKey | undefined;
      readonly reasons: readonly MissReason[];
      /** What the reasons compare with. */
      readonly nearest: CacheRecord | undefined;
    }
  /** Decided when `until` has run. */
  | { readonly kind: "unknown"; readonly until: StepId };
