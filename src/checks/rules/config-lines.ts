/** Lines that set the image's config: old forms, forms that are read in another way than meant, lines without effect. */
import type { Instruction, Range } from "../../parser/ast.ts";
import type { Check, CheckedFile, Report, WalkedLine, WalkedStage } from "../checked-file.ts";
import { wordValue } from "../walk-stages.ts";

export const configLines: Check = (file, report) => {
  for (const { kind, range } of file.dockerfile.instructions) {
    if (kind === "maintainer")
      report("MaintainerDeprecated", range, "Maintainer instruction is deprecated in favor of using label");
  }
  for (const stage of file.walked) {
    onlyTheLast(stage, report);
    for (const line of stage.lines) {
      shellForm(line, report);
      legacyPairs(line, report);
      relativeWorkdir(file, line, report);
    }
  }
};

/** Reported at the one that is not used. */
function onlyTheLast({ lines }: WalkedStage, report: Report): void {
  const last = new Map<Instruction["kind"], Range>();
  for (const { instruction, rangeOf } of lines) {
    const { kind, keyword } = instruction;
    if (kind !== "cmd" && kind !== "entrypoint" && kind !== "healthcheck") continue;
    const earlier = last.get(kind);
    if (earlier !== undefined)
      report(
        "MultipleInstructionsDisallowed",
        earlier,
        `Multiple ${keyword.text} instructions should not be used in the same stage because only the last one will be used`,
      );
    last.set(kind, rangeOf(instruction.range));
  }
}

function shellForm({ instruction, before, rangeOf }: WalkedLine, report: Report): void {
  if (instruction.kind !== "cmd" && instruction.kind !== "entrypoint") return;
  if (instruction.command.form === "exec" || before.shell !== undefined) return;
  report(
    "JSONArgsRecommended",
    rangeOf(instruction.range),
    `JSON arguments recommended for ${instruction.keyword.text} to prevent unintended behavior related to OS signals`,
  );
}

function legacyPairs({ instruction, rangeOf }: WalkedLine, report: Report): void {
  if (instruction.kind !== "env" && instruction.kind !== "label") return;
  const { text } = instruction.keyword;
  for (const pair of instruction.pairs)
    if (pair.legacy)
      report(
        "LegacyKeyValueFormat",
        rangeOf(pair.range),
        `"${text} key=value" should be used instead of legacy "${text} key value" format`,
      );
}

/** Only the first of a stage: with it all others are right. */
function relativeWorkdir(
  { dockerfile }: CheckedFile,
  { instruction, before, rangeOf }: WalkedLine,
  report: Report,
): void {
  if (instruction.kind !== "workdir" || before.workdirSet) return;
  const path = wordValue(instruction.path, before.variables, dockerfile);
  if (path === undefined || path.startsWith("/")) return;
  report(
    "WorkdirRelativePath",
    rangeOf(instruction.path.range),
    `Relative workdir ${JSON.stringify(path)} can have unexpected results if the base image changes`,
  );
}
