/** `tsbuild wait`: exit codes, one a line, in the order of the words. */
import type { Command } from "commander";
import { findContainer } from "../../runtime/containers/container-folder.ts";
import { waitForExit } from "../../runtime/containers/stop-container.ts";
import type { CommandContext } from "../command.ts";
import { eachName } from "../each-name.ts";

export function define(command: Command): void {
  command.usage("CONTAINER [CONTAINER...]").argument("<container...>", "by name, ID or the beginning of one");
}

export async function run(command: Command, context: CommandContext): Promise<number> {
  const store = context.openStore();
  return await eachName(command.args, context, async (name) => {
    const code = await waitForExit(findContainer(store, name), context.signal);
    context.stdout.write(`${code}\n`);
  });
}
