/** Which lines a finding is about, as BuildKit counts them: all lines of its instruction. */
import type { Diagnostic, Dockerfile } from "../parser/ast.ts";
import { positionOf } from "../parser/position.ts";
import { instructionAt } from "./check-dockerfile.ts";

/** From 1, both inclusive. */
export interface Lines {
  readonly start: number;
  readonly end: number;
}

export function linesOf(dockerfile: Dockerfile, { code, severity, range }: Diagnostic): Lines {
  const line = (offset: number): number => positionOf(dockerfile, offset).line;
  const instruction = instructionAt(dockerfile.instructions, range);
  if (severity === "error" || instruction === undefined) return { start: line(range.start), end: line(range.end) };
  const end = line(instruction.range.end);
  return { start: code === "NoEmptyContinuation" ? end : line(instruction.range.start), end };
}
