/** `tsbuild logs`. */
import type { Command } from "commander";
import { noLog } from "../../runtime/container-errors.ts";
import { observe } from "../../runtime/containers/container-state.ts";
import { isUp } from "../../runtime/containers/stop-container.ts";
import { fixedTimestamp, readLogs } from "../../runtime/logs.ts";
import type { CommandContext } from "../command.ts";
import { knownContainer } from "../containers/known-container.ts";
import { parseTime } from "../render/time.ts";
import { invalidFlagValue } from "../usage-errors.ts";

interface Flags {
  readonly follow?: boolean;
  readonly tail: string;
  readonly timestamps?: boolean;
  readonly since?: string;
  readonly until?: string;
  readonly details?: boolean;
}

export function define(command: Command): void {
  command
    .usage("[OPTIONS] CONTAINER")
    .argument("<container>", "by name, ID or the beginning of one")
    .option("-f, --follow", "go on until the container ends")
    .option("-n, --tail <lines>", "this many from the end", "all")
    .option("-t, --timestamps", "the time in front of each line")
    .option("--since <time>", "not before: RFC 3339, unix seconds, or a duration ago such as 10m")
    .option("--until <time>", "not after")
    .option("--details", "accepted: there are none");
}

export async function run(command: Command, context: CommandContext): Promise<number> {
  const flags = command.opts<Flags>();
  const { folder, record } = knownContainer(context.openStore(), command.args[0] ?? "");
  if (record.host.log.driver === "none") throw noLog();
  const now = context.now();
  const records = readLogs(folder.logFile, {
    tail: tailOf(flags.tail),
    since: flags.since === undefined ? undefined : parseTime(flags.since, now),
    until: flags.until === undefined ? undefined : parseTime(flags.until, now),
    follow: flags.follow === true ? { isOver: () => !isUp(observe(folder)) } : undefined,
    signal: context.signal,
  });
  // docker's: with a terminal all of it is one stream.
  const streams = { stdout: context.stdout, stderr: record.process.tty ? context.stdout : context.stderr };
  for await (const { log, stream, time } of records) {
    streams[stream].write(flags.timestamps === true ? `${fixedTimestamp(time)} ${log}` : log);
  }
  return 0;
}

function tailOf(text: string): number | undefined {
  if (text === "all" || /^-\d+$/.test(text)) return undefined;
  if (!/^\d+$/.test(text)) throw invalidFlagValue("--tail", text, "a number, or all");
  return Number(text);
}
