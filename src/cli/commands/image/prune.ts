/** `tsbuild image prune`. */
import type { Command } from "commander";
import type { CommandContext } from "../../command.ts";
import { pruneImages } from "../../prune.ts";
import { definePrune, runPrune } from "../../prune-command.ts";

export function define(command: Command): void {
  command.option("-a, --all", "images with a name too, when no container stands on them");
  definePrune(command);
}

export async function run(command: Command, context: CommandContext): Promise<number> {
  const { all = false } = command.opts<{ all?: boolean }>();
  return runPrune(command, context, {
    warning: [all ? "all images that no container stands on" : "all images without a name"],
    parts: [{ title: "Deleted Images:", prune: (options) => pruneImages(context.openStore(), { ...options, all }) }],
  });
}
