/** ConsistentInstructionCasing, FromAsCasing, StageNameCasing. */
import type { Instruction } from "../../parser/ast.ts";
import type { Check } from "../checked-file.ts";

const isLower = (text: string): boolean => text === text.toLowerCase();
const isUpper = (text: string): boolean => text === text.toUpperCase();

export const casing: Check = ({ dockerfile }, report) => {
  const lines = keywordLines(dockerfile.instructions);
  const majority = majorityCase(lines);
  for (const { keyword } of lines) {
    if (majority === "lowercase" ? isLower(keyword.text) : isUpper(keyword.text)) continue;
    report(
      "ConsistentInstructionCasing",
      keyword.range,
      `Command '${keyword.text}' should match the case of the command majority (${majority})`,
    );
  }
  for (const line of dockerfile.instructions) {
    if (line.kind !== "from") continue;
    const { keyword, asText, asRange, stageNameText, stageNameRange } = line;
    if (asText !== undefined && asRange !== undefined) {
      const matches = isLower(keyword.text) ? isLower(asText) : isUpper(keyword.text) ? isUpper(asText) : true;
      if (!matches) report("FromAsCasing", asRange, `'${asText}' and '${keyword.text}' keywords' casing do not match`);
    }
    if (stageNameText !== undefined && stageNameRange !== undefined && !isLower(stageNameText))
      report("StageNameCasing", stageNameRange, `Stage name '${stageNameText}' should be lowercase`);
  }
};

/** From the first FROM on, without lines that are broken. */
export function keywordLines(instructions: readonly Instruction[]): readonly Instruction[] {
  const first = instructions.findIndex(({ kind }) => kind === "from");
  return first < 0 ? [] : instructions.slice(first).filter(({ kind }) => kind !== "invalid");
}

/** Words in mixed case do not vote. */
export function majorityCase(lines: readonly Instruction[]): "lowercase" | "uppercase" {
  let balance = 0;
  for (const { keyword } of lines) balance += isLower(keyword.text) ? 1 : isUpper(keyword.text) ? -1 : 0;
  return balance > 0 ? "lowercase" : "uppercase";
}
