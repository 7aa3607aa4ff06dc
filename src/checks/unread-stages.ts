/** FROM lines that cannot be read: what stands below them belongs to no stage above. */
import type { Dockerfile } from "../parser/ast.ts";
import { mayBeFrom } from "../planner/stage-references.ts";
import { literalWord } from "./without-mistakes.ts";

/** Nobody has it, and no registry is asked for it: RFC 2606 keeps that name free. */
export const unreadBase = "base.invalid/unread";

/** A FROM line that cannot be read begins a stage all the same, of which nothing is known. */
export function readable(dockerfile: Dockerfile): Dockerfile {
  const instructions = dockerfile.instructions.map((line): typeof line => {
    if (!mayBeFrom(line)) return line;
    const { range, keyword, joined } = line;
    return { kind: "from", range, keyword, joined, image: literalWord(unreadBase, range) };
  });
  return { ...dockerfile, instructions };
}
