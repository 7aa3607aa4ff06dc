/** UndefinedVar: words that use a name which nobody has set. The text of commands is the shell's business. */
import type { Word } from "../../parser/ast.ts";
import type { Check, CheckedFile, Report, WalkedLine } from "../checked-file.ts";
import { expandedWords, isUnset, unknownBase } from "../expanded-words.ts";
import { suggester } from "../suggestions.ts";
import { unreadBase } from "../unread-stages.ts";
import { variablesIn } from "../variables-in.ts";

export const variables: Check = (file, report) => {
  const nearest = suggester();
  for (const stage of file.walked) {
    const base = unknownBase(stage);
    // Whatever was meant there may set anything.
    if (base === unreadBase) continue;
    const hint =
      base === undefined
        ? undefined
        : `the base image ${base} may set it, but is not here: check --pull asks its registry`;
    for (const line of stage.lines) checkLine(file, line, { hint, nearest }, report);
  }
};

function checkLine(
  file: CheckedFile,
  line: WalkedLine,
  { hint, nearest }: { readonly hint: string | undefined; readonly nearest: ReturnType<typeof suggester> },
  report: Report,
): void {
  const { instruction, before, rangeOf } = line;
  const declared = new Set<string>();
  const told = new Set<string>();
  const look = (word: Word): void => {
    for (const { name, range } of variablesIn(word)) {
      if (!isUnset(line, name) || declared.has(name) || told.has(name)) continue;
      told.add(name);
      const near = nearest(name, before.variables.keys());
      const suggestion = near === undefined ? "" : ` (did you mean $${near}?)`;
      report("UndefinedVar", rangeOf(range), `Usage of undefined variable '$${name}'${suggestion}`, hint);
    }
  };
  if (instruction.kind !== "arg") {
    for (const word of expandedWords(instruction)) look(word);
    return;
  }
  // ARG goes one by one, and a default that is replaced is not looked at.
  for (const { name, defaultValue } of instruction.args) {
    if (defaultValue !== undefined && !file.options.buildArgs.has(name)) look(defaultValue);
    declared.add(name);
  }
}
