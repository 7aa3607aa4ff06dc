/** What a builder gets: an instruction line with its flags read and its arguments split by the form of its row. */
import type { IToken } from "chevrotain";
import type { Instruction, Range, Word } from "../ast.ts";
import { needsArgument, type Report } from "../diagnostics.ts";
import type { Flags } from "../flags.ts";
import { flagText } from "../flags.ts";
import { instructionRow } from "../instruction-table.ts";
import type { RawHeredoc } from "../logical-lines.ts";
import { type MappedText, rangeIn } from "../mapped-text.ts";
import { parseWord } from "../word.ts";

/** A stretch of the joined text. */
export interface Span {
  readonly start: number;
  readonly end: number;
}

export interface Line {
  /** Keyword, range, doc and joined text: the head of every node. */
  readonly node: NodeHead;
  /** Upper case, for messages. */
  readonly keyword: string;
  readonly joined: MappedText;
  readonly escape: "\\" | "`";
  readonly heredocs: readonly RawHeredoc[];
  readonly flags: Flags;
  /** Of the trimmed line in the joined text. */
  readonly span: Span;
  /** White space behind it. */
  readonly trailing: string;
  readonly report: Report;
}

export interface NodeHead {
  readonly range: Range;
  readonly keyword: { readonly text: string; readonly range: Range };
  readonly doc?: string;
  readonly joined: string;
}

/** Undefined, or an error reported: the line becomes an `invalid` node. */
export type Built = Instruction | undefined;

/** An element of a JSON array, decoded, with the place of each character. */
export type JsonArray = readonly MappedText[];

export const spanOf = (token: IToken): Span => ({
  start: token.startOffset,
  end: token.startOffset + token.image.length,
});

export const textOf = (line: Line, span: Span): string => line.joined.text.slice(span.start, span.end);

export const rangeOf = (line: Line, span: Span): Range => rangeIn(line.joined, span.start, span.end);

export const wordOf = (line: Line, span: Span): Word =>
  parseWord(line.joined, span.start, span.end, { escape: line.escape, quotes: true, report: line.report });

/** The value of a flag as a word; undefined when it is not given, or empty. */
export function flagWord(line: Line, name: string): Word | undefined {
  const value = flagText(line.flags, name);
  if (value === undefined) return undefined;
  return parseWord(value, 0, value.text.length, { escape: line.escape, quotes: true, report: line.report });
}

/** Reports that the instruction stands alone. */
export function reportMissing(line: Line): undefined {
  const example = instructionRow(line.keyword)?.example ?? line.keyword;
  line.report(needsArgument(line.keyword, line.node.keyword.range, example));
}
