/** What taking files from a git repository can fail at. */
import { TsbuildError, type Where } from "../errors.ts";
import { nearestWord } from "../nearest-word.ts";

const notFound = (what: string, where: Where | undefined, hint?: string, cause?: unknown): TsbuildError =>
  new TsbuildError({ code: "SOURCE_NOT_FOUND", what, where, hint, cause });

export const gitMissing = (where: Where | undefined, cause: unknown): TsbuildError =>
  notFound("git is not installed, and a git repository is needed", where, "apt-get install git", cause);

export function refNotFound(
  url: string,
  ref: string,
  names: readonly string[],
  where: Where | undefined,
): TsbuildError {
  const near = nearestWord(ref, names);
  const hint =
    near !== undefined
      ? `did you mean ${near}?`
      : /^[0-9a-f]{4,63}$/.test(ref)
        ? "a commit is given by all of its digits"
        : names.length > 0 && names.length <= 10
          ? `there is ${names.join(", ")}`
          : undefined;
  return notFound(`${url} has no branch or tag ${JSON.stringify(ref)}`, where, hint);
}

export const noDefaultBranch = (url: string, where: Where | undefined): TsbuildError =>
  notFound(`${url} has no default branch`, where, "name a branch or a tag: URL#branch");

export const commitNotFound = (url: string, commit: string, where: Where | undefined): TsbuildError =>
  notFound(`${url} has no commit ${commit}`, where);

export const folderNotFound = (url: string, folder: string, where: Where | undefined, cause?: unknown): TsbuildError =>
  notFound(`${url} has no folder ${JSON.stringify(folder)}`, where, undefined, cause);

/** `got`: the commit, or the object of an annotated tag and the commit behind it. */
export const commitMismatch = (
  url: string,
  wanted: string,
  got: readonly string[],
  where: Where | undefined,
): TsbuildError =>
  new TsbuildError({
    code: "COPY_FAILED",
    what: `${url} is at the commit ${got.toReversed().join(", by the tag ")}, wanted is ${wanted}`,
    where,
  });

export const commitChecksumInvalid = (checksum: string, where: Where | undefined): TsbuildError =>
  new TsbuildError({
    code: "INVALID_ARGUMENT",
    what: `the checksum of a git repository is a commit or how it begins, not ${JSON.stringify(checksum)}`,
    where,
  });

export const submoduleMisplaced = (url: string, path: string, where: Where | undefined): TsbuildError =>
  notFound(`the submodule ${JSON.stringify(path)} of ${url} has no place or no URL`, where, withoutSubmodules);

const withoutSubmodules = "leave submodules out: URL?submodules=false";

/** What git says last, without its prefix and without control characters. */
export function gitFailed(url: string, stderr: string, where: Where | undefined): TsbuildError {
  const lines = stderr
    .split(/[\r\n]+/)
    .map((line) => line.replace(/[\x00-\x1f\x7f]/g, " ").trim())
    .filter((line) => line !== "");
  const told = lines.findIndex((line) => /^(?:fatal|error|ssh|remote): /.test(line));
  const first = lines[told] ?? lines.at(-1) ?? "git failed";
  // The reason of a failed connection stands in a line of its own: behind this one, or what ssh said before.
  const isSsh = told > 0 && /^fatal: Could not read from remote repository/.test(first);
  const rest = isSsh ? ` (${lines[told - 1]})` : first.endsWith(":") ? ` ${lines[told + 1] ?? ""}` : "";
  const why = `${first}${rest}`.trimEnd().replace(/^(?:fatal|error): /, "");
  return notFound(`cannot fetch ${url}: ${withoutCredentials(why)}`, where, hintOf(stderr));
}

function withoutCredentials(text: string): string {
  return text.replace(/(\b[a-z]+:\/\/)[^/@\s']*@/gi, "$1");
}

function hintOf(stderr: string): string | undefined {
  if (/terminal prompts disabled|Authentication failed|could not read Username/.test(stderr))
    return "give a token with --secret id=GIT_AUTH_TOKEN,env=VARIABLE";
  if (/server certificate verification failed|SSL certificate problem|certificate verif/i.test(stderr))
    return "name a file with the authority's certificate: GIT_SSL_CAINFO=FILE";
  if (/No url found for submodule path/.test(stderr)) return withoutSubmodules;
  if (/REMOTE HOST IDENTIFICATION HAS CHANGED|Host key verification failed/.test(stderr)) return hostKeyHint(stderr);
  if (/cannot run ssh|ssh: not found/.test(stderr)) return "apt-get install openssh-client";
  if (/Permission denied \(publickey|Too many authentication failures/.test(stderr))
    return "give an agent that has the key: --ssh default";
  if (/transport '[^']*' not allowed/.test(stderr)) return "git, http, https and ssh are allowed";
  return undefined;
}

/** Ssh says which file has the key that it wants: there the old one can go. */
function hostKeyHint(stderr: string): string | undefined {
  const [, file, line] = /Offending \S+ key in (.+):(\d+)/.exec(stderr) ?? [];
  return file === undefined ? undefined : `if the host really has a new key, remove line ${line} of ${file.trim()}`;
}
