/**
 * Arguments that were meant as a JSON array and are none: the language takes them as plain text, without a word.
 * Source: Dockerfile reference, "Exec form".
 */
import { hasTypographicQuote, typographicHint } from "./diagnostics.ts";

/** What keeps `text` from being the JSON form, as a hint; undefined when it does not look like it. */
export function jsonNearMiss(text: string): string | undefined {
  if (!text.startsWith("[") || isJson(text)) return undefined;
  const inside = text.slice(1).trimStart();
  const quote = inside[0] ?? "";
  const quoted = quote === '"' || quote === "'";
  const close = quoted ? inside.indexOf(quote, 1) : -1;
  const behind = inside.slice(close + 1).trimStart();
  // `[ -f x ]` and `[ "$a" = b ]` are commands of a shell; no command begins with `["` or goes on with a comma.
  const adjacent = text[1] !== " " && text[1] !== "\t" && text[1] !== "[";
  if (!(quoted ? adjacent || (close > 0 && behind.startsWith(",")) : adjacent && text.trimEnd().endsWith("]"))) {
    return undefined;
  }
  if (hasTypographicQuote(quote)) return typographicHint;
  if (quote === "'") return 'JSON strings stand in double quotes: ["…", "…"]';
  if (!quoted) return 'each string stands in double quotes: ["…", "…"]';
  const last = text.lastIndexOf("]");
  if (last === -1) return "the array has no ] at its end";
  const tail = text.slice(last + 1).trim();
  if (tail !== "" && isJson(text.slice(0, last + 1))) {
    return tail.startsWith("#") ? "a comment needs a line of its own" : `behind the array stands ${tail}`;
  }
  if (text.slice(0, last).trimEnd().endsWith(",")) return "no comma stands in front of ]";
  return "strings stand in double quotes, with a comma between two of them";
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
