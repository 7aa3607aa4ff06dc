import { resolve } from "node:path";
import { TsbuildError } from "../errors.ts";
import { formatPlatform, hostPlatform, type Platform, parsePlatform } from "../oci/platform.ts";
import { parseReference, parseReferenceAsWritten, type Reference } from "../oci/reference.ts";
import type { NamedContext, OciLayout } from "../planner/build-options.ts";
import { isGitUrl } from "../planner/git-url.ts";
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
    contexts.set(name.toLowerCase(), namedContext(value, cwd));
  }
  return contexts;
}

/** Each platform once, in the order of the first time it is named. `local` is the builder's own. */
export function parseBuildPlatforms(values: readonly string[]): readonly Platform[] {
  const platforms = commaLists(values).map((text) =>
    text.trim() === "local" ? hostPlatform() : parsePlatform(text.trim()),
  );
  return [...new Map(platforms.map((platform) => [formatPlatform(platform), platform])).values()];
}

function namedContext(value: string, cwd: string): NamedContext {
  if (value.startsWith("github.com/") || isGitUrl(value)) return { kind: "git", url: value };
  const [, scheme, rest = ""] = /^([a-z][a-z0-9-]*):(?:\/\/)?(.*)$/s.exec(value) ?? [];
  switch (scheme) {
    case "docker-image":
      return { kind: "image", reference: rest };
    case "oci-layout":
      return { kind: "ociLayout", layout: ociLayout(rest, cwd) };
    case "http":
    case "https":
      return { kind: "url", url: value };
    case "target":
      return { kind: "unknown", value };
    default:
      return /^[a-z][a-z0-9-]*:\/\//.test(value)
        ? { kind: "unknown", value }
        : { kind: "directory", path: resolve(cwd, value) };
  }
}

/** `path`, `path:tag`, `path@sha256:…`. A tag has no slash, so `./a:b/c` is a path. */
function ociLayout(text: string, cwd: string): OciLayout {
  const [, path = text, tag, digest] = /^(.+?)(?::([^:/@]+))?(?:@([a-z0-9]+:[0-9a-f]+))?$/s.exec(text) ?? [];
  return { path: resolve(cwd, path), tag, digest };
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
