/** Whether two trees say the same: everything but where it stands and how its keywords and blanks are written. */
import type { Dockerfile } from "./ast.ts";

export const sameMeaning = (a: Dockerfile, b: Dockerfile): boolean => meaningOf(a) === meaningOf(b);

/** A text that two trees share exactly when they say the same. */
export function meaningOf({ escape: escaper, directives, comments, instructions }: Dockerfile): string {
  return JSON.stringify({ escape: escaper, directives, comments, instructions }, (key, value: unknown) => {
    if (places.has(key)) return undefined;
    if (typeof value !== "object" || value === null || Array.isArray(value)) return value;
    // In one order: the fields of a mount stand as its options were written.
    return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)));
  });
}

const places: ReadonlySet<string> = new Set([
  "range",
  "bodyRange",
  "asRange",
  "stageNameRange",
  "keyword",
  "asText",
  "joined",
]);
