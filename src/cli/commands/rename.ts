/** `tsbuild rename`. */
import type { Command } from "commander";
import { renameContainer } from "../../runtime/containers/container-folder.ts";
import { parseContainerName } from "../../runtime/containers/container-id.ts";
import type { CommandContext } from "../command.ts";
import { knownContainer } from "../containers/known-container.ts";

export function define(command: Command): void {
  command
    .usage("CONTAINER NEW_NAME")
    .argument("<container>", "by name, ID or the beginning of one")
    .argument("<name>", "what to call it");
}

export async function run(command: Command, context: CommandContext): Promise<number> {
  const [container = "", name = ""] = command.args;
  const store = context.openStore();
  renameContainer(store, knownContainer(store, container), parseContainerName(name));
  return 0;
}
