/**
 * `.dockerignore` and `--exclude`: patterns over whole paths, the last match wins, what a folder matched its content
 * matches too. Source: moby's `patternmatcher` and `ignorefile`, whose quirks are kept.
 */
import { TsbuildError, type Where } from "../errors.ts";
import { cleanPath } from "./clean-path.ts";
import { compilePattern } from "./match-path.ts";

interface Pattern {
  readonly negated: boolean;
  readonly matches: (path: string) => boolean;
  /** What a negation needs as a beginning to match: everything before the first wildcard. */
  readonly literalPrefix: string;
  /** In the file, from 1; 0 for a flag. */
  readonly line: number;
  readonly text: string;
}

/** What each pattern said about a folder: its content inherits it. */
export type FolderMatches = readonly boolean[];

export interface IgnoreRules {
  readonly hasNegations: boolean;
  /** Nothing is ever excluded. */
  readonly isEmpty: boolean;
  /** `path` is relative to the root, without leading slash. Top-level entries have no folder. */
  match(
    path: string,
    folder: FolderMatches | undefined,
  ): { readonly excluded: boolean; readonly matches: FolderMatches };
  /** Whether a negation could bring back something below this excluded folder. */
  mayIncludeBelow(folder: string): boolean;
  /** The line that excludes `path`, itself or a folder above it. */
  culprit(path: string): { readonly file: string; readonly line: number; readonly text: string } | undefined;
}

/** @throws {TsbuildError} `INVALID_ARGUMENT` with file and line */
export function parseIgnoreFile(text: string, file: string): IgnoreRules {
  const patterns: Pattern[] = [];
  for (const [index, raw] of text
    .replace(/^\ufeff/, "")
    .split("\n")
    .entries()) {
    if (raw.startsWith("#")) continue;
    const trimmed = raw.trim();
    if (trimmed === "") continue;
    const negated = trimmed.startsWith("!");
    const written = negated ? trimmed.slice(1).trim() : trimmed;
    const place = { file, line: index + 1, text: trimmed };
    if (written === "") throw badPattern(trimmed, place);
    const clean = cleanPath(written);
    const relative = clean.length > 1 && clean.startsWith("/") ? clean.slice(1) : clean;
    patterns.push(pattern(relative, negated, place));
  }
  return rules(patterns, file);
}

/** Of `--exclude`: a leading slash stays, so such a pattern matches nothing. @throws {TsbuildError} `INVALID_ARGUMENT` */
export function excludeRules(excludes: readonly string[], where?: Where): IgnoreRules {
  const patterns = excludes.flatMap((exclude) => {
    const trimmed = exclude.trim();
    if (trimmed === "") return [];
    const negated = trimmed.startsWith("!");
    const clean = cleanPath(negated ? trimmed.slice(1) : trimmed);
    if (trimmed === "!" || compilePattern(clean) === undefined) throw badExclude(exclude, where);
    return pattern(clean, negated, { file: "", line: 0, text: exclude });
  });
  return rules(patterns, "");
}

interface PatternPlace {
  readonly file: string;
  readonly line: number;
  readonly text: string;
}

function badPattern(text: string, { file, line, text: sourceLine }: PatternPlace): TsbuildError {
  return new TsbuildError({
    code: "INVALID_ARGUMENT",
    what: `invalid pattern ${JSON.stringify(text)}`,
    where: { kind: "source", file, line, column: 1, endLine: line, endColumn: text.length + 1, sourceLine },
  });
}

function badExclude(text: string, where: Where | undefined): TsbuildError {
  return new TsbuildError({
    code: "INVALID_ARGUMENT",
    what: `--exclude: invalid pattern ${JSON.stringify(text)}`,
    ...(where !== undefined && { where }),
  });
}

function pattern(clean: string, negated: boolean, place: PatternPlace): Pattern {
  if (compilePattern(clean) === undefined) throw badPattern(place.text, place);
  const wildcard = clean.search(/[*?[\\]/);
  return {
    negated,
    matches: matcher(clean),
    literalPrefix: wildcard < 0 ? clean : clean.slice(0, wildcard),
    line: place.line,
    text: place.text,
  };
}

// Two stars are any number of components, with a slash behind them also none; `*` and `?` stay within one.
export function matcher(clean: string): (path: string) => boolean {
  if (!special.test(clean)) return (path) => path === clean;
  if (clean.startsWith("**") && !special.test(clean.slice(2))) {
    const suffix = clean.slice(2);
    return (path) => path.endsWith(suffix) || (suffix.startsWith("/") && path === suffix.slice(1));
  }
  if (clean.endsWith("**") && !special.test(clean.slice(0, -2))) {
    const prefix = clean.slice(0, -2);
    return (path) => path.startsWith(prefix);
  }
  const characters = [...clean];
  let source = "";
  for (let at = 0; at < characters.length; at++) {
    const character = characters[at] ?? "";
    if (character === "*" && characters[at + 1] === "*") {
      at += characters[at + 2] === "/" ? 2 : 1;
      source += at + 1 >= characters.length ? ".*" : "(?:.*/)?";
    } else if (character === "*") source += "[^/]*";
    else if (character === "?") source += "[^/]";
    else if (character === "[") {
      const end = classEnd(characters, at);
      // Go's syntax of classes; the pattern as a whole was checked before.
      source += compilePattern(characters.slice(at, end).join(""))?.source.slice(1, -1) ?? "";
      at = end - 1;
    } else source += quoted(character === "\\" ? (characters[++at] ?? "") : character);
  }
  const expression = new RegExp(`^${source}$`, "su");
  return (path) => expression.test(path);
}

const special = /[*?[\]\\]/;

function quoted(character: string): string {
  return /[\\^$.*+?()[\]{}|/]/.test(character) ? `\\${character}` : character;
}

/** Behind the `]` that ends the class at `start`. */
function classEnd(characters: readonly string[], start: number): number {
  let at = start + 1;
  if (characters[at] === "^") at++;
  for (let first = true; at < characters.length; at++, first = false) {
    if (characters[at] === "\\") at++;
    else if (characters[at] === "]" && !first) break;
  }
  return at + 1;
}

function rules(patterns: readonly Pattern[], file: string): IgnoreRules {
  const nothing: FolderMatches = patterns.map(() => false);
  const negations = patterns.filter((one) => one.negated);
  const match: IgnoreRules["match"] = (path, folder = nothing) => {
    let excluded = false;
    const matches = patterns.map((one, index) => {
      let matched = folder[index] ?? false;
      if (!matched) {
        // A pattern that would change nothing here is not asked, and so is not inherited either.
        if (one.negated !== excluded) return false;
        matched = one.matches(path);
      }
      if (matched) excluded = !one.negated;
      return matched;
    });
    return { excluded, matches };
  };
  return {
    hasNegations: negations.length > 0,
    isEmpty: patterns.length === 0,
    match,
    mayIncludeBelow: (folder) => {
      const below = `${folder}/`;
      return negations.some(({ literalPrefix }) => literalPrefix.startsWith(below) || below.startsWith(literalPrefix));
    },
    culprit: (path) => {
      const parts = path.split("/");
      let matches: FolderMatches | undefined;
      for (let count = 1; count <= parts.length; count++) {
        const result = match(parts.slice(0, count).join("/"), matches);
        matches = result.matches;
        const index = result.excluded ? result.matches.lastIndexOf(true) : -1;
        const found = patterns[index];
        if (found !== undefined && (count === parts.length || !negations.length))
          return { file, line: found.line, text: found.text };
      }
      return undefined;
    },
  };
}
