/** InvalidDefinitionDescription: the comment above an ARG or a named FROM is its description. */
import type { Instruction } from "../../parser/ast.ts";
import { checkOfDoc } from "../../parser/directives.ts";
import type { Check } from "../checked-file.ts";

export const descriptions: Check = ({ dockerfile }, report) => {
  for (const instruction of dockerfile.instructions) {
    const names = namesOf(instruction);
    const comment = instruction.doc?.split("\n").findLast((line) => checkOfDoc(line) === undefined);
    const [first] = names;
    if (comment === undefined || first === undefined || names.includes(comment.split(" ", 1)[0] ?? "")) continue;
    const name = names.length > 1 ? "<arg_key>" : first;
    report(
      "InvalidDefinitionDescription",
      instruction.keyword.range,
      `Comment for ${instruction.keyword.text.toUpperCase()} should follow the format: \`# ${name} <description>\``,
    );
  }
};

function namesOf(instruction: Instruction): readonly string[] {
  if (instruction.kind === "arg") return instruction.args.map(({ name }) => name);
  return instruction.kind === "from" && instruction.stageName !== undefined ? [instruction.stageName] : [];
}
