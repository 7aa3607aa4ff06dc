/** `tsbuild rmi`: takes names away, and images with their last name. Goes on after a failing one. */
import type { Command } from "commander";
import { familiarReference } from "../../oci/reference.ts";
import { containersUsing } from "../../runtime/containers/containers-using.ts";
import { removeImage } from "../../store/remove-image.ts";
import type { CommandContext } from "../command.ts";
import { eachName } from "../each-name.ts";

export function define(command: Command): void {
  command
    .usage("[OPTIONS] IMAGE [IMAGE...]")
    .argument("<image...>")
    .option("-f, --force", "in spite of several names or a stopped container")
    .option("--no-prune", "accepted: there are no untagged parents here");
}

export async function run(command: Command, context: CommandContext): Promise<number> {
  const { force = false } = command.opts<{ force?: boolean }>();
  const store = context.openStore();
  const users = containersUsing(store);
  return eachName(command.args, context, (text) => {
    const removed = removeImage(store, text, { force, users });
    for (const name of removed.untagged) context.stdout.write(`Untagged: ${familiarReference(name)}\n`);
    if (removed.deleted !== undefined) context.stdout.write(`Deleted: ${removed.deleted}\n`);
  });
}
