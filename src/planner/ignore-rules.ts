/**
 * `.dockerignore` and `--exclude`: patterns over whole paths, the last match wins, what a folder matched its content
 * matches too. Source: moby's `patternmatcher` and `ignorefile`, whose quirks are kept.
 */
import { TsbuildError, type Where } from "../errors.ts";
import { trimmedEnd, trimmedStart } from "../parser/blanks.ts";
import { cleanPath } from "./clean-path.ts";
import { ignoreMatcher } from "./ignore-matcher.ts";
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
    const trimmed = trimSpace(raw);
    if (trimmed === "") continue;
    const place = { file, line: index + 1, text: trimmed };
    const inverted = trimmed.startsWith("!");
    // Cleaned twice, and whether it is a negation is asked in between: `./!a` is one, and `!/` says nothing.
    const inner = inverted ? trimSpace(trimmed.slice(1)) : trimmed;
    const clean = inner === "" ? "" : cleanPath(inner);
    const relative = clean.length > 1 && clean.startsWith("/") ? clean.slice(1) : clean;
    const written = cleanPath(trimSpace(inverted ? `!${relative}` : relative));
    const negated = written.startsWith("!");
    const own = negated ? written.slice(1) : written;
    const flaw = flawOf(own);
    if (flaw !== undefined) throw badPattern(place, flaw);
    patterns.push(pattern(own, negated, place));
  }
  return rules(patterns, file);
}

/** Go's `strings.TrimSpace`: U+0085 is a space, U+FEFF is none. */
function trimSpace(text: string): string {
  const start = trimmedStart(text, 0, text.length);
  return text.slice(start, trimmedEnd(text, start, text.length));
}

/** Of `--exclude`: a leading slash stays, so such a pattern matches nothing. @throws {TsbuildError} `INVALID_ARGUMENT` */
export function excludeRules(excludes: readonly string[], where?: Where): IgnoreRules {
  const patterns = excludes.flatMap((exclude) => {
    const trimmed = trimSpace(exclude);
    if (trimmed === "") return [];
    const written = cleanPath(trimmed);
    const negated = written.startsWith("!");
    const clean = negated ? written.slice(1) : written;
    const flaw = flawOf(clean);
    if (flaw !== undefined) throw badExclude(exclude, where, flaw);
    return pattern(clean, negated, { file: "", line: 0, text: exclude });
  });
  return rules(patterns, "");
}

interface PatternPlace {
  readonly file: string;
  readonly line: number;
  readonly text: string;
}

function badPattern({ file, line, text }: PatternPlace, hint: string): TsbuildError {
  return new TsbuildError({
    code: "INVALID_ARGUMENT",
    what: `invalid pattern ${JSON.stringify(text)}`,
    where: { kind: "source", file, line, column: 1, endLine: line, endColumn: text.length + 1, sourceLine: text },
    hint,
  });
}

/** Undefined for a pattern that is right. */
function flawOf(clean: string): string | undefined {
  if (clean === "") return "write what is to be kept behind the !";
  if (compilePattern(clean) === undefined)
    return /(?:^|[^\\])(?:\\\\)*\\$/.test(clean)
      ? "a backslash at the end escapes nothing: for the character itself write \\\\"
      : "[ opens a class, such as [a-z]: for the character itself write \\[";
  if (ignoreMatcher(clean) === undefined)
    return clean.includes("\\")
      ? "behind a backslash a letter means what it does in a regular expression: leave the backslash out"
      : "[, { and | mean what they do in a regular expression: for the character itself write a backslash before it";
  return undefined;
}

const badExclude = (text: string, where: Where | undefined, hint: string): TsbuildError =>
  new TsbuildError({
    code: "INVALID_ARGUMENT",
    what: `--exclude: invalid pattern ${JSON.stringify(text)}`,
    where,
    hint,
  });

function pattern(clean: string, negated: boolean, place: PatternPlace): Pattern {
  const matches = ignoreMatcher(clean);
  if (matches === undefined) throw new Error(`an invalid pattern was let through: ${clean}`);
  const wildcard = clean.search(/[*?[\\]/);
  return {
    negated,
    matches,
    literalPrefix: wildcard < 0 ? clean : clean.slice(0, wildcard),
    line: place.line,
    text: place.text,
  };
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
