/** `tsbuild plan`: what a build would do now, and why, without doing it. */
import type { Command } from "commander";
import { defineBuildFlags } from "../build-flags.ts";
import type { CommandContext } from "../command.ts";
import { requestedPlan } from "../plan-request.ts";
import { renderPlan } from "../render/plan.ts";

export function define(command: Command): void {
  defineBuildFlags(command);
  command.option("--json", "the plan as one JSON object");
}

export async function run(command: Command, context: CommandContext): Promise<number> {
  const { json = false } = command.opts<{ json?: boolean }>();
  const { plan, file } = await requestedPlan(command, context);
  context.stdout.write(
    json ? `${JSON.stringify(plan)}\n` : renderPlan(plan, { file, nowMs: context.now(), showNearest: false }),
  );
  return 0;
}
