/** A step that ended badly, with what a report of it needs. */
import { TsbuildError, type Where } from "../errors.ts";
import type { StepId } from "../planner/build-graph.ts";

export interface StepFailure {
  readonly step: StepId;
  readonly label: string;
  readonly text: string;
  /** `process "/bin/sh -c npm ci" did not complete successfully: exit code: 7` */
  readonly sentence: string;
  /** What is known of the cause, a phrase each: `killed by SIGSEGV`. */
  readonly causes: readonly string[];
  readonly where: Where;
  readonly hint?: string | undefined;
  /** Where the step's file system was kept. */
  readonly failedTree: string | undefined;
  readonly cause?: unknown;
}

export class StepFailed extends TsbuildError {
  readonly failure: StepFailure;

  constructor(failure: StepFailure) {
    const causes = failure.causes.map((cause) => `; ${cause}`).join("");
    super({
      code: "STEP_FAILED",
      what: `${failure.sentence}${causes}`,
      where: failure.where,
      hint: failure.hint,
      cause: failure.cause,
    });
    this.failure = failure;
  }
}
