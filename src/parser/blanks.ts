/**
 * White space, in the two meanings the language has. As in BuildKit's parser: Unicode where lines are trimmed, five
 * bytes between words.
 */

/** Go's `unicode.IsSpace`; JavaScript's `\s` lacks U+0085 and has U+FEFF. */
const SPACE = "\\t\\n\\v\\f\\r \\u0085\\u00a0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000";
const leading = new RegExp(`^[${SPACE}]+`);
const single = new RegExp(`^[${SPACE}]$`);

export const isSpace = (character: string): boolean => single.test(character);

export const trimStart = (text: string): string => text.replace(leading, "");

/** Index behind the last character of `text[start, end)` that is no white space. Linear, where `/\s+$/` is not. */
export function trimmedEnd(text: string, start: number, end: number): number {
  let at = end;
  while (at > start && isSpace(text[at - 1] ?? "")) at--;
  return at;
}

/** Index of the first character of `text[start, end)` that is no white space, or `end`. */
export function trimmedStart(text: string, start: number, end: number): number {
  let at = start;
  while (at < end && isSpace(text[at] ?? "")) at++;
  return at;
}

/** TAB, VT, FF, CR, SPACE: what separates instruction, flags and arguments. */
export function isBlank(code: number): boolean {
  return code === 0x20 || code === 0x09 || code === 0x0b || code === 0x0c || code === 0x0d;
}
