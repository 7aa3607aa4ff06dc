/** Lines of which nobody knows what they say, because a variable in them has its value from where it cannot be seen. */
import { nearestWord } from "../nearest-word.ts";
import type { Diagnostic, Instruction, Word } from "../parser/ast.ts";
import { splitStages } from "../planner/bind.ts";
import type { CheckedFile, WalkedStage } from "./checked-file.ts";
import { expandedWords, isUnset, mayHaveMore } from "./expanded-words.ts";
import { readable } from "./unread-stages.ts";
import { variablesIn } from "./variables-in.ts";
import { holds } from "./without-mistakes.ts";

/** What mistakes have left without a value. */
interface Doubts {
  readonly names: Set<string>;
  /** Lines that cannot be read and may set something: whatever they name is in doubt. */
  readonly texts: string[];
}

/**
 * Where they start. In doubt is what a base image may set that is not here, and what stands on a mistake above, until a
 * line that is right sets it.
 */
export function doubtfulLines(file: CheckedFile, errors: readonly Diagnostic[]): ReadonlySet<number> {
  const found = new Set<number>();
  const wrong = (range: { readonly start: number; readonly end: number }): boolean =>
    errors.some((error) => holds(range, error.range));
  const { instructions } = readable(file.dockerfile);
  const first = instructions.findIndex(({ kind }) => kind === "from");
  const globals: Doubts = { names: new Set(), texts: [] };
  for (const line of first < 0 ? instructions : instructions.slice(0, first)) follow(line, globals, globals, wrong);
  for (const { from } of splitStages(instructions).froms)
    if ([from.image, from.platform].some((word) => word !== undefined && uses(word, globals)))
      found.add(from.range.start);

  const ends = new Map<WalkedStage, Doubts>();
  for (const stage of file.walked) {
    const below = stage.base.kind === "stage" ? ends.get(stage.base.stage) : undefined;
    const doubts: Doubts = { names: new Set(below?.names), texts: [...(below?.texts ?? [])] };
    const unknownBase = mayHaveMore(stage);
    for (const line of stage.lines) {
      const { instruction } = line;
      const words = wordsOf(instruction);
      const inDoubt = words.some(
        (word) => uses(word, doubts) || (unknownBase && variablesIn(word).some(({ name }) => isUnset(line, name))),
      );
      if (inDoubt) found.add(instruction.range.start);
      follow(instruction, doubts, globals, wrong);
    }
    ends.set(stage, doubts);
  }
  return found;
}

const wordsOf = (line: Instruction): readonly Word[] =>
  line.kind === "arg" ? line.args.flatMap(({ defaultValue }) => defaultValue ?? []) : expandedWords(line);

const uses = (word: Word, doubts: Doubts): boolean => variablesIn(word).some(({ name }) => isDoubted(name, doubts));

const isDoubted = (name: string, { names, texts }: Doubts): boolean =>
  names.has(name) || (name !== "" && texts.some((text) => text.includes(name)));

type IsWrong = (range: { readonly start: number; readonly end: number }) => boolean;

/** What is in doubt behind this line. */
function follow(line: Instruction, doubts: Doubts, globals: Doubts, wrong: IsWrong): void {
  switch (line.kind) {
    case "env":
      for (const { key, value, range } of line.pairs) {
        const name = key.raw;
        if (wrong(range) || uses(value, doubts) || uses(key, doubts)) doubts.names.add(name);
        else doubts.names.delete(name);
      }
      return;
    case "arg":
      for (const { name, defaultValue, range } of line.args) {
        if (wrong(range) || (defaultValue === undefined ? isDoubted(name, globals) : uses(defaultValue, doubts)))
          doubts.names.add(name);
        else if (defaultValue !== undefined) doubts.names.delete(name);
      }
      return;
    case "invalid":
      if (nearestWord(line.keyword.text, ["env", "arg"]) !== undefined) doubts.texts.push(line.joined);
      return;
    default:
  }
}
