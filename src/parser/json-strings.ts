/** JSON string tokens, decoded, with the place in the file of each character. */
import { addPiece, addSlice, type MappedText, mappedText, noPieces, originOf, sliceMapped } from "./mapped-text.ts";

const simple: ReadonlyMap<string, string> = new Map([
  ["b", "\b"],
  ["f", "\f"],
  ["n", "\n"],
  ["r", "\r"],
  ["t", "\t"],
]);

/** The string whose token, quotes included, is `source.text[start, end)`. */
export function jsonString(source: MappedText, start: number, end: number): MappedText {
  const pieces = noPieces();
  const { text } = source;
  let run = start + 1;
  let at = run;
  while (at < end - 1) {
    if (text[at] !== "\\") {
      at++;
      continue;
    }
    addSlice(pieces, source, run, at);
    const [decoded, length] = escapeAt(text, at);
    addPiece(pieces, decoded, originOf(source, at));
    at += length;
    run = at;
  }
  addSlice(pieces, source, run, end - 1);
  return pieces.length > 0 ? mappedText(pieces) : sliceMapped(source, start + 1, start + 1);
}

function escapeAt(text: string, at: number): readonly [string, number] {
  const letter = text[at + 1] ?? "";
  if (letter !== "u") return [simple.get(letter) ?? letter, 2];
  const pair = /^\\u(d[89ab][0-9a-f]{2})\\u(d[c-f][0-9a-f]{2})/i.exec(text.slice(at, at + 12));
  if (pair !== null) return [codeUnit(pair[1]) + codeUnit(pair[2]), 12];
  // Half a pair is no character.
  return [codeUnit(text.slice(at + 2, at + 6)).toWellFormed(), 6];
}

const codeUnit = (hex: string | undefined): string => String.fromCharCode(Number.parseInt(hex ?? "fffd", 16));
