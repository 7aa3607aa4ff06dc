/** What the values of container flags mean, one function each. Texts of refusals are docker's. */
import { readFileSync } from "node:fs";
import { isAbsolute, resolve } from "node:path";
import { errnoOf, TsbuildError } from "../../errors.ts";
import type { Healthcheck } from "../../oci/image-config.ts";
import type { LogRequest, RestartPolicy } from "../../runtime/containers/container-record.ts";
import type { CommandContext } from "../command.ts";
import { parseSize } from "../render/size.ts";
import { parseDuration } from "../render/time.ts";
import { invalidFlagValue } from "../usage-errors.ts";
import type { CreateFlags } from "./create-flags.ts";

export function restartPolicy(text: string): RestartPolicy {
  const [name = "", count] = text.split(":");
  switch (name) {
    case "":
    case "no":
      return { kind: "no" };
    case "always":
    case "unless-stopped":
      if (count !== undefined) throw invalidFlagValue("--restart", text, `a maximum goes with on-failure only`);
      return { kind: name };
    case "on-failure":
      return { kind: name, maximumRetryCount: count === undefined ? 0 : natural("--restart", count) };
    default:
      throw invalidFlagValue("--restart", text, "there are no, on-failure[:max], always and unless-stopped");
  }
}

export function healthcheckOf(typed: CreateFlags): Healthcheck {
  const ns = (text: string | undefined): number | undefined =>
    text === undefined ? undefined : parseDuration(text) * 1e6;
  const asked = {
    Test: typed.healthCmd === undefined ? undefined : ["CMD-SHELL", typed.healthCmd],
    Interval: ns(typed.healthInterval),
    Timeout: ns(typed.healthTimeout),
    StartPeriod: ns(typed.healthStartPeriod),
    StartInterval: ns(typed.healthStartInterval),
    Retries: typed.healthRetries === undefined ? undefined : natural("--health-retries", typed.healthRetries),
  };
  const given = Object.entries(asked).filter(([, value]) => value !== undefined);
  if (typed.healthcheck === false) {
    if (given.length > 0) throw conflicting("--no-healthcheck conflicts with --health-* options");
    return { Test: ["NONE"] };
  }
  return Object.fromEntries(given);
}

export function pullPolicy(text: string): "always" | "missing" | "never" {
  if (text === "always" || text === "missing" || text === "never") return text;
  throw invalidFlagValue("--pull", text, "there are always, missing and never");
}

export function logRequest(driver: string, options: readonly string[]): LogRequest {
  if (driver === "none") return { driver };
  if (driver !== "json-file") throw invalidFlagValue("--log-driver", driver, "there are json-file and none");
  let maxSizeBytes: number | undefined;
  let maxFiles = 1;
  for (const [key, value] of options.map(keyValue)) {
    if (key === "max-size") maxSizeBytes = value === "-1" ? undefined : parseSize(value);
    else if (key === "max-file") maxFiles = natural("--log-opt max-file", value);
    else throw invalidFlagValue("--log-opt", key, "there are max-size and max-file");
  }
  return { driver, ...(maxSizeBytes !== undefined && { maxSizeBytes }), maxFiles };
}

export function exposedPort(text: string): string {
  const match = /^(\d+)(?:\/(tcp|udp|sctp))?$/.exec(text);
  const port = Number(match?.[1]);
  if (match === null || port < 1 || port > 65_535)
    throw invalidFlagValue("--expose", text, "it must be port[/protocol]");
  return `${port}/${match[2] ?? "tcp"}`;
}

export function extraHost(text: string): string {
  const match = /^([^:=\s]+)[:=](.+)$/.exec(text);
  if (match === null) throw invalidFlagValue("--add-host", text, "it must be name:address");
  return `${match[1]}:${match[2]}`;
}

export function ipAddress(text: string): string {
  if (!/^(\d{1,3}(\.\d{1,3}){3}|[0-9a-fA-F:.]*:[0-9a-fA-F:.]*)$/.test(text)) {
    throw invalidFlagValue("--dns", text, "it must be an IP address");
  }
  return text;
}

export function integer(flag: string, text: string): number {
  if (!/^-?\d+$/.test(text)) throw invalidFlagValue(flag, text, "not a whole number");
  return Number(text);
}

export function natural(flag: string, text: string): number {
  const number = integer(flag, text);
  if (number < 0) throw invalidFlagValue(flag, text, "it cannot be negative");
  return number;
}

/** `K=V`; a bare K takes the caller's value, and is nothing where the caller has none. */
function variable(entry: string, environment: CommandContext["environment"]): readonly string[] {
  const equals = entry.indexOf("=");
  if (entry === "" || equals === 0) throw invalidFlagValue("--env", entry, "a variable needs a name");
  if (equals > 0) return [entry];
  const value = environment[entry];
  return value === undefined ? [] : [`${entry}=${value}`];
}

export function keyValue(text: string): readonly [string, string] {
  const equals = text.indexOf("=");
  return equals < 0 ? [text, ""] : [text.slice(0, equals), text.slice(equals + 1)];
}

/** `--env-file` and `--env`; a later one wins. */
export function environmentOf(
  flags: { readonly envFile?: readonly string[]; readonly env?: readonly string[] },
  { cwd, environment }: Pick<CommandContext, "cwd" | "environment">,
): readonly string[] {
  return [
    ...(flags.envFile ?? []).flatMap((path) => linesOf(path, cwd)).flatMap((line) => fileVariable(line, environment)),
    ...(flags.env ?? []).flatMap((entry) => variable(entry, environment)),
  ];
}

/** A line of an `--env-file`, where docker takes no name with blanks. Source: docker/cli, `opts/file.go`. */
function fileVariable(line: string, environment: CommandContext["environment"]): readonly string[] {
  const name = line.split("=", 1)[0] ?? "";
  const fault = /\s/.test(name)
    ? `variable '${name}' contains whitespaces`
    : name === ""
      ? `no variable name on line '${line}'`
      : undefined;
  if (fault === undefined) return variable(line, environment);
  throw new TsbuildError({ code: "INVALID_ARGUMENT", what: `poorly formatted environment: ${fault}` });
}

/** `#` comments, no quotes, no expansion: every other line is an entry as it stands. */
export function linesOf(path: string, cwd: string): readonly string[] {
  let text: string;
  try {
    text = readFileSync(isAbsolute(path) ? path : resolve(cwd, path), "utf8");
  } catch (error) {
    throw new TsbuildError({
      code: "INVALID_ARGUMENT",
      what: `open ${path}: ${errnoOf(error) === "ENOENT" ? "no such file or directory" : (errnoOf(error) ?? "cannot be read")}`,
      cause: error,
    });
  }
  return text
    .replace(/^\ufeff/, "")
    .split(/\r?\n/)
    .map((line) => line.trimStart())
    .filter((line) => line !== "" && !line.startsWith("#"));
}

export function conflicting(what: string): TsbuildError {
  return new TsbuildError({ code: "USAGE", what: `conflicting options: ${what}` });
}
