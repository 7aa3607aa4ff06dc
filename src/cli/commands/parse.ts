/** `tsbuild parse`: what a Dockerfile says, as a tree or as JSON, and everything that is wrong with it. */
import { resolve } from "node:path";
import type { Command } from "commander";
import { findDockerfile, readDockerfile, textOf } from "../build-input.ts";
import type { CommandContext } from "../command.ts";
import { readStandardInput } from "../context-archive.ts";
import { diagnosticLines } from "../render/diagnostic.ts";
import { renderTree } from "../render/syntax-tree.ts";

export function define(command: Command): void {
  command
    .usage("[OPTIONS] [PATH | -]")
    .argument("[context]", "the directory that holds the Dockerfile, or - for a Dockerfile on standard input")
    .option("-f, --file <file>", "the Dockerfile (default: Dockerfile in the directory; - for standard input)")
    .option("--json", "the whole tree with its ranges, and the diagnostics, as one JSON object");
}

/** 1 when the file has an error; then the lines without one are still printed. */
export async function run(command: Command, context: CommandContext): Promise<number> {
  const { file, json = false } = command.opts<{ file?: string; json?: boolean }>();
  const source = await readSource(command.args[0] ?? ".", file, context);
  const { parse } = await import("../../parser/parse.ts");
  const { withReferences } = await import("../../planner/problems.ts");
  const result = withReferences(parse(source.text, { file: source.file }));
  const { dockerfile, diagnostics } = result;
  context.stdout.write(json ? `${JSON.stringify(result)}\n` : renderTree(dockerfile));
  if (!json && diagnostics.length > 0) {
    context.stderr.write(`${diagnosticLines(dockerfile, diagnostics, context.stderr).join("\n")}\n`);
  }
  return diagnostics.some((diagnostic) => diagnostic.severity === "error") ? 1 : 0;
}

async function readSource(
  folder: string,
  file: string | undefined,
  context: CommandContext,
): Promise<{ readonly text: string; readonly file: string }> {
  if (file === "-" || (folder === "-" && file === undefined)) {
    return { text: textOf(await readStandardInput(context), "Dockerfile"), file: "Dockerfile" };
  }
  const found = findDockerfile(file, resolve(context.cwd, folder), context.cwd);
  return { text: textOf(await readDockerfile(found), found.shown), file: found.shown };
}
