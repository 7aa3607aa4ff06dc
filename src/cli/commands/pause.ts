/** `tsbuild pause`: all processes of a container stand still. */
import type { Command } from "commander";
import { findContainer } from "../../runtime/containers/container-folder.ts";
import { pauseContainer } from "../../runtime/containers/stop-container.ts";
import type { CommandContext } from "../command.ts";
import { eachName } from "../each-name.ts";

export function define(command: Command): void {
  command.usage("CONTAINER [CONTAINER...]").argument("<container...>", "by name, ID or the beginning of one");
}

export async function run(command: Command, context: CommandContext): Promise<number> {
  const store = context.openStore();
  return await eachName(command.args, context, async (name) => {
    await pauseContainer(findContainer(store, name));
    context.stdout.write(`${name}\n`);
  });
}
