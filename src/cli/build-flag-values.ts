/** What single flags of `build` may say. */
import { statSync } from "node:fs";
import { basename, resolve } from "node:path";
import { TsbuildError } from "../errors.ts";
import { type Platform, parsePlatform } from "../oci/platform.ts";
import { parseReference, parseReferenceAsWritten, type Reference } from "../oci/reference.ts";
import type { BuildOptions, NamedContext, SecretSource } from "../planner/build-options.ts";
import type { CommandContext } from "./command.ts";

export type ProgressMode = "auto" | "tty" | "plain" | "quiet" | "json";

const usage = (what: string, hint?: string): TsbuildError => new TsbuildError({ code: "USAGE", what, hint });

function invalidFlag(flag: string, value: string, why: string, hint?: string): TsbuildError {
  return usage(`invalid argument ${JSON.stringify(value)} for ${flag}: ${why}`, hint);
}

function splitPair(text: string): readonly [string, string | undefined] {
  const at = text.indexOf("=");
  return at < 0 ? [text, undefined] : [text.slice(0, at), text.slice(at + 1)];
}

export function commaLists(values: readonly string[]): readonly string[] {
  return values.flatMap((value) => value.split(",")).filter((value) => value !== "");
}

/** A bare key takes the caller's value and is dropped when there is none. As with docker. */
export function parseBuildArgs(
  values: readonly string[],
  environment: CommandContext["environment"],
): ReadonlyMap<string, string> {
  const args = new Map<string, string>();
  for (const text of values) {
    const [key, value] = splitPair(text);
    if (key === "") throw invalidFlag("--build-arg", text, "the name is empty");
    const taken = value ?? environment[key];
    if (taken !== undefined) args.set(key, taken);
  }
  return args;
}

export function parsePairs(flag: string, values: readonly string[]): ReadonlyMap<string, string> {
  const pairs = new Map<string, string>();
  for (const text of values) {
    const [key, value] = splitPair(text);
    if (key === "") throw invalidFlag(flag, text, "the name is empty");
    pairs.set(key, value ?? "");
  }
  return pairs;
}

