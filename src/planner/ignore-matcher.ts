/**
 * One pattern of an ignore file over whole paths: two stars are any number of components, with a slash behind them also
 * none, `*` and `?` stay within one. All else is what the regular expression says that moby makes of it, where a backslash
 * escapes for that and not for the pattern: `\d` is a digit, and `[^a]` is also a slash.
 * Source: moby/patternmatcher, `Pattern.compile`, whose ways are kept.
 */
import { goRegExp } from "./go-regexp.ts";

/** Undefined for a pattern of which no regular expression can be made. */
export function ignoreMatcher(clean: string): ((path: string) => boolean) | undefined {
  const { kind, source } = compile([...clean]);
  switch (kind) {
    case "exact":
      return (path) => path === clean;
    case "prefix": {
      const prefix = clean.slice(0, -2);
      return (path) => path.startsWith(prefix);
    }
    case "suffix": {
      const suffix = clean.slice(2);
      return (path) => path.endsWith(suffix) || (suffix.startsWith("/") && path === suffix.slice(1));
    }
    case "expression": {
      const expression = goRegExp(`^${source}$`);
      return expression === undefined ? undefined : (path) => expression.test(path);
    }
  }
}

interface Compiled {
  readonly kind: "exact" | "prefix" | "suffix" | "expression";
  readonly source: string;
}

function compile(characters: readonly string[]): Compiled {
  let kind: Compiled["kind"] = "exact";
  let source = "";
  for (let at = 0; at < characters.length; at++) {
    const character = characters[at] ?? "";
    const first = at === 0;
    if (character === "*" && characters[at + 1] === "*") {
      at += characters[at + 2] === "/" ? 2 : 1;
      const last = at + 1 >= characters.length;
      source += last ? ".*" : "(.*/)?";
      kind = first ? "suffix" : last && kind === "exact" ? "prefix" : "expression";
    } else if (character === "*" || character === "?") {
      source += character === "*" ? "[^/]*" : "[^/]";
      kind = "expression";
    } else if (character === "\\") {
      source += `\\${characters[++at] ?? ""}`;
      kind = "expression";
    } else {
      if (character === "[" || character === "]") kind = "expression";
      // Others that mean something to a regular expression, `{` for one, keep that.
      source += /[.+()$]/.test(character) ? `\\${character}` : character;
    }
  }
  return { kind, source };
}
