/** `tsbuild commit`: an image from a container, with changes in the words of a Dockerfile. */
import type { Command } from "commander";
import { parseReference } from "../../oci/reference.ts";
import { commitContainer } from "../../runtime/containers/commit-container.ts";
import { logTimestamp } from "../../runtime/logs.ts";
import type { CommandContext } from "../command.ts";
import { knownContainer } from "../containers/known-container.ts";
import { listOption } from "../list-option.ts";

interface Flags {
  readonly author?: string;
  readonly message?: string;
  readonly change?: readonly string[];
  /** False with `--no-pause`. */
  readonly pause: boolean;
}

export function define(command: Command): void {
  command
    .usage("[OPTIONS] CONTAINER [REPOSITORY[:TAG]]")
    .argument("<container>", "by name, ID or the beginning of one")
    .argument("[reference]", "name of the image")
    .option("-a, --author <author>", "who made it")
    .option("-m, --message <text>", "a comment in the image's history")
    .addOption(listOption("-c, --change <instruction>", "an instruction of a Dockerfile, such as 'CMD [\"x\"]'"))
    .option("-p, --pause", "let its processes stand still meanwhile", true)
    .option("--no-pause", "let it go on meanwhile");
}

export async function run(command: Command, context: CommandContext): Promise<number> {
  const flags = command.opts<Flags>();
  const [name = "", written] = command.args;
  const reference = written === undefined ? undefined : parseReference(written);
  const store = context.openStore();
  const container = knownContainer(store, name);
  const { applyChanges } = await import("../../planner/apply-changes.ts");
  const image = await commitContainer(store, container, {
    author: flags.author,
    message: flags.message,
    change: (config) => applyChanges(config, flags.change ?? []),
    pause: flags.pause,
    created: logTimestamp(context.now()),
    signal: context.signal,
  });
  if (reference !== undefined) store.images.tag(reference, image.id);
  context.stdout.write(`${image.id}\n`);
  return 0;
}
