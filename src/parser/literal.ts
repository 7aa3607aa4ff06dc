import type { Word } from "./ast.ts";

/** The word's value when it holds no variable; undefined when only the planner can know it. */
export function literalOf(word: Word): string | undefined {
  let value = "";
  for (const part of word.parts) {
    if (part.kind === "variable") return undefined;
    value += part.value;
  }
  return value;
}
