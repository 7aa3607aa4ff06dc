/** `tsbuild rm`. */
import { type Command, Option } from "commander";
import { TsbuildError } from "../../errors.ts";
import { cannotRemoveRunning } from "../../runtime/container-errors.ts";
import { released } from "../../runtime/containers/claim.ts";
import { findContainer } from "../../runtime/containers/container-folder.ts";
import { observe } from "../../runtime/containers/container-state.ts";
import { removeContainer } from "../../runtime/containers/remove-container.ts";
import { isUp, killContainer } from "../../runtime/containers/stop-container.ts";
import type { CommandContext } from "../command.ts";
import { eachName } from "../each-name.ts";
import { printable } from "../render/printable.ts";

interface Flags {
  readonly force?: boolean;
  readonly volumes?: boolean;
  readonly link?: boolean;
}

/** How long a supervisor may take to let go of a container that has ended. */
const letGoMs = 5000;

export function define(command: Command): void {
  command
    .usage("[OPTIONS] CONTAINER [CONTAINER...]")
    .argument("<container...>", "by name, ID or the beginning of one")
    .option("-f, --force", "kill it first; no error when there is none")
    .option("-v, --volumes", "its anonymous volumes too")
    .addOption(new Option("-l, --link").hideHelp());
}

export async function run(command: Command, context: CommandContext): Promise<number> {
  const { force = false, volumes = false, link = false } = command.opts<Flags>();
  if (link) throw new TsbuildError({ code: "UNSUPPORTED", what: "there are no links to remove" });
  const store = context.openStore();
  return await eachName(command.args, context, async (name) => {
    try {
      const container = findContainer(store, name);
      const state = observe(container.folder);
      if (isUp(state)) {
        if (!force) throw cannotRemoveRunning(container.folder.id, state.status);
        await killContainer(container, "KILL", context.signal);
      }
      // Its supervisor still writes how it ended, or is about to start it.
      if (!(await released(container.folder, letGoMs))) throw cannotRemoveRunning(container.folder.id, "starting");
      removeContainer(store, container.folder.id, { volumes });
    } catch (error) {
      const absent = error instanceof TsbuildError && error.code === "CONTAINER_NOT_FOUND";
      if (!force || !absent) throw error;
      context.stderr.write(`warning: ${printable(error.message)}\n`);
      return;
    }
    context.stdout.write(`${name}\n`);
  });
}
