/** `tsbuild stop`. */
import type { Command } from "commander";
import { findContainer } from "../../runtime/containers/container-folder.ts";
import { stopContainer } from "../../runtime/containers/stop-container.ts";
import type { CommandContext } from "../command.ts";
import { defineStopFlags, readStopFlags, type StopFlags } from "../containers/stop-flags.ts";
import { eachName } from "../each-name.ts";

export function define(command: Command): void {
  defineStopFlags(command);
}

export async function run(command: Command, context: CommandContext): Promise<number> {
  const options = readStopFlags(command.opts<StopFlags>());
  const store = context.openStore();
  return await eachName(command.args, context, async (name) => {
    await stopContainer(findContainer(store, name), { ...options, signal: context.signal });
    context.stdout.write(`${name}\n`);
  });
}
