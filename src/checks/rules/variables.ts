/** UndefinedVar: words that use a name which nobody has set. The text of commands is the shell's business. */
import type { Instruction, Word } from "../../parser/ast.ts";
import { switchArgs } from "../../planner/scopes.ts";
import type { Check, CheckedFile, Report, WalkedLine, WalkedStage } from "../checked-file.ts";
import { suggester } from "../suggestions.ts";
import { variablesIn } from "../variables-in.ts";

export const variables: Check = (file, report) => {
  const nearest = suggester();
  for (const stage of file.walked) {
    const hint = mayHaveMore(stage)
      ? `the base image ${stage.source.image} may set it, but is not here to be asked`
      : undefined;
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
  const isKnown = (name: string): boolean =>
    before.variables.has(name) || before.declared.has(name) || declared.has(name) || switchArgs.has(name);
  const told = new Set<string>();
  const look = (word: Word): void => {
    for (const { name, range } of variablesIn(word)) {
      if (name === "" || isKnown(name) || told.has(name)) continue;
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

/** Somewhere below is an image that nobody could ask. */
function mayHaveMore(stage: WalkedStage): boolean {
  let { base } = stage;
  while (base.kind === "stage") base = base.stage.base;
  return base.kind === "unknown";
}

/** Source: Dockerfile reference, "Environment replacement". */
function expandedWords(instruction: Instruction): readonly Word[] {
  const given = (...words: readonly (Word | undefined)[]): readonly Word[] =>
    words.filter((word) => word !== undefined);
  switch (instruction.kind) {
    case "env":
    case "label":
      return instruction.pairs.flatMap(({ key, value }) => [key, value]);
    case "copy":
    case "add": {
      const { sources, destination, chown, chmod, heredocs } = instruction;
      const checksum = instruction.kind === "add" ? instruction.checksum : undefined;
      return given(...sources, destination, chown, chmod, checksum, ...heredocs.map(({ word }) => word));
    }
    case "run":
      return instruction.mounts.flatMap(({ late, target, source, id, mode, uid, gid, size, env }) =>
        given(...(late?.map(({ value }) => value) ?? [target, source, id, mode, uid, gid, size, env])),
      );
    case "expose":
      return instruction.ports;
    case "volume":
      return instruction.paths;
    case "user":
      return [instruction.user];
    case "workdir":
      return [instruction.path];
    case "stopsignal":
      return [instruction.signal];
    default:
      return [];
  }
}
