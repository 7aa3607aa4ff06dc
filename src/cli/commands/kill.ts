/** `tsbuild kill`. */
import type { Command } from "commander";
import { findContainer } from "../../runtime/containers/container-folder.ts";
import { signalNumber } from "../../runtime/containers/signal-name.ts";
import { killContainer } from "../../runtime/containers/stop-container.ts";
import type { CommandContext } from "../command.ts";
import { eachName } from "../each-name.ts";

export function define(command: Command): void {
  command
    .usage("[OPTIONS] CONTAINER [CONTAINER...]")
    .argument("<container...>", "by name, ID or the beginning of one")
    .option("-s, --signal <signal>", "a name, or a number", "KILL");
}

export async function run(command: Command, context: CommandContext): Promise<number> {
  const { signal } = command.opts<{ readonly signal: string }>();
  signalNumber(signal);
  const store = context.openStore();
  return await eachName(command.args, context, async (name) => {
    await killContainer(findContainer(store, name), signal, context.signal);
    context.stdout.write(`${name}\n`);
  });
}
