/**
 * COPY and ADD: from the instruction to the value that is hashed and run.
 * Source: Dockerfile reference, "ADD" and "COPY".
 */
import type { Where } from "../errors.ts";
import type { AddInstruction, CopyInstruction } from "../parser/ast.ts";
import type { CopyInput, CopySource, TreeRef } from "./build-graph.ts";
import { absolutePath } from "./clean-path.ts";
import { checksumMisplaced, checksumTwice, chmodInvalid, heredocName, parentsNeedsName, urlInCopy } from "./errors.ts";
import { expandWord, type Locate, type Variables } from "./expand-word.ts";
import { isGitUrl, parseGitUrl } from "./git-url.ts";
import { excludeRules } from "./ignore-rules.ts";
import { heredocBody } from "./run-input.ts";

export interface CopyContext {
  readonly variables: Variables;
  readonly workdir: string;
  readonly locate: Locate;
  readonly from: TreeRef;
}

export interface BoundCopy {
  readonly input: CopyInput;
  /** `COPY --chown=1 a <<b /d # buildkit`. */
  readonly history: string;
}

/** @throws {TsbuildError} `INSTRUCTION_INVALID`, `UNSUPPORTED` */
export function bindCopy(instruction: CopyInstruction | AddInstruction, context: CopyContext): BoundCopy {
  const { variables, locate } = context;
  const where = locate(instruction.range);
  const expand = (word: Parameters<typeof expandWord>[0]): string => expandWord(word, variables, locate);
  const markers = new Set(instruction.heredocs.map((heredoc) => heredoc.marker));
  const written = instruction.sources
    .filter((word) => !markers.has(word.raw))
    .map((word) => ({ word, text: expand(word) }));
  const parents = instruction.kind === "copy" && instruction.parents;
  const sources: CopySource[] = written.map(({ word, text }) =>
    copySource(instruction.kind, text, parents, locate(word.range)),
  );
  // Two markers of one name both get the last body.
  const bodies = new Map<string, string>();
  for (const heredoc of instruction.heredocs) {
    if (heredoc.name.includes("/")) throw heredocName(heredoc.name, locate(heredoc.range));
    bodies.set(heredoc.name, heredoc.word === undefined ? heredocBody(heredoc) : expand(heredoc.word));
  }
  for (const { name } of instruction.heredocs) sources.push({ kind: "heredoc", name, content: bodies.get(name) ?? "" });
  const destination = expand(instruction.destination);
  const chown = instruction.chown === undefined ? "" : expand(instruction.chown);
  const chmod = instruction.chmod === undefined ? "" : expand(instruction.chmod);
  const checksum = instruction.kind === "add" && instruction.checksum !== undefined ? expand(instruction.checksum) : "";
  const [only, ...others] = sources;
  const isRemote = only?.kind === "url" || only?.kind === "git";
  if (checksum !== "" && (!isRemote || others.length > 0)) throw checksumMisplaced(where);
  const keepGitDir = instruction.kind === "add" && instruction.keepGitDir;
  // Read again where they are used; here only for the place of a mistake.
  excludeRules(instruction.exclude, where);
  const input: CopyInput = {
    kind: "copy",
    instruction: instruction.kind === "add" ? "ADD" : "COPY",
    from: context.from,
    sources: sources.map((source) =>
      source.kind === "git" ? gitSource(source, { checksum, keepGitDir, where }) : source,
    ),
    destination: destinationPath(destination, context.workdir),
    ...(chown !== "" && { chown }),
    ...(chmod !== "" && { chmod: parseChmod(chmod, locate(instruction.chmod?.range ?? instruction.range)) }),
    link: instruction.link,
    parents,
    exclude: instruction.exclude,
    ...(instruction.kind === "add" && instruction.unpack !== undefined && { unpack: instruction.unpack }),
    ...(checksum !== "" && only?.kind === "url" && { checksum }),
  };
  const words = [
    input.instruction,
    ...(parents ? ["--parents"] : []),
    ...(chown !== "" ? [`--chown=${chown}`] : []),
    ...(chmod !== "" ? [`--chmod=${chmod}`] : []),
    ...written.map(({ text }) => text),
    ...instruction.heredocs.map((heredoc) => `<<${heredoc.name}`),
    destination,
    "# buildkit",
  ];
  return { input, history: words.join(" ") };
}

function copySource(instruction: "copy" | "add", text: string, parents: boolean, where: Where): CopySource {
  if (isGitUrl(text)) {
    if (instruction === "copy") throw urlInCopy(text, where);
    // As in BuildKit: which time files have is a matter of contexts.
    return { kind: "git", source: { ...parseGitUrl(text, where), mtime: "checkout" } };
  }
  if (/^https?:\/\//.test(text)) {
    if (instruction === "copy") throw urlInCopy(text, where);
    return { kind: "url", url: text };
  }
  if (!parents) return { kind: "path", path: absolutePath(text) };
  return { kind: "path", path: pivotedPath(text, where) };
}

interface GitFlags {
  readonly checksum: string;
  readonly keepGitDir: boolean;
  readonly where: Where;
}

/** With what the flags say of the repository. */
function gitSource({ source }: Extract<CopySource, { kind: "git" }>, flags: GitFlags): CopySource {
  const { checksum, keepGitDir, where } = flags;
  if (checksum !== "" && source.checksum !== undefined && source.checksum !== checksum)
    throw checksumTwice(checksum, source.checksum, where);
  return {
    kind: "git",
    source: {
      ...source,
      checksum: checksum === "" ? source.checksum : checksum,
      keepGitDir: source.keepGitDir || keepGitDir,
    },
  };
}

/** `--parents` keeps what follows `/./`, so that stays in the path. */
function pivotedPath(text: string, where: Where): string {
  const at = text.indexOf("/./");
  const root = at < 0 ? "/" : absolutePath(text.slice(0, at));
  const kept = absolutePath(at < 0 ? text : text.slice(at + 3));
  if (kept === "/") throw parentsNeedsName(text, where);
  return at < 0 ? kept : `${root === "/" ? "" : root}/.${kept}`;
}

/** Absolute and clean; what ends in `/` or `/.`, and the workdir itself, is a folder. */
export function destinationPath(text: string, workdir: string): string {
  const folder = text === "" || text === "." || text.endsWith("/") || text.endsWith("/.");
  const path = absolutePath(text, absolutePath(workdir));
  return folder && path !== "/" ? `${path}/` : path;
}

/** Source: Dockerfile reference, "COPY --chown --chmod". */
export function parseChmod(text: string, where: Where): NonNullable<CopyInput["chmod"]> {
  if (/^[0-9]/.test(text)) {
    const mode = /^[0-7]+$/.test(text) ? Number.parseInt(text, 8) : Number.NaN;
    if (!(mode <= 0o7777)) throw chmodInvalid(text, where);
    return { kind: "octal", mode };
  }
  const clause = "[ugoa]*(?:[-+=](?:[rwxXst]*|[ugo]))+";
  if (!new RegExp(`^${clause}(?:,${clause})*$`).test(text)) throw chmodInvalid(text, where);
  return { kind: "symbolic", text };
}
