/**
 * Physical lines to instruction lines: directives and comments taken out, continuations joined, heredoc bodies set
 * aside. All joined lines stand in one text, an instruction a line, which knows where each character came from; the
 * lexer reads that text. This is no work for the lexer, because joining comes before anything else is looked at: a
 * keyword, a quote and a heredoc marker may all be split. Source: BuildKit, frontend/dockerfile/parser/parser.go.
 */
import type { Comment, Directive, Range } from "./ast.ts";
import { trimmedEnd, trimmedStart } from "./blanks.ts";
import {
  emptyContinuation,
  heredocGoesOn,
  lineTooLong,
  nothingContinued,
  type Report,
  unterminatedHeredoc,
} from "./diagnostics.ts";
import { openDirectives, takeDirective } from "./directives.ts";
import { type HeredocMarker, heredocMarkers } from "./heredoc-markers.ts";
import { mayHoldHeredocs } from "./instruction-table.ts";
import { addPiece, dropEnd, type MappedText, mappedText, noPieces, type Pieces, rangeIn } from "./mapped-text.ts";

export interface LogicalLine {
  /** The line is `joined.text[start, end)`, trimmed, and a line feed follows. */
  readonly start: number;
  readonly end: number;
  /** White space behind it that is not in the joined text: ONBUILD keeps it. */
  readonly trailing: string;
  /** In the file, from the keyword to the end of the last line. */
  readonly range: Range;
  readonly doc: readonly string[];
  /** Comments between its continuations. */
  readonly inner: readonly Comment[];
  readonly heredocs: readonly RawHeredoc[];
  /** Reported already: a heredoc never ends. */
  readonly broken: boolean;
}

export interface RawHeredoc extends HeredocMarker {
  readonly body: string;
  readonly bodyRange: Range;
}

export interface LogicalLines {
  readonly joined: MappedText;
  readonly lines: readonly LogicalLine[];
  readonly escape: "\\" | "`";
  readonly directives: readonly Directive[];
  readonly comments: readonly Comment[];
}

const MAX_LINE_BYTES = 65_535;

export function logicalLines(text: string, report: Report): LogicalLines {
  const reader: Reader = { text, at: text.startsWith("\ufeff") ? 1 : 0, report };
  const head = openDirectives();
  const pieces = noPieces();
  const comments: Comment[] = [];
  const lines: LogicalLine[] = [];
  let doc: string[] = [];
  for (let line = nextLine(reader); line !== undefined; line = nextLine(reader)) {
    const first = trimmedStart(text, line.start, line.end);
    if (text[first] === "#") {
      const range = { start: first, end: trimmedEnd(text, first, line.end) };
      if (head.open && takeDirective(head, text.slice(line.start, line.end), range, report)) continue;
      const comment = commentAt(text, range);
      comments.push(comment);
      // Only a comment in column 1 documents what follows, and an empty one ends the group.
      const words = comment.text.trim();
      if (first === line.start && words === "") doc = [];
      else if (first === line.start) doc.push(words);
      continue;
    }
    head.open = false;
    if (first === line.end) continue;
    const logical = joinLine(reader, { start: first, end: line.end }, head.escape, pieces, comments);
    if (logical !== undefined) {
      lines.push({ ...logical, doc });
      doc = [];
    }
  }
  return { joined: mappedText(pieces), lines, escape: head.escape, directives: head.directives, comments };
}

interface Reader {
  readonly text: string;
  at: number;
  readonly report: Report;
}

/** The next physical line without its CRs and LF, or undefined at the end. */
function nextLine(reader: Reader): Range | undefined {
  const { text, at: start } = reader;
  if (start >= text.length) return undefined;
  const feed = text.indexOf("\n", start);
  const rawEnd = feed === -1 ? text.length : feed;
  reader.at = feed === -1 ? text.length : feed + 1;
  let end = rawEnd;
  while (end > start && text[end - 1] === "\r") end--;
  if ((rawEnd - start) * 3 > MAX_LINE_BYTES) {
    const bytes = Buffer.byteLength(text.slice(start, rawEnd));
    if (bytes > MAX_LINE_BYTES) reader.report(lineTooLong(bytes, { start, end }));
  }
  return { start, end };
}

function commentAt(text: string, range: Range): Comment {
  const from = text[range.start + 1] === " " ? range.start + 2 : range.start + 1;
  return { text: text.slice(Math.min(from, range.end), range.end), range };
}

const noComments: readonly Comment[] = [];

