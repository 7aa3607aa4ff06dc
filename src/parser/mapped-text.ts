/**
 * Text that was put together from pieces of the file (joined continuations, unquoted flags, decoded JSON) and knows
 * where each of its characters stood there. A piece is a run copied as it is.
 */
import type { Range } from "./ast.ts";

export interface MappedText {
  readonly text: string;
  /** Where each piece starts in `text`, ascending. */
  readonly starts: readonly number[];
  /** Where the same piece starts in the file. */
  readonly origins: readonly number[];
}

/** Mapped text under construction. */
export interface Pieces {
  readonly texts: string[];
  readonly starts: number[];
  readonly origins: number[];
  length: number;
}

export const noPieces = (): Pieces => ({ texts: [], starts: [], origins: [], length: 0 });

/** Appends `text`, whose first character stands at `origin` in the file. An empty piece leaves no trace. */
export function addPiece(pieces: Pieces, text: string, origin: number): void {
  if (text === "") return;
  pieces.texts.push(text);
  pieces.starts.push(pieces.length);
  pieces.origins.push(origin);
  pieces.length += text.length;
}

/** Takes the last `count` characters away again. */
export function dropEnd(pieces: Pieces, count: number): void {
  let left = count;
  while (left > 0) {
    const last = pieces.texts.pop();
    if (last === undefined) return;
    const kept = last.slice(0, Math.max(0, last.length - left));
    if (kept === "") {
      pieces.starts.pop();
      pieces.origins.pop();
    } else pieces.texts.push(kept);
    pieces.length -= last.length - kept.length;
    left -= last.length - kept.length;
  }
}

export const mappedText = (pieces: Pieces): MappedText => ({
  text: pieces.texts.join(""),
  starts: pieces.starts,
  origins: pieces.origins,
});

/** The offset in the file of the character at `index`; one behind the last character is the end of the last piece. */
export function originOf(mapped: MappedText, index: number): number {
  const piece = pieceAt(mapped, index);
  return (mapped.origins[piece] ?? 0) + index - (mapped.starts[piece] ?? 0);
}

/** Which piece holds the character at `index`. */
export function pieceAt({ starts }: MappedText, index: number): number {
  let low = 0;
  let high = starts.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if ((starts[middle] ?? 0) <= index) low = middle;
    else high = middle - 1;
  }
  return low;
}

/** The file's range of `text[start, end)`. An empty one is a place between two characters. */
export function rangeIn(mapped: MappedText, start: number, end: number): Range {
  if (end <= start) {
    const at = start > 0 ? originOf(mapped, start - 1) + 1 : originOf(mapped, start);
    return { start: at, end: at };
  }
  return { start: originOf(mapped, start), end: originOf(mapped, end - 1) + 1 };
}

/** Pieces of `text[start, end)`, appended to `pieces`. */
export function addSlice(pieces: Pieces, mapped: MappedText, start: number, end: number): void {
  let at = start;
  while (at < end) {
    const next = Math.min(end, nextPieceStart(mapped, at));
    addPiece(pieces, mapped.text.slice(at, next), originOf(mapped, at));
    at = next;
  }
}

export function sliceMapped(mapped: MappedText, start: number, end: number): MappedText {
  const pieces = noPieces();
  addSlice(pieces, mapped, start, end);
  // An empty text still has a place.
  return pieces.length > 0
    ? mappedText(pieces)
    : { text: "", starts: [0], origins: [rangeIn(mapped, start, start).start] };
}

function nextPieceStart(mapped: MappedText, index: number): number {
  return mapped.starts[pieceAt(mapped, index) + 1] ?? mapped.text.length;
}
