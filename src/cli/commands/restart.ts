/** `tsbuild restart`: stop, then start. */
import type { Command } from "commander";
import { stopContainer } from "../../runtime/containers/stop-container.ts";
import type { CommandContext } from "../command.ts";
import { knownContainer } from "../containers/known-container.ts";
import { startAgain } from "../containers/start-again.ts";
import { defineStopFlags, readStopFlags, type StopFlags } from "../containers/stop-flags.ts";
import { eachName } from "../each-name.ts";

export function define(command: Command): void {
  defineStopFlags(command);
}

export async function run(command: Command, context: CommandContext): Promise<number> {
  const options = readStopFlags(command.opts<StopFlags>());
  const store = context.openStore();
  return await eachName(command.args, context, async (name) => {
    const container = knownContainer(store, name);
    await stopContainer(container, { ...options, signal: context.signal });
    await startAgain(container, undefined, context);
    context.stdout.write(`${name}\n`);
  });
}
