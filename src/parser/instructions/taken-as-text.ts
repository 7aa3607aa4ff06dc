/**
 * Arguments that look like something else than what they are: a comment behind them, a command of a shell, braces, a flag
 * with one dash. The language takes them as text without a word, so a warning says it.
 */
import type { Range, Word } from "../ast.ts";
import {
  blankBehindBackslash,
  blankInUser,
  bracesInPath,
  commaBehindPath,
  commandInValue,
  commentInArguments,
  hasTypographicQuote,
  nearJson,
  optionBehindBlank,
  singleDash,
  typographicQuote,
  wildcardDestination,
} from "../diagnostics.ts";
import { instructionRow } from "../instruction-table.ts";
import { jsonNearMiss } from "../json-near-miss.ts";
import { type Line, rangeOf, type Span, textOf } from "./line.ts";

/** Of USER and WORKDIR, which take the rest of their line. */
export function warnOfText(line: Line, text: Span, word: Word): void {
  const written = textOf(line, text);
  const hash = /['"]/.test(written) ? -1 : written.search(/[\t ]#/);
  if (hash >= 0)
    line.report(commentInArguments(line.keyword, rangeOf(line, { start: text.start + hash + 1, end: text.end })));
  else if (line.keyword === "USER" && /^[\w:.-]+[\t ]+[\w.:-]/.test(written))
    line.report(blankInUser(written, word.range));
  warnOfCommand(line, word);
}

/** Of COPY, ADD and VOLUME, which split at blanks. */
export function warnOfPaths(line: Line, words: readonly Span[]): void {
  const [first, ...more] = words;
  const flaw = nearJsonFlaw(line, words);
  if (first !== undefined && flaw !== undefined) {
    const span = { start: first.start, end: (more.at(-1) ?? first).end };
    line.report(nearJson(line.keyword, flaw, rangeOf(line, span)));
    return;
  }
  if (first !== undefined) warnOfDash(line, first, "a path");
  const comment = words.findIndex((span, index) => index > 0 && textOf(line, span).startsWith("#"));
  const [hash] = comment < 0 ? [] : words.slice(comment);
  if (hash !== undefined) line.report(commentInArguments(line.keyword, rangeOf(line, { ...hash, end: line.span.end })));
  for (const [index, span] of (comment < 0 ? words : words.slice(0, comment)).entries()) {
    const text = textOf(line, span);
    const range = (): Range => rangeOf(line, span);
    const braces = /^([^{}]*)\{([^{}]*,[^{}]*)\}([^{}]*)$/.exec(text);
    if (braces !== null && !text.includes("$")) {
      const [, before = "", names = "", behind = ""] = braces;
      const each = names.split(",").map((name) => `${before}${name}${behind}`);
      line.report(bracesInPath(text, each.join(" "), range()));
    }
    if (index === words.length - 1) {
      if (line.keyword !== "VOLUME" && text.includes("*")) line.report(wildcardDestination(text, range()));
      continue;
    }
    if (/[^,],$/.test(text)) line.report(commaBehindPath(text, range()));
    if (/[^\\`][\\`]$/.test(text) && text.endsWith(line.escape))
      line.report(blankBehindBackslash(line.keyword, text, range()));
  }
}

export function nearJsonFlaw(line: Line, words: readonly Span[]): string | undefined {
  const [first] = words;
  const last = words.at(-1);
  return first === undefined || last === undefined
    ? undefined
    : jsonNearMiss(textOf(line, { start: first.start, end: last.end }));
}

/** Of ENV, ARG and LABEL: `words` as they are split. */
export function warnOfPairs(line: Line, words: readonly Span[]): void {
  const quote = words.find((span) => typographicAt(textOf(line, span)) >= 0);
  if (quote === undefined) return;
  const start = quote.start + typographicAt(textOf(line, quote));
  const span = { start, end: start + 1 };
  line.report(typographicQuote(textOf(line, span), rangeOf(line, span)));
}

/** Of ENV and LABEL in the old form, where all the rest is the value. */
export function warnOfValue(line: Line, value: Span): void {
  const written = textOf(line, value);
  const hash = /['"]/.test(written) ? -1 : written.search(/[\t ]#[\t ]/);
  if (hash >= 0)
    line.report(commentInArguments(line.keyword, rangeOf(line, { start: value.start + hash + 1, end: value.end })));
}

/** Where a value begins with a quote that is none. */
function typographicAt(text: string): number {
  const at = text.indexOf("=") + 1;
  return hasTypographicQuote(text[at] ?? "") ? at : -1;
}

/** `$(date)` and `` `date` `` in a word that is expanded, unless an escape or single quotes say that they are meant. */
export function warnOfCommand(line: Line, word: Word): void {
  if (!/[$`]/.test(word.raw) || word.raw.startsWith("'")) return;
  const found =
    /(?<![\\`'])\$\([^)]*\)?/.exec(word.raw) ?? (line.escape === "`" ? null : /(?<![\\'])`[^`]+`/.exec(word.raw));
  if (found !== null) line.report(commandInValue(line.keyword, found[0], word.range));
}

/** `-chown=x`: the flag of this instruction with one dash. */
export function warnOfDash(line: Line, { start, end }: Span, as: string): void {
  const word = /^-[a-z][a-z-]*(?==)/.exec(textOf(line, { start, end }))?.[0];
  const flags = instructionRow(line.keyword)?.flags;
  if (word === undefined || typeof flags !== "object" || !Object.hasOwn(flags, `-${word}`)) return;
  line.report(singleDash(word, as, rangeOf(line, { start, end: start + word.length })));
}

/** `RUN --mount=type=cache target=/x y`: what was to be the mount's is the command's. */
export function warnOfOption(line: Line, text: Span): void {
  const mount = line.flags.get("--mount")?.at(-1);
  // A variable for the command may have one of these names, too, but hardly with such a value.
  const [option] =
    /^(?:(?:target|dst|destination|source|src)=[./]|(?:type|sharing|from)=)[^\t ]*/.exec(textOf(line, text)) ?? [];
  if (mount === undefined || option === undefined) return;
  const written = `--mount=${mount.value?.text ?? ""}`;
  line.report(
    optionBehindBlank(written, option, rangeOf(line, { start: text.start, end: text.start + option.length })),
  );
}
