/** `--call=targets`: what can be built. The description of a stage is the comment above it that starts with its name. */
import type { Dockerfile, Instruction, Range } from "../parser/ast.ts";

export interface Target {
  readonly name: string | undefined;
  readonly description: string | undefined;
  /** As the file says it. */
  readonly base: string;
  readonly platform: string | undefined;
  /** Built when nothing else is asked for. */
  readonly isDefault: boolean;
  readonly range: Range;
}

/** All stages in order. */
export function listTargets(dockerfile: Dockerfile): readonly Target[] {
  const stages = dockerfile.instructions.filter((line) => line.kind === "from");
  return stages.map((from, index) => ({
    name: from.stageName,
    description: describe(from, from.stageName),
    base: from.image.raw,
    platform: from.platform?.raw,
    isDefault: index === stages.length - 1,
    range: from.range,
  }));
}

/** `# NAME text` among the comments above an instruction. Source: Docker docs, "Build checks", "targets". */
export function describe(instruction: Instruction, name: string | undefined): string | undefined {
  if (name === undefined) return undefined;
  const line = instruction.doc?.split("\n").find((comment) => comment.startsWith(`${name} `));
  return line?.slice(name.length + 1);
}
