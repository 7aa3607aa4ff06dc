/** The heredocs of a line as nodes. Source: Dockerfile reference, "Here-Documents". */
import type { Heredoc } from "../ast.ts";
import type { RawHeredoc } from "../logical-lines.ts";
import { addPiece, mappedText, noPieces } from "../mapped-text.ts";
import { parseWord } from "../word.ts";
import { type Line, rangeOf } from "./line.ts";

/** A body that the shell reads. */
export function shellHeredoc(line: Line, raw: RawHeredoc): Heredoc {
  const { name, marker, fileDescriptor, stripTabs, quoted, body, bodyRange } = raw;
  return {
    name,
    marker,
    ...(fileDescriptor === undefined ? {} : { fileDescriptor }),
    stripTabs,
    quoted,
    body,
    range: rangeOf(line, raw),
    bodyRange,
  };
}

/** A body that becomes a file: taken apart like a word, unless the marker was quoted. */
export function fileHeredoc(line: Line, raw: RawHeredoc): Heredoc {
  const node = shellHeredoc(line, raw);
  if (raw.quoted) return node;
  const body = noPieces();
  let at = 0;
  while (at < raw.body.length) {
    const feed = raw.body.indexOf("\n", at);
    const end = feed === -1 ? raw.body.length : feed + 1;
    if (raw.stripTabs) while (raw.body[at] === "\t") at++;
    addPiece(body, raw.body.slice(at, end), raw.bodyRange.start + at);
    at = end;
  }
  const text = body.length > 0 ? mappedText(body) : { text: "", starts: [0], origins: [raw.bodyRange.start] };
  const word = parseWord(text, 0, text.text.length, { escape: "\\", quotes: false, report: line.report });
  return { ...node, word };
}
