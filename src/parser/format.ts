/**
 * One style for every Dockerfile, without touching what it says: instructions in capitals, one blank between words, four
 * in front of continued lines, flags without needless quotes, no blanks at the end of lines, at most one empty line.
 * Comments, line breaks, heredocs and the commands of shells stay as they are: the blanks of a command are part of it,
 * and of its cache key.
 */
import type { IToken } from "chevrotain";
import type { Comment, Directive, Range } from "./ast.ts";
import { isSpace } from "./blanks.ts";
import { openDirectives, takeDirective } from "./directives.ts";
import { unquotedFlag } from "./flag-words.ts";
import { continuedAt, type LogicalLine, type LogicalLines, logicalLines } from "./logical-lines.ts";
import { type MappedText, originOf, pieceAt } from "./mapped-text.ts";
import {
  As,
  CheckType,
  Flag,
  JsonClose,
  JsonComma,
  JsonOpen,
  Keyword,
  LegacyValue,
  LineEnd,
  lexerFor,
  OnbuildKeyword,
  PairWord,
  Text,
} from "./tokens.ts";

const INDENT = "    ";

/** `text` has no errors: where it has some, what it says is not known. */
export function formatDockerfile(text: string): string {
  const lines = logicalLines(text, () => undefined);
  const tokens = tokensOfLines(lines);
  const inner = new Set(lines.lines.flatMap((line) => line.inner));
  const items: Item[] = [
    ...lines.directives.map((directive) => ({ kind: "directive" as const, range: directive.range, directive })),
    ...lines.comments
      .filter((comment) => !inner.has(comment))
      .map(({ range }) => ({ kind: "comment" as const, range })),
    ...lines.lines.map((line, index) => ({
      kind: "line" as const,
      range: line.range,
      line,
      tokens: tokens[index] ?? [],
    })),
  ];
  items.sort((a, b) => a.range.start - b.range.start);
  const head = openDirectives();
  let formatted = "";
  let end: number | undefined;
  for (const item of items) {
    const empty = end !== undefined && /\n[\t\v\f\r ]*\n/.test(text.slice(end, item.range.start));
    const lead = item.kind === "line" ? "" : headLine(item, text);
    if (empty || item.kind === "line") head.open = false;
    // What an empty line kept from being a directive must not become one.
    const becomes = head.open && takeDirective(head, lead, item.range, () => undefined) && item.kind === "comment";
    if (becomes) head.open = false;
    if (empty || becomes) formatted += "\n";
    formatted += item.kind === "line" ? formatLine(item.line, item.tokens, { text, lines }) : `${lead}\n`;
    end = item.range.end;
  }
  return formatted;
}

type Item =
  | { readonly kind: "directive"; readonly range: Range; readonly directive: Directive }
  | { readonly kind: "comment"; readonly range: Range }
  | { readonly kind: "line"; readonly range: Range; readonly line: LogicalLine; readonly tokens: readonly IToken[] };

/** A comment keeps its blanks in front: only in column 1 it documents what follows. */
function headLine(item: Exclude<Item, { readonly kind: "line" }>, text: string): string {
  if (item.kind === "directive") return `# ${item.directive.name}=${item.directive.value}`;
  return indentAt(text, item.range.start) + text.slice(item.range.start, item.range.end);
}

/** The blanks between the start of the line and `at`; one blank for blanks that no editor shows. */
function indentAt(text: string, at: number): string {
  const indent = text.slice(text.lastIndexOf("\n", at - 1) + 1, at).replace(/^\ufeff/, "");
  return /^[\t ]*$/.test(indent) ? indent : " ";
}

/** The tokens of each line, without its end. */
function tokensOfLines({ joined, lines, escape: escaper }: LogicalLines): readonly (readonly IToken[])[] {
  const all = lexerFor(escaper).tokenize(joined.text).tokens;
  let at = 0;
  return lines.map((line) => {
    const tokens: IToken[] = [];
    for (let token = all[at]; token !== undefined && token.startOffset <= line.end; token = all[++at]) {
      if (!isA(token, LineEnd)) tokens.push(token);
    }
    return tokens;
  });
}

const isA = (token: IToken, type: typeof Keyword): boolean =>
  token.tokenType === type || (token.tokenType.CATEGORIES ?? []).includes(type);

// One instruction --------------------------------------------------------------------------------------------------

interface Source {
  readonly text: string;
  readonly lines: LogicalLines;
}

/** A stretch of the joined text, and how it is written. */
interface Part {
  readonly start: number;
  readonly end: number;
  readonly text: string;
  readonly type: IToken["tokenType"];
}

