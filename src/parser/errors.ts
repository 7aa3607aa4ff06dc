import { TsbuildError, type Where } from "../errors.ts";
import type { Diagnostic, Dockerfile, ParseResult } from "./ast.ts";

/** A Dockerfile with errors. Its own text is the first of them; whoever can show more has all. */
export class DockerfileInvalid extends TsbuildError {
  readonly dockerfile: Dockerfile;
  /** Warnings too, in order of place. */
  readonly diagnostics: readonly Diagnostic[];

  constructor({ dockerfile, diagnostics }: ParseResult, first: Diagnostic, where: Where) {
    super({ code: "DOCKERFILE_INVALID", what: first.message, where, hint: first.hint });
    this.dockerfile = dockerfile;
    this.diagnostics = diagnostics;
  }
}

export const dockerfileInvalid = (result: ParseResult, first: Diagnostic, where: Where): DockerfileInvalid =>
  new DockerfileInvalid(result, first, where);
