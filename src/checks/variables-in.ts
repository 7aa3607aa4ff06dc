import type { VariablePart, Word } from "../parser/ast.ts";

/** Every variable of a word, those inside modifiers of others too, in order. */
export function variablesIn(word: Word): readonly VariablePart[] {
  return word.parts.flatMap((part): readonly VariablePart[] => {
    if (part.kind === "text") return [];
    const { modifier } = part;
    switch (modifier?.kind) {
      case "default":
        return [part, ...variablesIn(modifier.word)];
      case "remove":
        return [part, ...variablesIn(modifier.pattern)];
      case "replace":
        return [part, ...variablesIn(modifier.pattern), ...variablesIn(modifier.replacement)];
      default:
        return [part];
    }
  });
}
