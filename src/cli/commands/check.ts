/** `tsbuild check`: what is wrong with a Dockerfile, and what is worth a word. The same as `build --check`. */
import { readFileSync } from "node:fs";
import type { Command } from "commander";
import { TsbuildError } from "../../errors.ts";
import { nearestWord } from "../../nearest-word.ts";
import { defineBuildFlags, readBuildRequest } from "../build-flags.ts";
import { type CallFlags, defineCheckFlags } from "../call-flags.ts";
import type { CommandContext } from "../command.ts";
import { readCall } from "../read-call.ts";

export function define(command: Command): void {
  defineBuildFlags(command);
  defineCheckFlags(command);
  command.option("--explain <check>", "what a check is about, with a bad and a good example");
}

/** 1 when something was found. */
export async function run(command: Command, context: CommandContext): Promise<number> {
  const { explain, ...flags } = command.opts<CallFlags & { readonly explain?: string }>();
  if (explain !== undefined) return await printPage(explain, context);
  const call = readCall({ ...flags, check: true });
  if (call === undefined) return 0;
  if (command.args.length === 0) command.args.push(".");
  using request = await readBuildRequest(command, context);
  const { answerCall, dockerfilePath } = await import("../call.ts");
  return await answerCall(
    call,
    { options: request.options, file: dockerfilePath(command, context), pull: request.pull },
    context,
  );
}

async function printPage(name: string, context: CommandContext): Promise<number> {
  const { rules } = await import("../../checks/rules.ts");
  const { pagePath } = await import("../render/checks/report.ts");
  const path = rules.has(name) ? pagePath(name) : undefined;
  if (path === undefined) {
    const near = nearestWord(name, rules.keys());
    throw new TsbuildError({
      code: "USAGE",
      what: `there is no check ${name}`,
      hint: near === undefined ? `the checks are ${[...rules.keys()].join(", ")}` : `did you mean ${near}?`,
    });
  }
  context.stdout.write(readFileSync(path));
  return 0;
}
