/**
 * The words between keyword and arguments that start with `--`.
 * Source: BuildKit, frontend/dockerfile/parser/split_command.go.
 */
import { isBlank } from "./blanks.ts";
import { addSlice, type MappedText, mappedText, noPieces } from "./mapped-text.ts";

/** Where the flag word at `start` ends: at the first blank outside quotes. */
export function flagWordEnd(text: string, start: number, escaper: string): number {
  let quote = "";
  let at = start;
  while (at < text.length && text.charCodeAt(at) !== 0x0a) {
    const character = text[at] ?? "";
    if (quote === "" && isBlank(text.charCodeAt(at))) break;
    if (character === escaper && at + 1 < text.length && text.charCodeAt(at + 1) !== 0x0a) at++;
    else if (character === quote) quote = "";
    else if (quote === "" && (character === "'" || character === '"')) quote = character;
    at++;
  }
  return at;
}

/** The flag word `source.text[start, end)` with quotes and escapes removed: `--chown="1":'2'` is `--chown=1:2`. */
export function unquotedFlag(source: MappedText, start: number, end: number, escaper: string): MappedText {
  const pieces = noPieces();
  const { text } = source;
  let quote = "";
  let run = start;
  for (let at = start; at < end; at++) {
    const character = text[at] ?? "";
    const escapes = character === escaper;
    const closes = !escapes && character === quote;
    const opens = !escapes && quote === "" && (character === "'" || character === '"');
    if (!escapes && !closes && !opens) continue;
    addSlice(pieces, source, run, at);
    run = at + 1;
    if (closes) quote = "";
    else if (opens) quote = character;
    else at++; // the character behind an escape starts the next run, whatever it is
  }
  addSlice(pieces, source, run, end);
  return mappedText(pieces);
}

/** Where the arguments start: behind the keyword that ends at `start`, and behind its flags. */
export function argumentsStart(text: string, start: number, escaper: string): number {
  let at = skipBlanks(text, start);
  while (text.startsWith("--", at)) {
    const end = flagWordEnd(text, at, escaper);
    const last = isFlagsEnd(text.slice(at, end), escaper);
    at = skipBlanks(text, end);
    if (last) break;
  }
  return at;
}

/** `--` alone ends the flags; so does `--""`. */
export function isFlagsEnd(word: string, escaper: string): boolean {
  if (word === "--") return true;
  if (word.length > 16 || !/^--['"]/.test(word)) return false;
  return unquotedFlag({ text: word, starts: [0], origins: [0] }, 0, word.length, escaper).text === "--";
}

export function skipBlanks(text: string, start: number): number {
  let at = start;
  while (isBlank(text.charCodeAt(at))) at++;
  return at;
}
