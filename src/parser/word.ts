/**
 * Takes one word apart: quotes and escapes removed, variables with their modifiers parsed and not evaluated. By hand and
 * not by the grammar, because what a character means here depends on what it stands in, down to any depth.
 * Sources: Dockerfile reference, "Environment replacement"; BuildKit, frontend/dockerfile/shell/lex.go.
 */
import type { Modifier, TextPart, VariablePart, Word, WordPart } from "./ast.ts";
import {
  badPatternEscape,
  badSubstitution,
  type Report,
  replaceNeedsSlash,
  tooDeep,
  unclosedQuote,
  unclosedSubstitution,
  unsupportedModifier,
} from "./diagnostics.ts";
import { type MappedText, rangeIn } from "./mapped-text.ts";

export interface WordOptions {
  readonly escape: "\\" | "`";
  /** In heredoc bodies quotes are ordinary characters. */
  readonly quotes: boolean;
  readonly report: Report;
}

/** Deeper than any file that a person wrote, and shallow enough for the stack. */
const MAX_DEPTH = 100;

/** The word at `source.text[start, end)`. With an error reported it has a value that nobody knows. */
export function parseWord(source: MappedText, start: number, end: number, options: WordOptions): Word {
  const scan: Scan = { source, text: source.text, end, at: start, depth: 0, failed: false, ...options };
  const { parts } = scanParts(scan, undefined, false);
  const range = rangeIn(source, start, end);
  const raw = source.text.slice(start, end);
  // A variable without a name: no check of values then has an opinion, and the node becomes invalid.
  return { parts: scan.failed ? [{ kind: "variable", name: "", quoted: false, range }] : parts, raw, range };
}

/** Where the `$…` at `start` ends, and whether it can be parsed at all. */
export function substitutionEnd(text: string, start: number, end: number): number | undefined {
  const source = { text, starts: [0], origins: [0] };
  const scan: Scan = {
    source,
    text,
    end,
    at: start,
    depth: 0,
    failed: false,
    escape: "\\",
    quotes: true,
    report: () => undefined,
  };
  scanDollar(scan, [], false);
  return scan.failed ? undefined : scan.at;
}

interface Scan extends WordOptions {
  readonly source: MappedText;
  readonly text: string;
  /** Exclusive. */
  readonly end: number;
  at: number;
  depth: number;
  failed: boolean;
}

function fail(scan: Scan, diagnostic: Parameters<Report>[0]): undefined {
  // What follows the first mistake of a word is a guess.
  if (!scan.failed) scan.report(diagnostic);
  scan.failed = true;
  scan.at = scan.end;
}

/** Up to and over `stop`, or to the end. `raw`: escapes stay, for the patterns they escape. */
function scanParts(scan: Scan, stop: string | undefined, raw: boolean): { parts: WordPart[]; closed: boolean } {
  const parts: WordPart[] = [];
  const { text, end, quotes, escape: escaper } = scan;
  let run = scan.at;
  const flush = () => addText(parts, text.slice(run, scan.at), false);
  while (scan.at < end) {
    const character = text[scan.at];
    if (character === stop) {
      flush();
      scan.at++;
      return { parts, closed: true };
    }
    if (character === "$") {
      flush();
      scanDollar(scan, parts, false);
    } else if (character === escaper) {
      flush();
      scanEscape(scan, parts, raw);
    } else if (quotes && character === "'") {
      flush();
      scanSingleQuotes(scan, parts);
    } else if (quotes && character === '"') {
      flush();
      scanDoubleQuotes(scan, parts, raw);
    } else {
      scan.at++;
      continue;
    }
    run = scan.at;
  }
  flush();
  return { parts, closed: false };
}

function addText(parts: WordPart[], value: string, quoted: boolean): void {
  if (value === "") return;
  const last = parts.at(-1);
  if (last?.kind === "text" && last.quoted === quoted) {
    parts[parts.length - 1] = { kind: "text", value: last.value + value, quoted } satisfies TextPart;
  } else parts.push({ kind: "text", value, quoted });
}

function scanEscape(scan: Scan, parts: WordPart[], raw: boolean): void {
  const taken = scan.at + 1 < scan.end ? String.fromCodePoint(scan.text.codePointAt(scan.at + 1) ?? 0) : "";
  addText(parts, (raw ? scan.escape : "") + taken, true);
  scan.at += 1 + taken.length;
}

function scanSingleQuotes(scan: Scan, parts: WordPart[]): undefined {
  const close = scan.text.indexOf("'", scan.at + 1);
  if (close === -1 || close >= scan.end)
    return fail(scan, unclosedQuote("'", rangeIn(scan.source, scan.at, scan.end), scan.escape));
  addText(parts, scan.text.slice(scan.at + 1, close), true);
  scan.at = close + 1;
}

function scanDoubleQuotes(scan: Scan, parts: WordPart[], raw: boolean): void {
  const { text, end, escape: escaper } = scan;
  const open = scan.at++;
  let run = scan.at;
  while (scan.at < end) {
    const character = text[scan.at];
    if (character === '"') {
      addText(parts, text.slice(run, scan.at), true);
      scan.at++;
      return;
    }
    if (character === "$") {
      addText(parts, text.slice(run, scan.at), true);
      scanDollar(scan, parts, true);
      run = scan.at;
    } else if (character === escaper && scan.at + 1 < end) {
      const next = text[scan.at + 1] ?? "";
      const special = next === '"' || next === "$" || next === escaper;
      addText(parts, text.slice(run, scan.at), true);
      // An escape that escapes nothing is text, and to a pattern text must be escaped itself.
      addText(parts, special ? (raw ? escaper + next : next) : raw ? escaper + escaper : escaper, true);
      scan.at += special ? 2 : 1;
      run = scan.at;
    } else scan.at++;
  }
  fail(scan, unclosedQuote('"', rangeIn(scan.source, open, end), escaper));
}