function joinLine(
  reader: Reader,
  first: Range,
  escaper: "\\" | "`",
  pieces: Pieces,
  comments: Comment[],
): Omit<LogicalLine, "doc"> | undefined {
  const { text } = reader;
  const joinedStart = pieces.length;
  let joined = "";
  let lastEnd = first.end;
  let emptyAt: Range | undefined;
  const firstComment = comments.length;
  const append = (line: Range): boolean => {
    const end = continuedAt(text, line, escaper);
    const piece = text.slice(line.start, end ?? line.end);
    addPiece(pieces, piece, line.start);
    joined += piece;
    lastEnd = line.end;
    return end !== undefined;
  };
  let open = append(first);
  while (open) {
    const line = nextLine(reader);
    if (line === undefined) break;
    const start = trimmedStart(text, line.start, line.end);
    if (start === line.end) emptyAt = line;
    else if (text[start] === "#") comments.push(commentAt(text, { start, end: trimmedEnd(text, start, line.end) }));
    else open = append(line);
  }
  if (emptyAt !== undefined) reader.report(emptyContinuation(emptyAt));
  const from = trimmedStart(joined, 0, joined.length);
  const to = trimmedEnd(joined, from, joined.length);
  dropEnd(pieces, joined.length - to);
  if (from === to) {
    reader.report(nothingContinued({ start: first.start, end: trimmedEnd(text, first.start, first.end) }));
    return undefined;
  }
  addPiece(pieces, "\n", lastEnd);
  const map: MappedText = { text: "", starts: pieces.starts, origins: pieces.origins };
  const heredocs = readHeredocs(reader, joined, escaper, (start, end) =>
    rangeIn(map, joinedStart + start, joinedStart + end),
  );
  const inJoined = heredocs.heredocs.map((heredoc) => ({
    ...heredoc,
    start: joinedStart + heredoc.start,
    end: joinedStart + heredoc.end,
  }));
  return {
    start: joinedStart + from,
    end: joinedStart + to,
    trailing: joined.slice(to),
    range: {
      start: rangeIn(map, joinedStart + from, joinedStart + from + 1).start,
      end: Math.max(heredocs.end ?? lastEnd, first.start),
    },
    inner: firstComment === comments.length ? noComments : comments.slice(firstComment),
    heredocs: inJoined,
    broken: heredocs.broken,
  };
}

/** Where the escape at the end of a line stands, or undefined when the line does not continue. */
export function continuedAt(text: string, line: Range, escaper: string): number | undefined {
  let at = line.end - 1;
  while (at >= line.start && (text[at] === " " || text[at] === "\t")) at--;
  if (at < line.start || text[at] !== escaper) return undefined;
  return at > line.start && text[at - 1] === escaper ? undefined : at;
}

function readHeredocs(
  reader: Reader,
  joined: string,
  escaper: "\\" | "`",
  rangeOf: (start: number, end: number) => Range,
): { readonly heredocs: readonly RawHeredoc[]; readonly end: number | undefined; readonly broken: boolean } {
  if (!joined.includes("<<") || !mayHoldHeredocs(joined, escaper)) {
    return { heredocs: [], end: undefined, broken: false };
  }
  const heredocs: RawHeredoc[] = [];
  let end: number | undefined;
  let broken = false;
  for (const marker of heredocMarkers(joined, 0, joined.length)) {
    const bodyStart = reader.at;
    let bodyEnd: number | undefined;
    const almost: Range[] = [];
    for (let line = nextLine(reader); line !== undefined; line = nextLine(reader)) {
      let start = line.start;
      if (marker.stripTabs) while (reader.text[start] === "\t" && start < line.end) start++;
      if (line.end - start === marker.name.length && reader.text.startsWith(marker.name, start)) {
        bodyEnd = line.start;
        end = line.end;
        break;
      }
      if (
        reader.text.startsWith(marker.name, start) &&
        trimmedEnd(reader.text, start, line.end) === start + marker.name.length
      )
        almost.push({ start, end: line.end });
    }
    if (bodyEnd === undefined) {
      const hint = terminatorHint(reader.text.slice(bodyStart), marker);
      reader.report(unterminatedHeredoc(marker.name, rangeOf(marker.start, marker.end), hint));
      bodyEnd = reader.text.length;
      end = bodyEnd;
      broken = true;
    }
    if (!broken) for (const range of almost) reader.report(heredocGoesOn(marker.name, range));
    const bodyRange = { start: bodyStart, end: bodyEnd };
    heredocs.push({ ...marker, body: reader.text.slice(bodyStart, bodyEnd), bodyRange });
    // The rest of the file is gone, so one mistake is one message.
    if (broken) break;
  }
  return { heredocs, end, broken };
}

/** The first line that was meant as the end, and what keeps it from being it. */
function terminatorHint(rest: string, { name, stripTabs }: HeredocMarker): string {
  const word = /^[\w.-]+/.exec(name)?.[0] ?? name;
  for (const line of rest.split("\n")) {
    const trimmed = line.trim();
    if (trimmed === name) {
      if (!/^\s/.test(line)) return `${name} must stand alone: take the blanks behind it away`;
      if (stripTabs) return `in front of ${name} only tabs may stand`;
      return `${name} must stand at the start of its line; with <<-${name} tabs may stand before it`;
    }
    if (trimmed === word) return `the name goes up to the next blank: write <<${word} ${name.slice(word.length)}`;
  }
  return `end it with a line ${name}`;
}
