/** ARG, ENV and LABEL. LANGUAGE 2.1, 3.2, 3.3. */
import type { Pair } from "../ast.ts";
import { emptyName, pairWithoutEquals, pairWithoutValue } from "../diagnostics.ts";
import { type Built, type Line, rangeOf, reportMissing, type Span, textOf, wordOf } from "./line.ts";

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
    return { name, defaultValue: wordOf(line, { start: span.start + equals + 1, end: span.end }), range };
  });
  return { kind: "arg", ...line.node, args };
}

export function buildEnv(line: Line, args: PairArguments): Built {
  const pairs = buildPairs(line, args);
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
    return [{ key: wordOf(line, name), value: wordOf(line, value), legacy: true, range }];
  }
  if (words.length === 0) return reportMissing(line);
  return words.map((span) => buildPair(line, span));
}

function buildPair(line: Line, span: Span): Pair {
  const range = rangeOf(line, span);
  const text = textOf(line, span);
  const equals = text.indexOf("=");
  if (equals === -1) line.report(pairWithoutEquals(line.keyword, text, range));
  if (equals === 0) line.report(emptyName(line.keyword, range));
  const middle = equals === -1 ? span.end : span.start + equals;
  // Without `=` the quotes may be what is wrong; one message is enough.
  const quiet: Line = equals === -1 ? { ...line, report: () => undefined } : line;
  return {
    key: wordOf(quiet, { start: span.start, end: middle }),
    value: wordOf(quiet, { start: Math.min(middle + 1, span.end), end: span.end }),
    legacy: false,
    range,
  };
}
