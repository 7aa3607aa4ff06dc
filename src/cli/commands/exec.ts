/** `tsbuild exec`: a further process in a running container. This process is its parent, as a shell would be. */
import { type Command, Option } from "commander";
import { notOnATerminal } from "../../runtime/container-errors.ts";
import { containerDriver } from "../../runtime/containers/container-driver.ts";
import type { LiveContainer } from "../../runtime/containers/container-folder.ts";
import { execInContainer, requireRunning } from "../../runtime/containers/exec-in-container.ts";
import { signalNumber } from "../../runtime/containers/signal-name.ts";
import { stdioHub } from "../../runtime/containers/stdio-hub.ts";
import { defaultDetachKeys } from "../../runtime/terminal.ts";
import type { CommandContext } from "../command.ts";
import { attachStreams, rawMode, terminalSize } from "../containers/attach-streams.ts";
import { explainExec } from "../containers/explain-start.ts";
import { environmentOf } from "../containers/flag-values.ts";
import { knownContainer } from "../containers/known-container.ts";
import { eachName } from "../each-name.ts";

interface Flags {
  readonly detach?: boolean;
  readonly interactive?: boolean;
  readonly tty?: boolean;
  readonly env?: readonly string[];
  readonly envFile?: readonly string[];
  readonly user?: string;
  readonly workdir?: string;
  readonly privileged?: boolean;
  readonly detachKeys: string;
}

const collect = (value: string, before: readonly string[] | undefined): readonly string[] => [...(before ?? []), value];

export function define(command: Command): void {
  command
    .usage("[OPTIONS] CONTAINER COMMAND [ARG...]")
    .argument("<container>", "by name, ID or the beginning of one")
    .argument("<command...>")
    .option("-d, --detach", "leave it running")
    .option("-i, --interactive", "attach standard input")
    .option("-t, --tty", "a terminal of its own")
    .addOption(new Option("-e, --env <key[=value]>", "a variable; without =value the caller's").argParser(collect))
    .addOption(new Option("--env-file <file>", "variables, one a line").argParser(collect))
    .option("-u, --user <user[:group]>", "names of the container's accounts, or numbers")
    .option("-w, --workdir <path>", "working directory (default: the container's)")
    .option("--privileged", "all capabilities")
    .option("--detach-keys <keys>", "keys that leave it running", defaultDetachKeys);
}

export async function run(command: Command, context: CommandContext): Promise<number> {
  const flags = command.opts<Flags>();
  const [name = "", ...args] = command.args;
  const found: LiveContainer[] = [];
  // docker's: 125 is for what went wrong with a container that runs.
  const code = await eachName([name], context, (each) => {
    const known = knownContainer(context.openStore(), each);
    requireRunning(known);
    found.push(known);
  });
  const [container] = found;
  if (container === undefined) return code;
  const tty = flags.tty === true;
  const detach = flags.detach === true;
  const stdin = flags.interactive === true && !detach;
  if (tty && stdin && !context.stdin.isTTY) throw notOnATerminal();
  const env = environmentOf(flags, context);
  const output = detach ? "null" : "pipe";
  using _raw = rawMode({ stdin, tty }, context);
  let running: Awaited<ReturnType<typeof execInContainer>>;
  try {
    running = await execInContainer(container, {
      args,
      env,
      user: flags.user,
      workingDir: flags.workdir,
      tty,
      size: tty ? terminalSize(context.stdout) : undefined,
      privileged: flags.privileged === true,
      stdio: { stdin: stdin ? "pipe" : "null", stdout: output, stderr: output },
      detach,
      driver: await containerDriver(container.record.host.runtime),
      signal: context.signal,
      ...(context.debug && { trace: (text: string) => void context.stderr.write(text) }),
    });
  } catch (error) {
    throw explainExec(args[0] ?? "", error);
  }
  if (detach) return 0;
  const hub = stdioHub({ log: undefined, tty, stdinOnce: true });
  const { stdout, stderr } = context;
  const streams = { stdout, stderr };
  const viewer = {
    holdsBack: true,
    output: (stream: "stdout" | "stderr", data: Buffer) => streams[stream].write(data),
  };
  hub.add(viewer);
  for (const stream of [stdout, stderr]) stream.on("drain", () => hub.drained(viewer));
  const { outputEnded } = hub.bind(running);
  const exited = outputEnded(running.exited).then(async () => (await running.exited).code);
  const end = await attachStreams(
    {
      input: hub.input,
      inputEnd: hub.inputEnd,
      onRoom: hub.onInputRoom,
      resize: hub.resize,
      exited,
      // As docker: what is typed reaches it through its terminal, a signal to us only ends us when there is none.
      onSignal: (signal) => void running.kill(signalNumber(signal)),
    },
    { stdin, tty, detachKeys: flags.detachKeys },
    context,
  );
  return end.kind === "exited" ? (end.code ?? 0) : 0;
}
