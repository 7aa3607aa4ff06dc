/** Go's `filepath.Match`, which decides for the wildcards of COPY. Source: Go, path/filepath. */

const compiled = new Map<string, RegExp | undefined>();

/** Whether there is a wildcard that no backslash hides. */
export function hasWildcard(path: string): boolean {
  for (let at = 0; at < path.length; at++) {
    const character = path[at];
    if (character === "\\") at++;
    else if (character === "*" || character === "?" || character === "[") return true;
  }
  return false;
}

/**
 * The pattern as a regular expression over whole names, or undefined for a malformed one: an open class, an empty one,
 * a backslash at the end. `*` and `?` do not cross `/`, `[^a]` negates.
 */
export function compilePattern(pattern: string): RegExp | undefined {
  const known = compiled.get(pattern);
  if (known !== undefined || compiled.has(pattern)) return known;
  const source = translate([...pattern]);
  const expression = source === undefined ? undefined : new RegExp(`^${source}$`, "su");
  if (compiled.size > 1000) compiled.clear();
  compiled.set(pattern, expression);
  return expression;
}

/** A malformed pattern matches nothing. */
export function matchPath(pattern: string, name: string): boolean {
  return compilePattern(pattern)?.test(name) ?? false;
}

function translate(characters: readonly string[]): string | undefined {
  let source = "";
  let at = 0;
  while (at < characters.length) {
    const character = characters[at++] ?? "";
    if (character === "*") source += "[^/]*";
    else if (character === "?") source += "[^/]";
    else if (character === "[") {
      const end = readClass(characters, at);
      if (end === undefined) return undefined;
      source += end.source;
      at = end.next;
    } else if (character === "\\") {
      const escaped = characters[at++];
      if (escaped === undefined) return undefined;
      source += quote(escaped);
    } else source += quote(character);
  }
  return source;
}

interface ReadClass {
  readonly source: string;
  readonly next: number;
}

function readClass(characters: readonly string[], start: number): ReadClass | undefined {
  let at = start;
  const negated = characters[at] === "^";
  if (negated) at++;
  let ranges = "";
  /** One bound of a range; undefined where Go says bad pattern. */
  const bound = (): string | undefined => {
    let character = characters[at];
    if (character === undefined || character === "-" || character === "]") return undefined;
    at++;
    if (character === "\\") character = characters[at++];
    return character;
  };
  for (let count = 0; ; count++) {
    if (characters[at] === "]" && count > 0) return { source: `[${negated ? "^" : ""}${ranges}]`, next: at + 1 };
    const low = bound();
    if (low === undefined) return undefined;
    let high = low;
    if (characters[at] === "-") {
      at++;
      const given = bound();
      if (given === undefined) return undefined;
      high = given;
    }
    // A range that ends before it starts holds nothing, and is no error.
    const empty = (low.codePointAt(0) ?? 0) > (high.codePointAt(0) ?? 0);
    ranges += empty ? "" : low === high ? quote(low) : `${quote(low)}-${quote(high)}`;
  }
}

/** For the `u` flag, which allows no needless escape. */
function quote(character: string): string {
  return /[\\^$.*+?()[\]{}|/]/.test(character) ? `\\${character}` : character === "-" ? "\\x2d" : character;
}
