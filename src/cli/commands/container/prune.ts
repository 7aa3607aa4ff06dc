/** `tsbuild container prune`. */
import type { Command } from "commander";
import type { CommandContext } from "../../command.ts";
import { pruneContainers } from "../../prune.ts";
import { definePrune, runPrune } from "../../prune-command.ts";

export function define(command: Command): void {
  definePrune(command);
}

export async function run(command: Command, context: CommandContext): Promise<number> {
  const prune = (options: Parameters<typeof pruneContainers>[1]) => pruneContainers(context.openStore(), options);
  const parts = [{ title: "Deleted Containers:", prune }];
  return runPrune(command, context, { warning: ["all stopped containers"], parts });
}
