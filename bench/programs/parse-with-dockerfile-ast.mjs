/** The peer of `tsbuild parse --json`: the same file through dockerfile-ast, every instruction and argument asked for. */
import { readFileSync } from "node:fs";
import { DockerfileParser } from "dockerfile-ast";

const dockerfile = DockerfileParser.parse(readFileSync(process.argv[2] ?? "Dockerfile", "utf8"));
const instructions = dockerfile.getInstructions().map((instruction) => ({
  keyword: instruction.getKeyword(),
  range: instruction.getRange(),
  arguments: instruction.getArguments().map((argument) => [argument.getValue(), argument.getRange()]),
  variables: instruction.getVariables().map((variable) => [variable.getName(), variable.getRange()]),
}));
process.stdout.write(`${JSON.stringify(instructions)}\n`);
