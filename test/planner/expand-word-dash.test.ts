// biome-ignore-all lint/suspicious/noTemplateCurlyInString: variables of a Dockerfile
// Words mean what a POSIX shell takes them for, wherever both languages have them.
import { spawnSync } from "node:child_process";
import fc from "fast-check";
import { expect } from "vitest";
import { expandWord } from "../../src/planner/expand-word.ts";
import { nodeOf } from "../parser/parsed.ts";
import { needs } from "../support/needs.ts";

const variables = new Map([
  ["a", "foobarfoo"],
  ["b", "x y"],
  ["c", "*"],
  ["d", "/usr/lib/lib.so.1"],
  ["empty", ""],
  ["slash", "a\\b"],
]);

const name = fc.constantFrom(...variables.keys(), "unset");
const plain = fc.constantFrom("x", "foo", "é", "/", ".", "-", "=", "%", "@", ",", "o", "lib", "+");
const joined = (parts: fc.Arbitrary<string>, maxLength = 3): fc.Arbitrary<string> =>
  fc.array(parts, { maxLength }).map((all) => all.join(""));

/** `$b`, in braces where a letter may follow. */
const variable = name.map((text) => `\${${text}}`);

/** No quotes, and no value with a backslash: in patterns they differ. */
const pattern = joined(
  fc.oneof(
    plain,
    fc.constantFrom("${a}", "${b}", "${c}", "${empty}", "${unset}"),
    fc.constantFrom("*", "?", "\\*", "\\?", "o", "f", "r", "/"),
  ),
  4,
);

function expansion(word: fc.Arbitrary<string>): fc.Arbitrary<string> {
  return fc.oneof(
    variable,
    fc
      .tuple(name, fc.constantFrom("-", ":-", "+", ":+"), word)
      .map(([text, operator, inner]) => `\${${text}${operator}${inner}}`),
    fc
      .tuple(name, fc.constantFrom("#", "##", "%", "%%"), pattern)
      .map(([text, operator, inner]) => `\${${text}${operator}${inner}}`),
  );
}

/** What stands after an operator in double quotes: there, quotes and escapes differ. */
const innerQuoted = joined(fc.oneof(plain, variable, fc.constantFrom(" ", "  ")));
const doubleQuoted = joined(
  fc.oneof(plain, expansion(innerQuoted), fc.constantFrom(" ", "'", '\\"', "\\$", "\\\\", "\\x", "$.", "*")),
  4,
).map((text) => `"${text}"`);
const singleQuoted = joined(fc.oneof(plain, fc.constantFrom(" ", '"', "\\", "$a", "${b}", "*")), 4).map(
  (text) => `'${text}'`,
);
const inner = joined(
  fc.oneof(plain, variable, doubleQuoted, singleQuoted, fc.constantFrom("\\x", "\\ ", "\\$", "\\}", "\\\\", "$.")),
);
const word = joined(
  fc.oneof(
    plain,
    doubleQuoted,
    singleQuoted,
    expansion(inner),
    expansion(expansion(inner)),
    fc.constantFrom("\\x", "\\ ", "\\$", '\\"', "\\'", "\\\\", "$.", "$a/", "*", "?", "[x]"),
  ),
  5,
);

/** The value of each word as an assignment has it: neither split nor matched with files. */
function dash(words: readonly string[]): readonly string[] {
  const quote = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;
  const script = [
    ...[...variables].map(([key, value]) => `${key}=${quote(value)}`),
    ...words.map((text) => `r=${text}; printf '%s\\0' "$r"`),
  ].join("\n");
  const { stdout, stderr, status } = spawnSync("dash", ["-s"], {
    input: script,
    encoding: "utf8",
    env: { LC_ALL: "C" },
    maxBuffer: 1 << 26,
  });
  expect({ stderr, status }).toEqual({ stderr: "", status: 0 });
  return stdout.split("\0").slice(0, -1);
}

function ours(text: string): string {
  // Between two letters, because the ends of a line are trimmed.
  const node = nodeOf(`USER x${text}x`);
  if (node.kind !== "user") return `rejected: ${text}`;
  return expandWord(node.user, variables, () => ({ kind: "flag", flag: "" })).slice(1, -1);
}

needs("dash")("five thousand generated words have the value that dash gives them", () => {
  const words = fc.sample(word, { numRuns: 5000 });
  const theirs = dash(words);
  const different = words.flatMap((text, at) => {
    const value = ours(text);
    return value === theirs[at] ? [] : [{ word: text, ours: value, dash: theirs[at] }];
  });
  different.sort((a, b) => a.word.length - b.word.length);
  expect(different.slice(0, 5)).toEqual([]);
});