/** Whether a value is usable is decided where it is used: an unused context is never looked at. */
export function parseNamedContexts(values: readonly string[], cwd: string): ReadonlyMap<string, NamedContext> {
  const contexts = new Map<string, NamedContext>();
  for (const text of values) {
    const [name, value] = splitPair(text);
    if (name === "" || value === undefined || value === "")
      throw invalidFlag("--build-context", text, "must be name=value");
    const image = /^docker-image:\/\/(.*)$/s.exec(value)?.[1];
    contexts.set(
      name.toLowerCase(),
      image !== undefined
        ? { kind: "image", reference: image }
        : { kind: "directory", path: /^[a-z-]+:\/\//.test(value) ? value : resolve(cwd, value) },
    );
  }
  return contexts;
}

export function parseBuildPlatform(text: string | undefined): Platform | undefined {
  if (text === undefined) return undefined;
  if (text.includes(","))
    throw new TsbuildError({
      code: "UNSUPPORTED",
      what: "building for several platforms at once is not supported",
      hint: "build one platform at a time",
    });
  return parsePlatform(text);
}

export function parseNetwork(text: string | undefined): BuildOptions["network"] {
  switch (text) {
    case undefined:
    case "":
    case "default":
      return "default";
    case "none":
    case "host":
      return text;
    default:
      throw invalidFlag("--network", text, "must be default, none or host");
  }
}

/** `NAME:ADDRESS` or `NAME=ADDRESS`; an IPv6 address may stand in brackets. */
export function parseExtraHost(text: string): { readonly name: string; readonly address: string } {
  const match = /^([^:=]+)[:=](.+)$/s.exec(text);
  const address = match?.[2]?.replace(/^\[(.*)\]$/s, "$1") ?? "";
  const valid =
    address === "host-gateway" ||
    /^[0-9]{1,3}(?:\.[0-9]{1,3}){3}$/.test(address) ||
    /^[0-9a-fA-F:.]*:[0-9a-fA-F:.]*$/.test(address);
  if (match?.[1] === undefined || !valid) throw invalidFlag("--add-host", text, "must be name:address");
  return { name: match[1].toLowerCase(), address };
}

export function parseUlimit(text: string): BuildOptions["ulimits"][number] {
  const match = /^([a-z]+)=(-?[0-9]+)(?::(-?[0-9]+))?$/.exec(text);
  if (match?.[1] === undefined) throw invalidFlag("--ulimit", text, "must be name=soft[:hard]");
  const soft = Number(match[2]);
  const hard = match[3] === undefined ? soft : Number(match[3]);
  if (hard !== -1 && (soft === -1 || soft > hard))
    throw invalidFlag("--ulimit", text, "the soft limit is above the hard limit");
  return { name: match[1], soft, hard };
}

const maxSecretBytes = 500 * 1024;

/** Everything is looked at before anything runs. */
export function parseSecrets(values: readonly string[], context: CommandContext): ReadonlyMap<string, SecretSource> {
  const secrets = new Map<string, SecretSource>();
  for (const text of values) {
    const fields = new Map(text.split(",").map(splitPair));
    for (const key of fields.keys())
      if (!["id", "src", "source", "env", "type"].includes(key))
        throw invalidFlag("--secret", text, `unexpected key '${key}'`, "id=NAME[,src=FILE|,env=VARIABLE]");
    const type = fields.get("type");
    const file = fields.get("src") ?? fields.get("source");
    const id = fields.get("id") || (file === undefined ? fields.get("env") : basename(file));
    if (id === undefined || id === "")
      throw invalidFlag("--secret", text, "id is missing", "--secret id=NAME,src=FILE");
    if (type !== undefined && type !== "file" && type !== "env")
      throw invalidFlag("--secret", text, `unsupported type '${type}'`, "the types are file and env");
    const variable = fields.get("env") ?? (type === "env" ? (file ?? id) : undefined);
    secrets.set(id, secretSource(id, variable, file, type, context));
  }
  return secrets;
}

function secretSource(
  id: string,
  variable: string | undefined,
  file: string | undefined,
  type: string | undefined,
  context: CommandContext,
): SecretSource {
  const bare = variable === undefined && file === undefined && type === undefined;
  const named = variable ?? (bare && context.environment[id] !== undefined ? id : undefined);
  if (named !== undefined) {
    const value = context.environment[named];
    if (value === undefined) throw usage(`secret ${id}: the variable ${named} is not set`);
    if (Buffer.byteLength(value) > maxSecretBytes) throw usage(`secret ${id} is larger than 500 KiB`);
    return { kind: "environment", value };
  }
  const path = resolve(context.cwd, file ?? id);
  const stat = statSync(path, { throwIfNoEntry: false });
  if (stat === undefined || !stat.isFile())
    throw usage(
      `secret ${id}: no such file: ${file ?? id}`,
      "--secret id=NAME,src=FILE or --secret id=NAME,env=VARIABLE",
    );
  if (stat.size > maxSecretBytes) throw usage(`secret ${id} is larger than 500 KiB`);
  return { kind: "file", path };
}

export function parseTag(text: string): Reference {
  if (parseReferenceAsWritten(text).digest !== undefined)
    throw usage(`invalid tag ${JSON.stringify(text)}: a tag has no digest`);
  return parseReference(text);
}

export function parseProgress(text: string): ProgressMode {
  switch (text) {
    case "auto":
    case "tty":
    case "plain":
    case "quiet":
    case "json":
      return text;
    default:
      throw invalidFlag("--progress", text, "must be auto, tty, plain, quiet or json");
  }
}

export function parseJobs(text: string): number {
  const jobs = Number(text);
  if (!Number.isSafeInteger(jobs) || jobs < 1) throw invalidFlag("--jobs", text, "must be a number from 1");
  return jobs;
}
