/** Words to text. The parser took quotes, escapes and expressions apart; here they meet their values. */
import { assertNever, type Where } from "../errors.ts";
import type { Modifier, Range, VariablePart, Word } from "../parser/ast.ts";
import { invalidPattern, variableRequired } from "./errors.ts";
import { InvalidEscape, removePrefix, removeSuffix, replaceAll, replaceFirst } from "./shell-pattern.ts";

/** What expansion sees: present means set, also when empty. */
export type Variables = ReadonlyMap<string, string>;

/** Where a range of the text at hand is to be shown: a trigger's text lies in no file, its FROM line does. */
export type Locate = (range: Range) => Where;

/**
 * The value of one word; blanks in values never split. Source: Dockerfile reference, "Environment replacement".
 * @throws {TsbuildError} `EXPANSION_FAILED` for `${v:?…}` and for a bad escape in a pattern.
 */
export function expandWord(word: Word, variables: Variables, locate: Locate): string {
  let value = "";
  for (const part of word.parts) value += part.kind === "text" ? part.value : expandVariable(part, variables, locate);
  return value;
}

/** EXPOSE: the value is split again at blanks outside quotes. */
export function expandWords(word: Word, variables: Variables, locate: Locate): readonly string[] {
  const words: string[] = [];
  let current: string | undefined;
  for (const part of word.parts) {
    const value = part.kind === "text" ? part.value : expandVariable(part, variables, locate);
    if (part.quoted) {
      current = (current ?? "") + value;
      continue;
    }
    const [first = "", ...rest] = value.split(/\s+/u);
    if (first !== "") current = (current ?? "") + first;
    for (const piece of rest) {
      if (current !== undefined) words.push(current);
      current = piece === "" ? undefined : piece;
    }
  }
  if (current !== undefined) words.push(current);
  return words;
}

function expandVariable(part: VariablePart, variables: Variables, locate: Locate): string {
  // Unset counts as empty everywhere but in the modifiers that ask for it.
  const value = variables.get(part.name);
  if (part.modifier === undefined) return value ?? "";
  return modify(part, part.modifier, value, variables, locate);
}

function modify(
  part: VariablePart,
  modifier: Modifier,
  value: string | undefined,
  variables: Variables,
  locate: Locate,
): string {
  switch (modifier.kind) {
    case "default": {
      const absent = modifier.operator.startsWith(":") ? value === undefined || value === "" : value === undefined;
      const word = (): string => expandWord(modifier.word, variables, locate);
      if (modifier.operator.endsWith("+")) return absent ? "" : word();
      if (!absent) return value ?? "";
      if (modifier.operator.endsWith("-")) return word();
      throw variableRequired(part.name, word(), modifier.operator === ":?", locate(part.range));
    }
    case "remove": {
      const pattern = expandWord(modifier.pattern, variables, locate);
      const longest = modifier.operator.length === 2;
      const remove = modifier.operator.startsWith("#") ? removePrefix : removeSuffix;
      return withPattern(part, pattern, locate, () => remove(value ?? "", pattern, longest));
    }
    case "replace": {
      const pattern = expandWord(modifier.pattern, variables, locate);
      const replacement = expandWord(modifier.replacement, variables, locate);
      const replace = modifier.operator === "//" ? replaceAll : replaceFirst;
      return withPattern(part, pattern, locate, () => replace(value ?? "", pattern, replacement));
    }
    default:
      return assertNever(modifier);
  }
}

function withPattern(part: VariablePart, pattern: string, locate: Locate, apply: () => string): string {
  try {
    return apply();
  } catch (error) {
    if (error instanceof InvalidEscape) throw invalidPattern(pattern, error.sequence, locate(part.range));
    throw error;
  }
}
