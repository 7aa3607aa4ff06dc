/** Offsets to lines and columns, which are only counted when something is shown. */
import type { TsbuildError, Where } from "../errors.ts";
import type { Dockerfile, ParseResult, Range } from "./ast.ts";
import { DockerfileInvalid } from "./errors.ts";

export interface Position {
  /** From 1. */
  readonly line: number;
  /** From 1, in UTF-16 units. */
  readonly column: number;
}

const lineStartsOf = new WeakMap<Pick<Dockerfile, "text">, readonly number[]>();

function lineStarts(dockerfile: Pick<Dockerfile, "text">): readonly number[] {
  const known = lineStartsOf.get(dockerfile);
  if (known !== undefined) return known;
  const starts = [0];
  for (let at = dockerfile.text.indexOf("\n"); at !== -1; at = dockerfile.text.indexOf("\n", at + 1))
    starts.push(at + 1);
  lineStartsOf.set(dockerfile, starts);
  return starts;
}

/** The place of an offset; one outside the text counts as its nearest end. A BOM takes no column. */
export function positionOf(dockerfile: Pick<Dockerfile, "text">, offset: number): Position {
  const starts = lineStarts(dockerfile);
  const inside = Math.max(0, Math.min(offset, dockerfile.text.length));
  let low = 0;
  let high = starts.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if ((starts[middle] ?? 0) <= inside) low = middle;
    else high = middle - 1;
  }
  const bom = low === 0 && inside > 0 && dockerfile.text.startsWith("\ufeff") ? 1 : 0;
  return { line: low + 1, column: inside - (starts[low] ?? 0) + 1 - bom };
}

/** The offset of a place: what `positionOf` was asked for. */
export function offsetOf(dockerfile: Pick<Dockerfile, "text">, { line, column }: Position): number {
  const bom = line === 1 && column > 1 && dockerfile.text.startsWith("\ufeff") ? 1 : 0;
  return (lineStarts(dockerfile)[line - 1] ?? dockerfile.text.length) + column - 1 + bom;
}

/** The range as errors and diagnostics carry it, with the text of its first line. */
export function whereOf(dockerfile: Pick<Dockerfile, "text" | "file">, range: Range): Where {
  const start = positionOf(dockerfile, range.start);
  const end = positionOf(dockerfile, Math.max(range.start, range.end));
  const from = lineStarts(dockerfile)[start.line - 1] ?? 0;
  const feed = dockerfile.text.indexOf("\n", from);
  const sourceLine = dockerfile.text
    .slice(from, feed === -1 ? dockerfile.text.length : feed)
    .replace(/^\ufeff/, "")
    .replace(/\r+$/, "");
  return {
    kind: "source",
    file: dockerfile.file,
    line: start.line,
    column: start.column,
    endLine: end.line,
    endColumn: end.column,
    sourceLine,
  };
}

/**
 * `others`: what is wrong elsewhere, to be told with it.
 * @throws {DockerfileInvalid} `DOCKERFILE_INVALID` with all diagnostics, when one of them is an error.
 */
export function throwIfErrors(result: ParseResult, others: readonly TsbuildError[] = []): void {
  const first = result.diagnostics.find((diagnostic) => diagnostic.severity === "error");
  if (first === undefined) return;
  const where = whereOf(result.dockerfile, first.range);
  const fields = { code: "DOCKERFILE_INVALID", what: first.message, where, hint: first.hint } as const;
  throw new DockerfileInvalid(result, fields, others);
}
