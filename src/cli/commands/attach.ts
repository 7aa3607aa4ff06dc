/** `tsbuild attach`. */
import type { Command } from "commander";
import { notOnATerminal } from "../../runtime/container-errors.ts";
import { defaultDetachKeys } from "../../runtime/terminal.ts";
import type { CommandContext } from "../command.ts";
import { attachRunning } from "../containers/attach-running.ts";
import { knownContainer } from "../containers/known-container.ts";

interface Flags {
  readonly stdin: boolean;
  readonly sigProxy: boolean;
  readonly detachKeys: string;
}

export function define(command: Command): void {
  command
    .usage("[OPTIONS] CONTAINER")
    .argument("<container>", "by name, ID or the beginning of one")
    .option("--detach-keys <keys>", "keys that leave it running", defaultDetachKeys)
    .option("--no-stdin", "do not attach standard input")
    .option("--sig-proxy", "pass signals on to it", true);
}

export async function run(command: Command, context: CommandContext): Promise<number> {
  const { stdin, sigProxy, detachKeys } = command.opts<Flags>();
  const container = knownContainer(context.openStore(), command.args[0] ?? "");
  const { tty, openStdin } = container.record.process;
  const attachStdin = stdin && openStdin;
  if (attachStdin && tty && !context.stdin.isTTY) throw notOnATerminal();
  const attach = { attachStdin, attachStdout: true, attachStderr: true, detachKeys, sigProxy };
  return await attachRunning(container, attach, context);
}
