/**
 * Differences that have a reason: `fixtures/parity/DIFFERENCES.md`. A heading `## AREA: CASE` is followed by the reason and
 * a list of keys in backticks; the case must then differ in just these. Under `## Everywhere` a `*` stands for anything,
 * and nothing has to differ.
 */
import { readFileSync } from "node:fs";

const file: URL = new URL("../fixtures/parity/DIFFERENCES.md", import.meta.url);

export interface KnownDifferences {
  /** Keys by `AREA: CASE`. */
  readonly cases: ReadonlyMap<string, ReadonlySet<string>>;
  isEverywhere(key: string): boolean;
}

export function knownDifferences(): KnownDifferences {
  const cases = new Map<string, Set<string>>();
  let keys = new Set<string>();
  for (const line of readFileSync(file, "utf8").split("\n")) {
    if (line.startsWith("## ")) {
      keys = new Set();
      cases.set(line.slice("## ".length).trim(), keys);
    } else if (line.startsWith("- `")) {
      keys.add(line.slice("- `".length, line.indexOf("`", "- `".length)));
    }
  }
  const patterns = [...(cases.get("Everywhere") ?? [])];
  cases.delete("Everywhere");
  return { cases, isEverywhere: (key) => patterns.some((pattern) => matches(pattern, key)) };
}

function matches(pattern: string, key: string): boolean {
  const [first = "", ...rest] = pattern.split("*");
  if (rest.length === 0) return key === pattern;
  return key.length >= pattern.length - rest.length && key.startsWith(first) && key.endsWith(rest.at(-1) ?? "");
}
