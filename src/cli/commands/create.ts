/** `tsbuild create`: a container that does not run yet. */
import type { Command } from "commander";
import type { CommandContext } from "../command.ts";
import { type CreateFlags, defineCreateFlags } from "../containers/create-flags.ts";
import { newContainer } from "../containers/new-container.ts";

export function define(command: Command): void {
  defineCreateFlags(command.usage("[OPTIONS] IMAGE [COMMAND] [ARG...]"));
}

export async function run(command: Command, context: CommandContext): Promise<number> {
  const flags = command.opts<CreateFlags>();
  const [imageName = "", ...words] = command.args;
  const stdin = flags.interactive === true;
  const streams = { attachStdin: stdin, attachStdout: true, attachStderr: true };
  const { folder } = await newContainer({ imageName, words, flags, streams }, context);
  context.stdout.write(`${folder.id}\n`);
  return 0;
}
