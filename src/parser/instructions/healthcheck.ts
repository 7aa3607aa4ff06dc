/** HEALTHCHECK. Source: Dockerfile reference, "HEALTHCHECK". */
import type { HealthcheckInstruction } from "../ast.ts";
import { badFlagValue, flagBehindCommand, healthcheckNone, healthcheckType, needsArgument } from "../diagnostics.ts";
import { instructionsWithFlag } from "../instruction-table.ts";
import { type CommandArguments, commandOf } from "./command.ts";
import { parseGoDuration } from "./go-duration.ts";
import { type Built, type Line, rangeOf, reportMissing, type Span, textOf } from "./line.ts";

export interface HealthcheckArguments extends CommandArguments {
  readonly type: Span | undefined;
}

const NS_PER_MS = 1_000_000;

export function buildHealthcheck(line: Line, args: HealthcheckArguments): Built {
  const { type, json, text } = args;
  if (type === undefined) return reportMissing(line);
  const word = textOf(line, type).toUpperCase();
  if (word === "NONE") {
    const surplus = json?.span ?? text;
    if (surplus !== undefined) return void line.report(healthcheckNone(rangeOf(line, surplus)));
    return { kind: "healthcheck", ...line.node };
  }
  const durations: { [Key in "interval" | "timeout" | "startPeriod" | "startInterval"]?: number } = {};
  for (const [flag, key] of durationFlags) {
    const nanoseconds = duration(line, flag);
    if (nanoseconds !== undefined) durations[key] = nanoseconds;
  }
  const retries = retriesOf(line);
  if (word !== "CMD") return void line.report(healthcheckType(textOf(line, type), rangeOf(line, type)));
  if (json === undefined ? text === undefined : json.elements.length === 0) {
    return void line.report(needsArgument("HEALTHCHECK CMD", rangeOf(line, type), "HEALTHCHECK CMD COMMAND"));
  }
  const flag = text === undefined ? undefined : /^--[a-z-]+/.exec(textOf(line, text))?.[0];
  if (flag !== undefined && text !== undefined && instructionsWithFlag(flag).includes("HEALTHCHECK")) {
    line.report(flagBehindCommand(flag, rangeOf(line, { start: text.start, end: text.start + flag.length })));
  }
  return {
    kind: "healthcheck",
    ...line.node,
    command: commandOf(line, args, []),
    ...durations,
    ...(retries === undefined ? {} : { retries }),
  } satisfies HealthcheckInstruction;
}

const durationFlags = [
  ["--interval", "interval"],
  ["--timeout", "timeout"],
  ["--start-period", "startPeriod"],
  ["--start-interval", "startInterval"],
] as const;

function duration(line: Line, flag: string): number | undefined {
  const use = line.flags.get(flag)?.[0];
  const text = use?.value?.text ?? "";
  if (use === undefined || text === "") return undefined;
  const nanoseconds = parseGoDuration(text);
  if (nanoseconds === undefined) {
    line.report(badFlagValue(flag, text, "a duration with units, such as 1m30s", use.range, meantDuration(flag, text)));
  } else if (nanoseconds !== 0 && nanoseconds < NS_PER_MS) {
    line.report(badFlagValue(flag, text, "at least 1ms, or 0", use.range));
  }
  return nanoseconds;
}

/** `30` and `5sec`, as the language has them. */
function meantDuration(flag: string, text: string): string | undefined {
  const match = /^(\d{1,9})\s*([a-z]*)$/i.exec(text);
  const [, count = "", word = ""] = match ?? [];
  const unit =
    ["s", "m", "h"].find((letter) => word.toLowerCase().startsWith(letter)) ?? (word === "" ? "s" : undefined);
  return match === null || unit === undefined ? undefined : `${flag}=${count}${unit}`;
}

function retriesOf(line: Line): number | undefined {
  const use = line.flags.get("--retries")?.[0];
  const text = use?.value?.text ?? "";
  if (use === undefined || text === "") return undefined;
  const retries = /^[+-]?\d+$/.test(text) ? Number(text) : Number.NaN;
  if (!(retries >= 0 && retries <= 0x7fff_ffff))
    line.report(badFlagValue("--retries", text, "a number from 0 up", use.range));
  return retries;
}
