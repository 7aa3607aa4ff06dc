/** `tsbuild export`: the whole root file system of a container, without its volumes, as a tar. */
import { resolve } from "node:path";
import type { Command } from "commander";
import { exportContainer, type TarOutput } from "../../runtime/copy-files.ts";
import type { CommandContext } from "../command.ts";
import { knownContainer } from "../containers/known-container.ts";
import { standardOutput, tarFile } from "../containers/tar-output.ts";

export function define(command: Command): void {
  command
    .usage("[OPTIONS] CONTAINER")
    .argument("<container>", "by name, ID or the beginning of one")
    .option("-o, --output <file>", "write here, not to standard output");
}

export async function run(command: Command, context: CommandContext): Promise<number> {
  const { output } = command.opts<{ readonly output?: string }>();
  const store = context.openStore();
  const container = knownContainer(store, command.args[0] ?? "");
  const write = (to: TarOutput): Promise<void> => exportContainer(store, container, to, context.signal);
  if (output === undefined) {
    const refusal = "cowardly refusing to save to a terminal. Use the -o flag or redirect";
    await write(standardOutput(context, refusal));
    return 0;
  }
  using file = tarFile(resolve(context.cwd, output));
  await write(file.output);
  file.complete();
  return 0;
}
