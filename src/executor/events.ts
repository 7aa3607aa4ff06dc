/** What a build tells while it runs. The library reports, the CLI decides how it looks. Times are epoch ms. */
import type { CacheKey, ImageId } from "../oci/digest.ts";
import type { Diagnostic, Dockerfile } from "../parser/ast.ts";
import type { StepId } from "../planner/build-graph.ts";
import type { MissReason } from "../planner/miss-reason.ts";

export type BuildEvent =
  | { readonly kind: "plan"; readonly steps: readonly StepTitle[]; readonly time: number }
  | { readonly kind: "warning"; readonly diagnostic: Diagnostic; readonly time: number }
  /** What build checks say about the file, when all steps are done or one has failed. */
  | {
      readonly kind: "checks";
      readonly dockerfile: Dockerfile;
      readonly warnings: readonly Diagnostic[];
      readonly time: number;
    }
  /** A note that belongs to no step: "pulling debian:12", "no NAT here, using the host network". */
  | { readonly kind: "note"; readonly text: string; readonly time: number }
  | { readonly kind: "stepHit"; readonly step: StepId; readonly key: CacheKey; readonly time: number }
  | { readonly kind: "stepMiss"; readonly step: StepId; readonly reason: MissReason; readonly time: number }
  | { readonly kind: "stepStarted"; readonly step: StepId; readonly time: number }
  /** Bytes as they came, not cut at lines. */
  | {
      readonly kind: "stepOutput";
      readonly step: StepId;
      readonly stream: "stdout" | "stderr";
      readonly bytes: Uint8Array;
      readonly time: number;
    }
  | { readonly kind: "stepDone"; readonly step: StepId; readonly sizeBytes: number; readonly time: number }
  | { readonly kind: "stepFailed"; readonly step: StepId; readonly message: string; readonly time: number }
  | { readonly kind: "stepCanceled"; readonly step: StepId; readonly time: number }
  | {
      readonly kind: "done" /** That are in the store now. */;
      readonly images: readonly ImageId[];
      readonly summary: BuildSummary;
      readonly time: number;
    };

export interface StepTitle {
  readonly id: StepId;
  /** `build 3/5`, or `2/4` for an unnamed only stage. */
  readonly label: string;
  /** `RUN npm ci`, variables not expanded, one line. */
  readonly text: string;
}

export interface BuildSummary {
  readonly steps: number;
  readonly hits: number;
  readonly sizeBytes: number;
  readonly layers: number;
  readonly durationMs: number;
}
