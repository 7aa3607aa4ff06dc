/**
 * Finds the heredoc markers of a joined line. The line is split as a shell would, always with backslash as the escape,
 * and a marker must be a whole word; one unbalanced quote and there are none. Source: BuildKit,
 * frontend/dockerfile/parser/parser.go, `heredocsFromLine`.
 */
import { isSpace } from "./blanks.ts";
import { substitutionEnd } from "./word.ts";

export interface HeredocMarker {
  readonly name: string;
  /** As written, `<<-"EOF"`. */
  readonly marker: string;
  readonly fileDescriptor?: number;
  readonly stripTabs: boolean;
  readonly quoted: boolean;
  /** Offsets in the text that holds it. */
  readonly start: number;
  readonly end: number;
}

export function heredocMarkers(text: string, start: number, end: number): readonly HeredocMarker[] {
  const markers: HeredocMarker[] = [];
  const words = shellWords(text, start, end);
  for (const word of words ?? []) {
    const marker = parseMarker(text.slice(word.start, word.end), word.start);
    if (marker !== undefined) markers.push(marker);
  }
  return markers;
}

/** The marker that `word` is, or undefined when it is none. `start`: where it stands. */
export function parseMarker(word: string, start: number): HeredocMarker | undefined {
  const match = /^(\d*)<<(-?)([^<]*)$/.exec(word);
  if (match === null) return undefined;
  const [, digits = "", dash = "", written = ""] = match;
  // Blanks are taken over by `<<` alone, as a shell takes them: `<< EOF`, and not `<<- EOF`.
  if (dash !== "" && isSpace(written[0] ?? "")) return undefined;
  const name = unquote(written);
  if (name === undefined || name === "") return undefined;
  return {
    name,
    marker: word,
    ...(digits === "" ? {} : { fileDescriptor: Number(digits) }),
    stripTabs: dash === "-",
    quoted: /['"]/.test(written.replace(/\\./gs, "")),
    start,
    end: start + word.length,
  };
}

interface Span {
  readonly start: number;
  readonly end: number;
}

/** Words with their quotes, or undefined when a quote or a `${` stays open. */
function shellWords(text: string, start: number, end: number): readonly Span[] | undefined {
  const words: Span[] = [];
  let wordStart = -1;
  let at = start;
  while (at < end) {
    const character = text[at] ?? "";
    if (isSpace(character)) {
      if (wordStart !== -1 && !/^\d*<<$/.test(text.slice(wordStart, at).trim())) {
        words.push({ start: wordStart, end: at });
        wordStart = -1;
      }
      at++;
      continue;
    }
    if (wordStart === -1) wordStart = at;
    const next = skipUnit(text, at, end);
    if (next === undefined) return undefined;
    at = next;
  }
  if (wordStart !== -1) words.push({ start: wordStart, end });
  return words;
}

/** Index behind the quoted text, escape, variable or character at `at`; undefined when it stays open. */
function skipUnit(text: string, at: number, end: number): number | undefined {
  switch (text[at]) {
    case "\\":
      return Math.min(end, at + 2);
    case "'": {
      const close = text.indexOf("'", at + 1);
      return close === -1 || close >= end ? undefined : close + 1;
    }
    case '"':
      return skipDoubleQuotes(text, at, end);
    case "$":
      return substitutionEnd(text, at, end);
    default:
      return at + 1;
  }
}

function skipDoubleQuotes(text: string, open: number, end: number): number | undefined {
  let at = open + 1;
  while (at < end) {
    const character = text[at];
    if (character === '"') return at + 1;
    if (character === "\\") at += 2;
    else if (character === "$") {
      const next = substitutionEnd(text, at, end);
      if (next === undefined) return undefined;
      at = next;
    } else at++;
  }
  return undefined;
}

/**
 * Quotes and backslashes removed, `$` left alone; undefined when a quote stays open or a blank stands outside quotes.
 */
function unquote(written: string): string | undefined {
  const text = written.replace(/^\s+/, "");
  let name = "";
  let at = 0;
  while (at < text.length) {
    const character = text[at] ?? "";
    if (isSpace(character)) return undefined;
    if (character === "'" || character === '"') {
      const next = skipUnit(text, at, text.length);
      if (next === undefined) return undefined;
      const inner = text.slice(at + 1, next - 1);
      name += character === "'" ? inner : inner.replace(/\\(["$\\])/g, "$1");
      at = next;
    } else if (character === "\\") {
      name += text[at + 1] ?? "";
      at += 2;
    } else {
      name += character;
      at++;
    }
  }
  return name;
}
