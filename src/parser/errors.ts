import { type ErrorFields, TsbuildError } from "../errors.ts";
import type { Diagnostic, Dockerfile, ParseResult } from "./ast.ts";

/** A Dockerfile with errors. Its own text is the first of them; whoever can show more has all. */
export class DockerfileInvalid extends TsbuildError {
  readonly dockerfile: Dockerfile;
  /** Warnings too, in order of place. */
  readonly diagnostics: readonly Diagnostic[];
  /** What is wrong elsewhere: with a flag, for one. */
  readonly others: readonly TsbuildError[];

  constructor({ dockerfile, diagnostics }: ParseResult, first: ErrorFields, others: readonly TsbuildError[] = []) {
    super(first);
    this.dockerfile = dockerfile;
    this.diagnostics = diagnostics;
    this.others = others;
  }
}
