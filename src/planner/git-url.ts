/**
 * What names a tree in a git repository: `URL#ref:folder`, or a query in place of the fragment.
 * Source: Dockerfile reference, "ADD", "Adding files from a Git repository"; Docker docs, "Build context", "URL queries".
 */
import { TsbuildError, type Where } from "../errors.ts";

export interface GitSource {
  /** What git is given: without fragment and query. */
  readonly remote: string;
  /** A branch, a tag, a full name or a commit; undefined is the default branch. */
  readonly ref: string | undefined;
  /** Absolute within the repository and clean; `/` is all of it. */
  readonly folder: string;
  /** The commit, or how it begins. */
  readonly checksum: string | undefined;
  readonly keepGitDir: boolean;
  readonly submodules: boolean;
  /** `commit`: files have the time of the commit, else that of the checkout. */
  readonly mtime: "checkout" | "commit";
}

const scheme = /^([a-z0-9]+):\/\//i;
/** `user@host:path`, as scp has it. */
const scpLike = /^[a-zA-Z0-9-_]+@(?!-)([a-zA-Z0-9-.]+):(.*?)(?:#(.*))?$/s;

/** Whether BuildKit would ask git for it. `github.com/x/y` is a path here, and a repository for a build context. */
export function isGitUrl(text: string): boolean {
  const protocol = scheme.exec(text)?.[1]?.toLowerCase();
  switch (protocol) {
    case undefined:
      return scpLike.test(text);
    case "git":
    case "ssh":
      return true;
    case "http":
    case "https":
      return pathOf(text).endsWith(".git");
    default:
      return false;
  }
}

/** Of a repository that git is asked for: by its scheme, or as scp has it. */
export function isSshUrl(url: string): boolean {
  return !/^(?:git|https?|file):/i.test(url);
}

function pathOf(url: string): string {
  return url.replace(/[?#].*$/s, "");
}

/** As a build context `github.com/owner/name` needs no scheme. Undefined for what is no repository. */
export function gitContext(text: string, where: Where | undefined): GitSource | undefined {
  const url = text.startsWith("github.com/") ? `https://${text}` : text;
  return text.startsWith("github.com/") || isGitUrl(url) ? parseGitUrl(url, where) : undefined;
}

/**
 * `isGitUrl(text)` holds.
 * @throws {TsbuildError} `INSTRUCTION_INVALID` for an unknown, empty, repeated or contradictory query key
 */
export function parseGitUrl(text: string, where: Where | undefined): GitSource {
  const hash = text.indexOf("#");
  const beforeFragment = hash < 0 ? text : text.slice(0, hash);
  const fragment = hash < 0 ? "" : text.slice(hash + 1);
  // A question mark in the scp form belongs to the path.
  const question = scheme.test(text) ? beforeFragment.indexOf("?") : -1;
  const remote = question < 0 ? beforeFragment : beforeFragment.slice(0, question);
  const query = new Query(question < 0 ? "" : beforeFragment.slice(question + 1), where);
  const colon = fragment.indexOf(":");
  const ref = agreed("ref", where, [
    colon < 0 ? fragment : fragment.slice(0, colon),
    query.text("ref"),
    qualified("refs/tags/", query.text("tag")),
    qualified("refs/heads/", query.text("branch")),
  ]);
  const folder = agreed("subdir", where, [colon < 0 ? "" : fragment.slice(colon + 1), query.text("subdir")]);
  const checksum = agreed("checksum", where, [query.text("checksum"), query.text("commit")]);
  const mtime = query.text("mtime") ?? "checkout";
  if (mtime !== "checkout" && mtime !== "commit")
    throw invalid(`mtime must be checkout or commit, not ${mtime}`, where);
  const source: GitSource = {
    remote,
    ref: ref ?? (checksum !== undefined && isCommit(checksum) ? checksum : undefined),
    folder: cleanFolder(folder ?? ""),
    checksum,
    keepGitDir: query.flag("keep-git-dir") ?? false,
    submodules: query.flag("submodules") ?? true,
    mtime,
  };
  // It says how to fetch, and every commit is asked for by its name here.
  query.flag("fetch-by-commit");
  if (source.ref?.startsWith("-")) throw invalid(`${JSON.stringify(source.ref)} is no name of a branch or tag`, where);
  return source;
}

/** Forty hexadecimal digits, or sixty-four in a repository of SHA-256. */
export function isCommit(text: string): boolean {
  return /^(?:[0-9a-f]{40}|[0-9a-f]{64})$/.test(text);
}

/** Without password and query; a user alone (`git@`) tells nothing. */
export function shownGitUrl({ remote }: Pick<GitSource, "remote">): string {
  return remote.replace(/^([a-z0-9]+:\/\/)[^/@]*:[^/@]*@/i, "$1").replace(/^(https?:\/\/)[^/@]*@/i, "$1");
}

/** As a fragment says it, without password: what provenance names the source by. */
export function gitSourceUri(source: GitSource): string {
  const { ref, folder } = source;
  const below = folder === "/" ? "" : `:${folder.slice(1)}`;
  return `${shownGitUrl(source)}${ref === undefined && below === "" ? "" : `#${ref ?? ""}${below}`}`;
}

function cleanFolder(folder: string): string {
  const parts: string[] = [];
  for (const part of folder.split("/")) {
    if (part === "..") parts.pop();
    else if (part !== "" && part !== ".") parts.push(part);
  }
  return `/${parts.join("/")}`;
}

function qualified(prefix: string, name: string | undefined): string | undefined {
  return name === undefined || name.startsWith(prefix) ? name : `${prefix}${name}`;
}

/** The one value that is given, or is given in several ways. */
function agreed(key: string, where: Where | undefined, values: readonly (string | undefined)[]): string | undefined {
  const given = [...new Set(values.filter((value) => value !== undefined && value !== ""))];
  if (given.length > 1)
    throw invalid(`${key} is given as ${given.map((one) => JSON.stringify(one)).join(" and ")}`, where);
  return given[0];
}

const queryKeys = [
  "ref",
  "tag",
  "branch",
  "subdir",
  "checksum",
  "commit",
  "keep-git-dir",
  "submodules",
  "fetch-by-commit",
  "mtime",
];

class Query {
  readonly #values = new Map<string, string>();
  readonly #where: Where | undefined;

  constructor(text: string, where: Where | undefined) {
    this.#where = where;
    for (const [key, value] of new URLSearchParams(text)) {
      if (!queryKeys.includes(key))
        throw invalid(`unexpected query key ${JSON.stringify(key)}`, where, `the keys are ${queryKeys.join(", ")}`);
      if (this.#values.has(key)) throw invalid(`query key ${JSON.stringify(key)} is given twice`, where);
      this.#values.set(key, value);
    }
  }

  text(key: string): string | undefined {
    const value = this.#values.get(key);
    if (value === "") throw invalid(`query key ${JSON.stringify(key)} has no value`, this.#where);
    return value;
  }

  /** An empty value is yes. */
  flag(key: string): boolean | undefined {
    const value = this.#values.get(key);
    if (value === undefined) return undefined;
    if (["", "1", "t", "T", "true", "True", "TRUE"].includes(value)) return true;
    if (["0", "f", "F", "false", "False", "FALSE"].includes(value)) return false;
    throw invalid(`query key ${JSON.stringify(key)} must be true or false, not ${JSON.stringify(value)}`, this.#where);
  }
}

function invalid(why: string, where: Where | undefined, hint?: string): TsbuildError {
  return new TsbuildError({ code: "INSTRUCTION_INVALID", what: `git URL: ${why}`, where, hint });
}
