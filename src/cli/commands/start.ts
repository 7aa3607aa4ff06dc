/** `tsbuild start`. */
import type { Command } from "commander";
import { TsbuildError } from "../../errors.ts";
import { observe } from "../../runtime/containers/container-state.ts";
import { defaultDetachKeys } from "../../runtime/terminal.ts";
import type { CommandContext } from "../command.ts";
import { attachRunning } from "../containers/attach-running.ts";
import { knownContainer } from "../containers/known-container.ts";
import { startAgain } from "../containers/start-again.ts";
import { eachName } from "../each-name.ts";
import { exitCodeOf } from "../exit-code.ts";

interface Flags {
  readonly attach?: boolean;
  readonly interactive?: boolean;
  readonly detachKeys: string;
}

export function define(command: Command): void {
  command
    .usage("[OPTIONS] CONTAINER [CONTAINER...]")
    .argument("<container...>", "by name, ID or the beginning of one")
    .option("-a, --attach", "show its output, pass signals on, exit with its code")
    .option("-i, --interactive", "attach standard input")
    .option("--detach-keys <keys>", "keys that leave it running", defaultDetachKeys);
}

export async function run(command: Command, context: CommandContext): Promise<number> {
  const flags = command.opts<Flags>();
  const store = context.openStore();
  if (flags.attach === true || flags.interactive === true) {
    const [name = "", ...others] = command.args;
    if (others.length > 0) {
      throw new TsbuildError({ code: "USAGE", what: "you cannot start and attach multiple containers at once" });
    }
    const container = knownContainer(store, name);
    const stdin = flags.interactive === true && container.record.process.openStdin;
    const attach = {
      attachStdin: stdin,
      attachStdout: true,
      attachStderr: true,
      detachKeys: flags.detachKeys,
      sigProxy: true,
    };
    const { status } = observe(container.folder);
    if (status === "running" || status === "restarting") return await attachRunning(container, attach, context);
    try {
      return await startAgain(container, attach, context);
    } catch (error) {
      // As `run` does: 126 and 127 are answers of the container.
      if (!(error instanceof TsbuildError) || !/^COMMAND_NOT_/.test(error.code)) throw error;
      await eachName([name], context, () => {
        throw error;
      });
      return exitCodeOf(error, { failureCode: 125 });
    }
  }
  const failed: string[] = [];
  const code = await eachName(command.args, context, async (name) => {
    failed.push(name);
    await startAgain(knownContainer(store, name), undefined, context);
    failed.pop();
    context.stdout.write(`${name}\n`);
  });
  if (failed.length > 0) context.stderr.write(`error: failed to start containers: ${failed.join(", ")}\n`);
  return code;
}
