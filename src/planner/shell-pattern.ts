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

/**
 * Where the match at `start` ends, or undefined. All ways through the pattern are followed at once, so that no pattern
 * takes longer than its length times that of the text.
 */
function matchEnd(
  elements: readonly Element[],
  characters: readonly string[],
  start: number,
  longest: boolean,
): number | undefined {
  let states = closure(elements, [0]);
  let end: number | undefined;
  for (let at = start; ; at++) {
    if (states.at(-1) === elements.length) {
      end = at;
      if (!longest) return end;
    }
    const character = characters[at];
    if (character === undefined || states.length === 0) return end;
    const next: number[] = [];
    for (const state of states) {
      const element = elements[state];
      if (element === undefined) continue;
      const { kind } = element;
      if (kind === "literal" ? element.text !== character : character === "\n") continue;
      const target = kind === "run" ? state : state + 1;
      if (next.at(-1) !== target) next.push(target);
    }
    states = closure(elements, next);
  }
}

/** With the states that a run of no character leads to; ascending, each once. */
function closure(elements: readonly Element[], states: readonly number[]): readonly number[] {
  const all: number[] = [];
  for (const first of states) {
    for (let state = first; ; state++) {
      if ((all.at(-1) ?? -1) < state) all.push(state);
      if (elements[state]?.kind !== "run") break;
    }
  }
  return all;
}

/** @throws {InvalidEscape} */
export function removePrefix(value: string, pattern: string, longest: boolean): string {
  const characters = [...value];
  const end = matchEnd(elementsOf(pattern), characters, 0, longest);
  return end === undefined ? value : characters.slice(end).join("");
}

/** The prefix of the reversed value, so that shortest and longest mean the same from the other end. */
export function removeSuffix(value: string, pattern: string, longest: boolean): string {
  const characters = [...value];
  const end = matchEnd(elementsOf(pattern).toReversed(), characters.toReversed(), 0, longest);
  return end === undefined ? value : characters.slice(0, characters.length - end).join("");
}

interface Match {
  readonly start: number;
  readonly end: number;
}

/** The first match from `from` on, always the longest there. */
function find(elements: readonly Element[], characters: readonly string[], from: number): Match | undefined {
  for (let start = from; start <= characters.length; start++) {
    const end = matchEnd(elements, characters, start, true);
    if (end !== undefined) return { start, end };
  }
  return undefined;
}

/** Always greedy. @throws {InvalidEscape} */
export function replaceFirst(value: string, pattern: string, replacement: string): string {
  const characters = [...value];
  const match = find(elementsOf(pattern), characters, 0);
  if (match === undefined) return value;
  return characters.slice(0, match.start).join("") + replacement + characters.slice(match.end).join("");
}

/**
 * Every match. Go's rules: an empty match that touches the match before it does not count, and `$0` in the replacement
 * is the match, other `$names` nothing. @throws {InvalidEscape}
 */
export function replaceAll(value: string, pattern: string, replacement: string): string {
  const elements = elementsOf(pattern);
  const characters = [...value];
  let result = "";
  let copied = 0;
  let endBefore = -1;
  let from = 0;
  for (let match = find(elements, characters, 0); match !== undefined; match = find(elements, characters, from)) {
    const { start, end } = match;
    from = end === start ? start + 1 : end;
    if (end === start && start === endBefore) continue;
    const text = characters.slice(start, end).join("");
    result += characters.slice(copied, start).join("") + expandTemplate(replacement, text);
    copied = end;
    endBefore = end;
  }
  return result + characters.slice(copied).join("");
}

function expandTemplate(template: string, match: string): string {
  return template.replace(/\$(?:\$|([\p{L}\p{N}_]+)|\{([\p{L}\p{N}_]+)\})/gu, (whole, bare, braced) => {
    if (whole === "$$") return "$";
    return (bare ?? braced) === "0" ? match : "";
  });
}
