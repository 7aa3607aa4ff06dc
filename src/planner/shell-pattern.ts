/**
 * The patterns of `${v#p}`, `${v%p}` and `${v/p/r}`: `*` any run, `?` one character, neither crosses a newline. No
 * bracket classes, no anchors. Source: BuildKit, frontend/dockerfile/shell/lex.go.
 */

/** An escape that means nothing: the caller knows the place. */
export class InvalidEscape extends Error {
  /** `\\x`. */
  readonly sequence: string;
  constructor(sequence: string) {
    super(`invalid escape ${sequence}`);
    this.sequence = sequence;
  }
}

type Element =
  | { readonly kind: "run" }
  | { readonly kind: "one" }
  | { readonly kind: "literal"; readonly text: string };

/** @throws {InvalidEscape} */
function elementsOf(pattern: string): readonly Element[] {
  const elements: Element[] = [];
  const characters = [...pattern];
  for (let at = 0; at < characters.length; at++) {
    const character = characters[at] ?? "";
    if (character === "*") elements.push({ kind: "run" });
    else if (character === "?") elements.push({ kind: "one" });
    else if (character !== "\\") elements.push({ kind: "literal", text: character });
    else {
      at++;
      const escaped = characters[at] ?? "";
      if (!["*", "?", "\\", "}", "/"].includes(escaped)) throw new InvalidEscape(`\\${escaped}`);
      elements.push({ kind: "literal", text: escaped });
    }
  }
  return elements;
}

function regularExpression(elements: readonly Element[], greedy: boolean, flags: string): RegExp {
  const run = greedy ? "[^\\n]*" : "[^\\n]*?";
  const source = elements
    .map((element) =>
      element.kind === "run"
        ? run
        : element.kind === "one"
          ? "[^\\n]"
          : element.text.replace(/[\\^$.*+?()[\]{}|/-]/u, "\\$&"),
    )
    .join("");
  return new RegExp(source, flags);
}

/** @throws {InvalidEscape} */
export function removePrefix(value: string, pattern: string, longest: boolean): string {
  const match = regularExpression(elementsOf(pattern), longest, "uy").exec(value);
  return match === null ? value : value.slice(match[0].length);
}

/** The prefix of the reversed value, so that shortest and longest mean the same from the other end. */
export function removeSuffix(value: string, pattern: string, longest: boolean): string {
  const elements = elementsOf(pattern).toReversed();
  const match = regularExpression(elements, longest, "uy").exec([...value].reverse().join(""));
  return match === null ? value : value.slice(0, value.length - match[0].length);
}

/** Always greedy. @throws {InvalidEscape} */
export function replaceFirst(value: string, pattern: string, replacement: string): string {
  const match = regularExpression(elementsOf(pattern), true, "u").exec(value);
  if (match === null) return value;
  return value.slice(0, match.index) + replacement + value.slice(match.index + match[0].length);
}

/**
 * Every match. Go's rules: an empty match that touches the match before it does not count, and `$0` in the replacement
 * is the match, other `$names` nothing. @throws {InvalidEscape}
 */
export function replaceAll(value: string, pattern: string, replacement: string): string {
  let result = "";
  let copied = 0;
  let endBefore = -1;
  for (const match of value.matchAll(regularExpression(elementsOf(pattern), true, "gu"))) {
    if (match[0] === "" && match.index === endBefore) continue;
    result += value.slice(copied, match.index) + expandTemplate(replacement, match[0]);
    copied = match.index + match[0].length;
    endBefore = copied;
  }
  return result + value.slice(copied);
}

function expandTemplate(template: string, match: string): string {
  return template.replace(/\$(?:\$|([\p{L}\p{N}_]+)|\{([\p{L}\p{N}_]+)\})/gu, (whole, bare, braced) => {
    if (whole === "$$") return "$";
    return (bare ?? braced) === "0" ? match : "";
  });
}
