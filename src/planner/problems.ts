/**
 * Everything that is wrong with a Dockerfile in one list: what the parser saw, what the names of its stages tell, what
 * binding found. A mistake costs its line, and the lines after it are still looked at.
 */
import { TsbuildError } from "../errors.ts";
import type { Diagnostic, Dockerfile, ParseResult } from "../parser/ast.ts";
import { DockerfileInvalid } from "../parser/errors.ts";
import { offsetOf } from "../parser/position.ts";
import { referenceProblems } from "./stage-references.ts";

/** Errors met on the way, each once. */
export class Problems {
  readonly #errors = new Set<TsbuildError>();

  /** Keeps an error of the file, to go on with what does not depend on it. Any other is thrown again. */
  keep(error: unknown): void {
    if (!(error instanceof TsbuildError) || error.where === undefined) throw error;
    this.#errors.add(error);
  }

  /** The function's value, or undefined and its error kept. */
  attempt<Value>(make: () => Value): Value | undefined {
    try {
      return make();
    } catch (error) {
      this.keep(error);
      return undefined;
    }
  }

  /** @throws {TsbuildError} the one there is, or a `DockerfileInvalid` with all of them */
  throwAny(dockerfile: Dockerfile): void {
    const error = this.all(dockerfile);
    if (error !== undefined) throw error;
  }

  /** What `throwAny` would throw. */
  all(dockerfile: Dockerfile): TsbuildError | undefined {
    return together(dockerfile, [...this.#errors]);
  }
}

/** What the parser says and what the names of stages tell: all that can be known without any value. */
export function withReferences({ dockerfile, diagnostics }: ParseResult): ParseResult {
  const certain = referenceProblems(dockerfile, { guess: false });
  const broken = hasErrors(diagnostics) || certain.length > 0;
  // Whether a name is an image nobody looks up for a broken file, so the stage it resembles is taken for meant.
  const errors = broken ? referenceProblems(dockerfile, { guess: true }) : certain;
  return {
    dockerfile,
    diagnostics: inOrder([...diagnostics, ...errors.map((error) => diagnosticOf(error, dockerfile))]),
  };
}

const hasErrors = (diagnostics: readonly Diagnostic[]): boolean =>
  diagnostics.some(({ severity }) => severity === "error");

const inOrder = (diagnostics: readonly Diagnostic[]): readonly Diagnostic[] =>
  diagnostics.toSorted((a, b) => a.range.start - b.range.start);

function together(dockerfile: Dockerfile, errors: readonly TsbuildError[]): TsbuildError | undefined {
  const [only] = errors;
  if (only === undefined || errors.length === 1) return only;
  const isInside = ({ where }: TsbuildError): boolean => where?.kind === "source" && where.file === dockerfile.file;
  const inside = errors.filter(isInside).map((error) => ({ error, diagnostic: diagnosticOf(error, dockerfile) }));
  inside.sort((a, b) => a.diagnostic.range.start - b.diagnostic.range.start);
  const diagnostics = inside.map(({ diagnostic }) => diagnostic);
  const others = errors.filter((error) => !isInside(error));
  const { code, message: what, where, hint, cause } = inside[0]?.error ?? only;
  return new DockerfileInvalid({ dockerfile, diagnostics }, { code, what, where, hint, cause }, others);
}

/** The same as the parser would have said it: `STAGE_NOT_FOUND` is `stage-not-found`. */
export function diagnosticOf({ code, message, where, hint }: TsbuildError, dockerfile: Dockerfile): Diagnostic {
  const range =
    where?.kind === "source"
      ? {
          start: offsetOf(dockerfile, where),
          end: offsetOf(dockerfile, { line: where.endLine, column: where.endColumn }),
        }
      : { start: 0, end: 0 };
  const diagnostic = { severity: "error" as const, code: code.toLowerCase().replaceAll("_", "-"), message, range };
  return hint === undefined ? diagnostic : { ...diagnostic, hint };
}
