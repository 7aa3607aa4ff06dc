/** ARG, ENV and LABEL. Source: Dockerfile reference, "ARG", "ENV" and "LABEL". */
import type { Diagnostic, Pair } from "../ast.ts";
import {
  blankBeforeEquals,
  commentInArguments,
  cutSubstitution,
  emptyName,
  pairWithoutEquals,
  pairWithoutValue,
  type Report,
} from "../diagnostics.ts";
import { type Built, type Line, rangeOf, reportMissing, type Span, textOf, wordOf } from "./line.ts";
import { warnOfCommand, warnOfPairs, warnOfValue } from "./taken-as-text.ts";

export interface PairArguments {
  readonly words: readonly Span[];
  /** `ENV name value`. */
  readonly legacy?: { readonly name: Span; readonly value: Span | undefined };
}

export function buildArg(line: Line, words: readonly Span[]): Built {
  if (words.length === 0) return reportMissing(line);
  const args = words.map((span) => {
    const range = rangeOf(line, span);
    const equals = textOf(line, span).indexOf("=");
    if (equals === 0) line.report(emptyName("ARG", range));
    if (equals === -1) return { name: textOf(line, span), range };
    const name = textOf(line, { start: span.start, end: span.start + equals });
    const defaultValue = wordOf(line, { start: span.start + equals + 1, end: span.end });
    warnOfCommand(line, defaultValue);
    return { name, defaultValue, range };
  });
  warnOfPairs(line, words);
  const hash = words.findIndex((span, index) => index > 0 && textOf(line, span).startsWith("#"));
  const [comment] = hash < 0 ? [] : words.slice(hash);
  if (comment !== undefined) line.report(commentInArguments("ARG", rangeOf(line, { ...comment, end: line.span.end })));
  return { kind: "arg", ...line.node, args };
}

export function buildEnv(line: Line, args: PairArguments): Built {
  const pairs = buildPairs(line, args);
  // A prompt runs its commands later.
  for (const { key, value } of pairs ?? []) if (!/^P(?:S[0-9]|ROMPT)/.test(key.raw)) warnOfCommand(line, value);
  return pairs === undefined ? undefined : { kind: "env", ...line.node, pairs };
}

export function buildLabel(line: Line, args: PairArguments): Built {
  const pairs = buildPairs(line, args);
  return pairs === undefined ? undefined : { kind: "label", ...line.node, pairs };
}

function buildPairs(line: Line, { words, legacy }: PairArguments): readonly Pair[] | undefined {
  if (legacy !== undefined) {
    const { name, value } = legacy;
    const text = textOf(line, name);
    if (value === undefined) return void line.report(pairWithoutValue(line.keyword, text, rangeOf(line, name)));
    const range = rangeOf(line, { start: name.start, end: value.end });
    if (line.joined.text[value.start] === "=") {
      line.report(blankBeforeEquals(line.keyword, text, textOf(line, value), range));
    }
    warnOfValue(line, value);
    return [{ key: wordOf(line, name), value: wordOf(line, value), legacy: true, range }];
  }
  if (words.length === 0) return reportMissing(line);
  warnOfPairs(line, words);
  const pairs: Pair[] = [];
  for (let at = 0; at < words.length; at++) {
    const span = words[at];
    if (span === undefined) break;
    if (textOf(line, span).includes("=")) {
      const report: Report = (diagnostic) =>
        line.report(isCut(diagnostic) && at < words.length - 1 ? cutSubstitution(diagnostic) : diagnostic);
      pairs.push(buildPair({ ...line, report }, span));
      continue;
    }
    // Quotes that are missing, or a comment: the words up to the next pair are one mistake.
    const before = words[at - 1];
    let last = span;
    for (let next = words[at + 1]; next && !textOf(line, next).includes("="); next = words[++at + 1]) last = next;
    const run = { start: span.start, end: last.end };
    const pair = before === undefined ? undefined : textOf(line, before);
    line.report(pairWithoutEquals(line.keyword, textOf(line, run), rangeOf(line, run), pair));
  }
  return pairs;
}

/** `${` that another word closes. */
const isCut = ({ code, message }: Diagnostic): boolean =>
  code === "bad-substitution" && message === "${ is never closed with }";

function buildPair(line: Line, span: Span): Pair {
  const range = rangeOf(line, span);
  const equals = textOf(line, span).indexOf("=");
  if (equals === 0) line.report(emptyName(line.keyword, range));
  return {
    key: wordOf(line, { start: span.start, end: span.start + equals }),
    value: wordOf(line, { start: span.start + equals + 1, end: span.end }),
    legacy: false,
    range,
  };
}
