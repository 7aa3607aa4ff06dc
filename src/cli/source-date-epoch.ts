/** Where SOURCE_DATE_EPOCH comes from: a build-arg, a flag, the environment. As buildx, the last one without asking. */
import type { Command } from "commander";
import type { CommandContext } from "./command.ts";
import { invalidFlagValue } from "./usage-errors.ts";

const name = "SOURCE_DATE_EPOCH";

/** The build-args with it. @throws {TsbuildError} `USAGE` */
export function withEpoch(
  buildArgs: ReadonlyMap<string, string>,
  command: Command,
  { environment }: CommandContext,
): ReadonlyMap<string, string> {
  const { sourceDateEpoch, timestamp } = command.opts<{ sourceDateEpoch?: string; timestamp?: string }>();
  for (const [flag, value] of [
    ["--source-date-epoch", sourceDateEpoch],
    ["--timestamp", timestamp],
  ] as const) {
    if (value === undefined) continue;
    if (!/^[0-9]{1,15}$/.test(value)) throw invalidFlagValue(flag, value, "not seconds since 1970");
    return new Map([...buildArgs, [name, value]]);
  }
  const inherited = environment[name];
  return buildArgs.has(name) || inherited === undefined || inherited === ""
    ? buildArgs
    : new Map([...buildArgs, [name, inherited]]);
}
