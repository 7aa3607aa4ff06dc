/** `tsbuild plan`: what a build would do now, and why, without doing it. */
import type { Command } from "commander";
import type { CommandContext } from "../command.ts";
import { definePlanFlags, printPlan } from "../plan-request.ts";

export function define(command: Command): void {
  definePlanFlags(command);
}

export async function run(command: Command, context: CommandContext): Promise<number> {
  return await printPlan(command, context, { showNearest: false });
}