function formatLine(line: LogicalLine, tokens: readonly IToken[], source: Source): string {
  const { joined, escape: escaper } = source.lines;
  const comments = [...line.inner];
  const commentsBefore = (at: number): readonly string[] => {
    const origin = originOf(joined, at);
    const count = comments.findIndex(({ range }) => range.start > origin);
    return comments.splice(0, count === -1 ? comments.length : count).map((comment) => commentText(comment, source));
  };
  const breaks = (from: number, to: number): boolean => pieceAt(joined, from) < pieceAt(joined, to);
  const parts = partsOf(line, tokens, source);
  const keeps = parts.some(({ type, start, end }) => isFree(type) && breaks(start, end - 1));

  // Those that stand in front of the keyword are inside the instruction, too: else they would document it.
  const above = commentsBefore(line.start);
  let text = above.length === 0 ? "" : [escaper, ...above, ""].join("\n");
  let before: Part | undefined;
  for (const part of parts) {
    if (before !== undefined && breaks(before.end - 1, part.start)) {
      const own = indentAt(source.text, originOf(joined, part.start));
      const indent = keeps ? own : part.type === JsonClose ? "" : INDENT;
      text += ` ${escaper}\n${commentsBefore(part.start)
        .map((comment) => `${indent}${comment}\n`)
        .join("")}${indent}`;
    } else if (before !== undefined && isApart(before.type, part.type)) {
      // An escape at the end of a word takes one blank with it: where there were more, another is needed.
      text += /[\\`]$/.test(before.text) && part.start - before.end > 1 ? "  " : " ";
    }
    text += withBreaks(part, source, commentsBefore);
    before = part;
  }
  const last = text.slice(text.lastIndexOf("\n") + 1);
  // What was trimmed from the end kept the escape in front of it from continuing the line.
  if (continuedAt(last, { start: 0, end: last.length }, escaper) !== undefined) text += line.trailing;
  text += "\n";
  for (const comment of comments) text += `${commentText(comment, source)}\n`;
  const [heredoc] = line.heredocs;
  return heredoc === undefined ? text : `${text}${source.text.slice(heredoc.bodyRange.start, line.range.end)}\n`;
}

const commentText = ({ range }: Comment, { text }: Source): string => text.slice(range.start, range.end);

/** What the blanks in it belong to. */
const isFree = (type: Part["type"]): boolean =>
  type === Text || type === LegacyValue || (type.CATEGORIES ?? []).includes(PairWord);

const isApart = (before: Part["type"], type: Part["type"]): boolean =>
  before !== JsonOpen && type !== JsonComma && type !== JsonClose;

function partsOf(line: LogicalLine, tokens: readonly IToken[], { lines }: Source): readonly Part[] {
  const { joined, escape: escaper } = lines;
  const [first, second] = tokens;
  if (first?.tokenType === OnbuildKeyword && second !== undefined) {
    // All that follows is stored as it is, with the blanks at its end.
    let start = first.startOffset + first.image.length;
    while (/[\t\f\r ]/.test(joined.text[start] ?? "")) start++;
    const text = joined.text.slice(start, line.end) + line.trailing;
    return [partOf(first, joined, escaper), { start, end: line.end, text, type: Text }];
  }
  return tokens.map((token) => partOf(token, joined, escaper));
}

function partOf({ startOffset: start, image, tokenType: type }: IToken, joined: MappedText, escaper: "\\" | "`"): Part {
  const end = start + image.length;
  const categories = type.CATEGORIES ?? [];
  if (type === As || type === CheckType || categories.includes(Keyword))
    return { start, end, text: image.toUpperCase(), type };
  if (categories.includes(Flag))
    return { start, end, text: flagText(image, unquotedFlag(joined, start, end, escaper).text, escaper), type };
  return { start, end, text: image, type };
}

/** Without quotes, where it means the same. */
function flagText(written: string, plain: string, escaper: string): string {
  const needed = [...plain].some((character) => isSpace(character) || `'"${escaper}`.includes(character));
  return needed ? written : plain;
}

/** A part that goes on over several lines keeps them; a keyword and what was rewritten stand on one. */
function withBreaks(part: Part, { lines }: Source, commentsBefore: (at: number) => readonly string[]): string {
  const { joined, escape: escaper } = lines;
  const written = joined.text.slice(part.start, part.end);
  if (!part.text.startsWith(written)) return part.text;
  let text = "";
  let at = part.start;
  for (let piece = pieceAt(joined, at) + 1; (joined.starts[piece] ?? part.end) < part.end; piece++) {
    const next = joined.starts[piece] ?? part.end;
    const end = Math.min(part.end, joined.starts[piece + 1] ?? part.end);
    const indent = /^[\t ]*/.exec(joined.text.slice(next, end))?.[0] ?? "";
    text += `${joined.text.slice(at, next)}${escaper}\n`;
    for (const comment of commentsBefore(next)) text += `${indent}${comment}\n`;
    at = next;
  }
  return text + joined.text.slice(at, part.end) + part.text.slice(written.length);
}