// Variables --------------------------------------------------------------------------------------------------------

function scanDollar(scan: Scan, parts: WordPart[], quoted: boolean): undefined {
  const start = scan.at++;
  const { text, source } = scan;
  if (text[scan.at] !== "{" || scan.at >= scan.end) {
    const name = scanName(scan);
    if (name === "") addText(parts, "$", quoted);
    else parts.push({ kind: "variable", name, quoted, range: rangeIn(source, start, scan.at) });
    return;
  }
  scan.at++;
  const first = scan.at < scan.end ? (text[scan.at] ?? "") : "";
  if (first === "") return fail(scan, unclosedSubstitution(rangeIn(source, start, scan.end)));
  if (first === "{" || first === "}" || first === ":") {
    const close = text.indexOf("}", scan.at);
    const end = close === -1 || close >= scan.end ? scan.end : close + 1;
    return fail(scan, badSubstitution(text.slice(start, end), rangeIn(source, start, end)));
  }
  const name = scanName(scan);
  if (scan.at < scan.end && text[scan.at] === "}") {
    scan.at++;
    parts.push({ kind: "variable", name, quoted, range: rangeIn(source, start, scan.at) });
    return;
  }
  if (++scan.depth > MAX_DEPTH) return fail(scan, tooDeep(rangeIn(source, start, scan.end)));
  const modifier = scanModifier(scan, start);
  scan.depth--;
  if (modifier === undefined) return;
  const range = rangeIn(source, start, scan.at);
  parts.push({ kind: "variable", name, modifier, quoted, range } satisfies VariablePart);
}

/** Letters, digits and `_`; only the digits where a digit comes first; one special character. */
const nameAt = /[\p{Nd}]+|[@*#?\-$!]|[\p{L}_][\p{L}\p{Nd}_]*/uy;

function scanName(scan: Scan): string {
  nameAt.lastIndex = scan.at;
  const name = nameAt.exec(scan.text)?.[0] ?? "";
  const inside = name.slice(0, Math.max(0, scan.end - scan.at));
  scan.at += inside.length;
  return inside;
}

function scanModifier(scan: Scan, start: number): Modifier | undefined {
  const { text, source, end } = scan;
  const unclosed = () => fail(scan, unclosedSubstitution(rangeIn(source, start, end)));
  const operatorAt = scan.at;
  const first = scan.at < end ? (text[scan.at++] ?? "") : "";
  if (first === "") return unclosed();
  switch (first) {
    case "-":
    case "+":
    case "?": {
      const word = scanNested(scan, "}", false);
      return word === undefined ? unclosed() : { kind: "default", operator: first, word };
    }
    case ":": {
      const second = scan.at < end ? (text[scan.at++] ?? "") : "";
      if (second !== "-" && second !== "+" && second !== "?") break;
      const word = scanNested(scan, "}", false);
      return word === undefined ? unclosed() : { kind: "default", operator: `:${second}`, word };
    }
    case "#":
    case "%": {
      const greedy = text[scan.at] === first && scan.at < end;
      if (greedy) scan.at++;
      const pattern = scanNested(scan, "}", true);
      if (pattern === undefined) return unclosed();
      if (!checkPattern(scan, pattern)) return undefined;
      return { kind: "remove", operator: greedy ? (first === "#" ? "##" : "%%") : first, pattern };
    }
    case "/": {
      const all = text[scan.at] === "/" && scan.at < end;
      if (all) scan.at++;
      const pattern = scanNested(scan, "/", true);
      if (pattern === undefined) return fail(scan, replaceNeedsSlash(rangeIn(source, start, end)));
      const replacement = scanNested(scan, "}", true);
      if (replacement === undefined) return unclosed();
      if (!checkPattern(scan, pattern)) return undefined;
      return { kind: "replace", operator: all ? "//" : "/", pattern, replacement };
    }
    default:
  }
  const close = text.indexOf("}", operatorAt);
  if (close === -1 || close >= end) return unclosed();
  if (operatorAt === start + 2 || /[\s\p{L}\p{N}]/u.test(first)) {
    return fail(scan, badSubstitution(text.slice(start, close + 1), rangeIn(source, start, close + 1)));
  }
  return fail(scan, unsupportedModifier(text.slice(operatorAt, close), rangeIn(source, operatorAt, close)));
}

/** A word inside `${…}` up to `stop`, or undefined when that never comes. */
function scanNested(scan: Scan, stop: string, raw: boolean): Word | undefined {
  const start = scan.at;
  const { parts, closed } = scanParts(scan, stop, raw);
  if (!closed || scan.failed) return undefined;
  return { parts, raw: scan.text.slice(start, scan.at - 1), range: rangeIn(scan.source, start, scan.at - 1) };
}

/**
 * Rejects escapes that patterns do not have, where the text is known: what a variable brings is the planner's to see.
 * BuildKit: convertShellPatternToRegex.
 */
function checkPattern(scan: Scan, pattern: Word): boolean {
  for (const [index, part] of pattern.parts.entries()) {
    if (part.kind !== "text") continue;
    for (let at = part.value.indexOf("\\"); at !== -1; at = part.value.indexOf("\\", at + 2)) {
      const escaped = part.value[at + 1];
      if (escaped === undefined && index < pattern.parts.length - 1) continue;
      if (escaped === undefined || !"*?\\}/".includes(escaped)) {
        fail(scan, badPatternEscape(`\\${escaped ?? ""}`, pattern.range));
        return false;
      }
    }
  }
  return true;
}
