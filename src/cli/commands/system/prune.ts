/** `tsbuild system prune`: containers first, so that their images may go, then images, then what only the cache kept. */
import type { Command } from "commander";
import type { CommandContext } from "../../command.ts";
import { pruneCache, pruneContainers, pruneImages } from "../../prune.ts";
import { definePrune, runPrune } from "../../prune-command.ts";

export function define(command: Command): void {
  command.option("-a, --all", "images with a name and the whole build cache too");
  definePrune(command);
}

export async function run(command: Command, context: CommandContext): Promise<number> {
  const { all = false } = command.opts<{ all?: boolean }>();
  const store = () => context.openStore();
  return runPrune(command, context, {
    warning: [
      "all stopped containers",
      all ? "all images that no container stands on" : "all images without a name",
      all ? "the build cache" : "build cache that no image stands on",
    ],
    parts: [
      { title: "Deleted Containers:", prune: (options) => pruneContainers(store(), options) },
      { title: "Deleted Images:", prune: (options) => pruneImages(store(), { ...options, all }) },
      { title: "Deleted build cache objects:", prune: (options) => pruneCache(store(), { ...options, all }) },
    ],
  });
}
