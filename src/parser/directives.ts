/** Parser directives, `# name=value` above everything else. Source: Dockerfile reference, "Parser directives". */
import { nearestWord } from "../nearest-word.ts";
import type { Directive, Range } from "./ast.ts";
import { trimStart } from "./blanks.ts";
import { badCheck, badEscape, foreignSyntax, nearDirective, type Report, repeatedDirective } from "./diagnostics.ts";

export interface DirectiveState {
  escape: "\\" | "`";
  /** Directives end at the first line that is none. */
  open: boolean;
  /** A `#!` line ends them for `escape` alone. */
  escapeOpen: boolean;
  /** No line was taken yet. */
  first: boolean;
  readonly seen: Set<string>;
  readonly directives: Directive[];
}

export const openDirectives = (): DirectiveState => ({
  escape: "\\",
  open: true,
  escapeOpen: true,
  first: true,
  seen: new Set(),
  directives: [],
});

const known: readonly string[] = ["syntax", "escape", "check"];

// Go's \s: TAB, LF, FF, CR, SPACE.
const directive = /^#[\t\f\r ]*([a-zA-Z][a-zA-Z0-9]*)[\t\f\r ]*=[\t\f\r ]*(.*[^\t\f\r ])[\t\f\r ]*$/;

/** Takes one line of the head of the file; true when it was a directive, and so is no comment. */
export function takeDirective(state: DirectiveState, line: string, range: Range, report: Report): boolean {
  const { first } = state;
  state.first = false;
  if (first && line.startsWith("#!")) {
    state.escapeOpen = false;
    return false;
  }
  const trimmed = trimStart(line);
  const match = directive.exec(trimmed);
  const name = match?.[1]?.toLowerCase();
  const value = match?.[2];
  if (name === undefined || value === undefined || !known.includes(name)) {
    state.open = false;
    const near = name === undefined || known.includes(name) ? undefined : nearestWord(name, known);
    if (near !== undefined) report(nearDirective(name ?? "", `# ${near}=${value ?? ""}`, range));
    return false;
  }
  if (state.seen.has(name)) report(repeatedDirective(name, range));
  state.seen.add(name);
  // BuildKit looks for these two by another rule, which knows no blanks in front.
  if (name !== "escape" && trimmed !== line) return false;
  if (name === "escape" && !state.escapeOpen) return false;
  state.directives.push({ name, value, range });
  if (name === "escape") {
    if (value === "`" || value === "\\") state.escape = value;
    else report(badEscape(value, range));
  } else if (name === "check") {
    const check = parseCheck(value);
    if (typeof check === "string") report(badCheck(check, range));
  } else if (!/^(docker\.io\/)?docker\/dockerfile(-upstream)?(:\S*)?(@\S+)?(\s|$)/.test(value)) {
    report(foreignSyntax(value.split(/\s/)[0] ?? value, range));
  }
  return true;
}

export interface CheckOptions {
  /** Names of checks, or `all`. */
  readonly skip: readonly string[];
  readonly experimental: readonly string[];
  readonly error: boolean;
}

const goBooleans: ReadonlyMap<string, boolean> = new Map([
  ...["1", "t", "T", "TRUE", "true", "True"].map((text): [string, boolean] => [text, true]),
  ...["0", "f", "F", "FALSE", "false", "False"].map((text): [string, boolean] => [text, false]),
]);

/** Go's `strconv.ParseBool`. */
export const parseGoBoolean = (text: string): boolean | undefined => goBooleans.get(text);

/**
 * The `check=…` among the doc comments of an instruction, which is about this one alone: the first counts, up to its
 * first blank. Undefined without one, or when it cannot be read.
 */
export function checkOfDoc(doc: string): CheckOptions | undefined {
  for (const comment of doc.split("\n")) {
    const [, name, value = ""] = directive.exec(`#${comment}`) ?? [];
    if (name?.toLowerCase() !== "check") continue;
    const check = parseCheck(value.split(/[\t ]/, 1)[0] ?? "");
    return typeof check === "string" ? undefined : check;
  }
  return undefined;
}

/** `skip=A,B;error=true;experimental=C`, or the sentence that says what is wrong with it. */
export function parseCheck(value: string): CheckOptions | string {
  const parts = value.split(";");
  if (parts.length > 3) return "check takes skip, error and experimental, and nothing more";
  let skip: readonly string[] = [];
  let experimental: readonly string[] = [];
  let error = false;
  for (const part of parts) {
    const equals = part.indexOf("=");
    if (equals === -1) return `${part.trim()} in check has no =`;
    const key = part.slice(0, equals).trim();
    const text = part.slice(equals + 1).trim();
    const names = text.split(",").map((name) => name.trim());
    if (key === "skip") skip = names;
    else if (key === "experimental") experimental = names;
    else if (key === "error") {
      const boolean = parseGoBoolean(text);
      if (boolean === undefined) return `error in check is ${text}, but must be true or false`;
      error = boolean;
    } else return `check has no option ${key}`;
  }
  return { skip, experimental, error };
}
