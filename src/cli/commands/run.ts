/**
 * `tsbuild run`. In the foreground and without a terminal this process itself is the container's supervisor: one
 * process less to start, which is most of the time of `run --rm IMAGE true`. All else has a monitor, which lives as
 * long as the container.
 */
import type { Command } from "commander";
import { notOnATerminal } from "../../runtime/container-errors.ts";
import type { LiveContainer } from "../../runtime/containers/container-folder.ts";
import { defaultDetachKeys } from "../../runtime/terminal.ts";
import type { CommandContext } from "../command.ts";
import { terminalSize } from "../containers/attach-streams.ts";
import { type CreateFlags, defineCreateFlags } from "../containers/create-flags.ts";
import { conflicting } from "../containers/flag-values.ts";
import { newContainer, warnOfPlatform } from "../containers/new-container.ts";
import { invalidFlagValue } from "../usage-errors.ts";

interface Flags extends CreateFlags {
  readonly detach?: boolean;
  readonly detachKeys?: string;
  readonly sigProxy?: boolean;
}

export function define(command: Command): void {
  defineCreateFlags(
    command
      .usage("[OPTIONS] IMAGE [COMMAND] [ARG...]")
      .option("-d, --detach", "leave it running, print its ID")
      .option("--detach-keys <keys>", "keys that leave it running", defaultDetachKeys)
      .option("--sig-proxy", "pass signals on to it", true),
  );
}

export async function run(command: Command, context: CommandContext): Promise<number> {
  const flags = command.opts<Flags>();
  const [imageName = "", ...words] = command.args;
  const streams = streamsOf(flags);
  if (flags.tty === true && streams.attachStdin && !context.stdin.isTTY) throw notOnATerminal();
  const container = await newContainer({ imageName, words, flags, streams }, context);
  warnOfPlatform(container, context);
  try {
    return await start(container, flags, streams, context);
  } catch (error) {
    const [{ explainStart }, { removeContainer }] = await Promise.all([
      import("../containers/explain-start.ts"),
      import("../../runtime/containers/remove-container.ts"),
    ]);
    const store = context.openStore();
    const explained = explainStart(store, container, error);
    if (flags.rm === true) removeContainer(store, container.folder.id, { volumes: true });
    throw explained;
  }
}

async function start(
  container: LiveContainer,
  flags: Flags,
  streams: ReturnType<typeof streamsOf>,
  context: CommandContext,
): Promise<number> {
  const detach = flags.detach === true;
  const sigProxy = flags.sigProxy !== false;
  const alone = detach || flags.tty === true || !sigProxy || container.record.host.restart.kind !== "no";
  if (!alone) {
    const { runHere } = await import("../containers/run-here.ts");
    return await runHere(container, { ...streams, debug: context.debug }, context);
  }
  const { runUnderMonitor } = await import("../containers/run-under-monitor.ts");
  const end = await runUnderMonitor(
    container,
    {
      attach: detach ? undefined : { ...streams, detachKeys: flags.detachKeys ?? defaultDetachKeys, sigProxy },
      size: flags.tty === true ? terminalSize(context.stdout) : undefined,
    },
    context,
  );
  if (detach) context.stdout.write(`${container.folder.id}\n`);
  return end;
}

/** docker's: without `-a`, `-d` and `-i` output only; `-i` adds the input. */
function streamsOf(flags: Flags): {
  readonly attachStdin: boolean;
  readonly attachStdout: boolean;
  readonly attachStderr: boolean;
} {
  const attach = flags.attach ?? [];
  if (flags.detach === true) {
    if (attach.length > 0) throw conflicting("cannot specify both --attach and --detach");
    return { attachStdin: false, attachStdout: false, attachStderr: false };
  }
  for (const stream of attach) {
    if (!/^(stdin|stdout|stderr)$/i.test(stream)) {
      throw invalidFlagValue("--attach", stream, "valid streams are STDIN, STDOUT and STDERR");
    }
  }
  const asked = (name: string): boolean => attach.some((stream) => stream.toLowerCase() === name);
  if (attach.length === 0) return { attachStdin: flags.interactive === true, attachStdout: true, attachStderr: true };
  return {
    attachStdin: asked("stdin") || (flags.interactive === true && attach.length === 0),
    attachStdout: asked("stdout"),
    attachStderr: asked("stderr"),
  };
}
