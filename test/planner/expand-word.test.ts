// biome-ignore-all lint/suspicious/noTemplateCurlyInString: variables of a Dockerfile
import fc from "fast-check";
import { expect, test } from "vitest";
import { removePrefix, removeSuffix, replaceAll, replaceFirst } from "../../src/planner/shell-pattern.ts";
import { envOf, failureOf } from "./support/graph.ts";

/** The value of `expression` with `v` set, `empty` empty and `u` unset, inside double quotes unless it has its own. */
async function resultOf(expression: string, v: string): Promise<string | undefined> {
  const quoted = /^["']/.test(expression) ? expression : `"${expression}"`;
  const env = await envOf(`FROM scratch⏎ENV v='${v}' empty=⏎ENV r=${quoted}`);
  return env.find((pair) => pair.startsWith("r="))?.slice(2);
}

// The variable is foobarfoo unless the row says otherwise.
const rows: readonly (readonly [string, string, string?])[] = [
  ["$v", "foobarfoo"],
  ["${v}", "foobarfoo"],
  ["[$u]", "[]"],
  ["[${empty}]", "[]"],
  ["$vx", ""],
  ["${v}x", "foobarfoox"],
  ["$v-x", "foobarfoo-x"],
  ["a$", "a$"],
  ["$ a", "$ a"],
  ["$$", ""],
  ["$1x", "x"],
  ["$@$*$#$?$-$!$0", ""],
  ["'$v'", "$v"],
  ["'a'\"$v\"'b'", "afoobarfoob"],
  ['"\\$v"', "$v"],
  ['"\\\\ \\" \\n"', '\\ " \\n'],
  ['"it\'s"', "it's"],
  ["${u-w}", "w"],
  ["${empty-w}", ""],
  ["${u:-w}", "w"],
  ["${empty:-w}", "w"],
  ["${v:-w}", "foobarfoo"],
  ["${u+w}", ""],
  ["${empty+w}", "w"],
  ["${empty:+w}", ""],
  ["${v:+w}", "w"],
  ["${u:-${v}}", "foobarfoo"],
  ["${u:-${u:-x y}}", "x y"],
  ["${u:-a}b}", "ab}"],
  ["${v:?x}", "foobarfoo"],
  ["${empty?x}", ""],
  ["${v#f*o}", "obarfoo"],
  ["${v##f*o}", ""],
  ["${v%o*}", "foobarfo"],
  ["${v%%o*}", "f"],
  ["${v#x}", "foobarfoo"],
  ["${v#oo}", "foobarfoo"],
  ["${v/foo/X}", "Xbarfoo"],
  ["${v//foo/X}", "XbarX"],
  ["${v//o/}", "fbarf"],
  ["${v/#foo/X}", "foobarfoo"],
  ["${v/%foo/X}", "foobarfoo"],
  ["${v/o*o/X}", "fX"],
  ["${v//*/X}", "X"],
  ["${v//?/x}", "xxxxxxxxx"],
  ["${u//x/y}", ""],
  ["${v/bar/$v}", "foofoobarfoofoo"],
  ["${v#?.}", "b[c]d", "a.b[c]d"],
  ["${v%[c]d}", "a.b", "a.b[c]d"],
  ["${v/[c]/X}", "a.bXd", "a.b[c]d"],
  ["${v#\\*}", "b", "*b"],
  ["${v#\\*}", "ab", "ab"],
  ["${v/\\//-}", "a-b/c", "a/b/c"],
  ["${v//\\//-}", "a-b-c", "a/b/c"],
  ["${v%/*}", "a/b", "a/b/c"],
  ["${v##*/}", "c", "a/b/c"],
  ["${v#v}", "1.2", "v1.2"],
  ["${v%%.*}", "1", "1.2.3"],
];

test.for(rows)("%s is %s", async ([expression, expected, v = "foobarfoo"]) => {
  expect(await resultOf(expression, v)).toBe(expected);
});

test.for([
  ["ENV r=${u:?no value}", "EXPANSION_FAILED"],
  ['ENV r="${u:?no value}"', "EXPANSION_FAILED"],
  ["ENV r=${empty:?}", "EXPANSION_FAILED"],
  ["ENV r=${v/x}", "DOCKERFILE_INVALID"],
  ["ENV r=${v:=x}", "DOCKERFILE_INVALID"],
  ["ENV r=${v^}", "DOCKERFILE_INVALID"],
  ["ENV r=${}", "DOCKERFILE_INVALID"],
  ["ENV r=${v", "DOCKERFILE_INVALID"],
] as const)("%s is rejected", async ([line, code]) => {
  // A blank splits the pair first, so such a word is already no pair.
  const expected = line === "ENV r=${u:?no value}" ? "DOCKERFILE_INVALID" : code;
  expect(await failureOf(`FROM scratch⏎ENV v=1 empty=⏎${line}`)).toMatchObject({ code: expected });
});

test("in the // form $0 means the match and other names nothing", () => {
  expect(replaceAll("abc", "?", "[$0$1$x${0}]")).toBe("[aa][bb][cc]");
  expect(replaceAll("abc", "b", "$")).toBe("a$c");
  expect(replaceAll("abc", "b", "$$0")).toBe("a$0c");
  expect(replaceFirst("abc", "b", "$0")).toBe("a$0c");
});

test("a wildcard does not cross a newline", () => {
  expect(removePrefix("ab\ncd", "*", true)).toBe("\ncd");
  expect(removeSuffix("ab\ncd", "*", true)).toBe("ab\n");
  expect(replaceFirst("a\nb", "a?b", "x")).toBe("a\nb");
});

// A second opinion without regular expressions.
function matches(pattern: string, text: string): boolean {
  if (pattern === "") return text === "";
  if (pattern.startsWith("*"))
    return matches(pattern.slice(1), text) || (text !== "" && matches(pattern, text.slice(1)));
  if (text === "") return false;
  if (pattern.startsWith("?")) return matches(pattern.slice(1), text.slice(1));
  const literal = pattern.startsWith("\\") ? pattern[1] : pattern[0];
  return literal === text[0] && matches(pattern.slice(pattern.startsWith("\\") ? 2 : 1), text.slice(1));
}

const text = fc.stringMatching(/^[ab*?.[\]]{0,8}$/);
const pattern = fc
  .array(fc.constantFrom("a", "b", ".", "[", "]", "*", "?", "\\*", "\\?", "\\\\"), { maxLength: 5 })
  .map((parts) => parts.join(""));

test("shortest and longest prefix and suffix are what trying every length finds", () => {
  fc.assert(
    fc.property(text, pattern, (value, glob) => {
      const lengths = Array.from({ length: value.length + 1 }, (_, length) => length);
      const prefixes = lengths.filter((length) => matches(glob, value.slice(0, length)));
      const suffixes = lengths.filter((length) => matches(glob, value.slice(value.length - length)));
      const cut = (found: readonly number[], at: 0 | -1): number => found.at(at) ?? 0;
      expect(removePrefix(value, glob, false)).toBe(value.slice(cut(prefixes, 0)));
      expect(removePrefix(value, glob, true)).toBe(value.slice(cut(prefixes, -1)));
      expect(removeSuffix(value, glob, false)).toBe(value.slice(0, value.length - cut(suffixes, 0)));
      expect(removeSuffix(value, glob, true)).toBe(value.slice(0, value.length - cut(suffixes, -1)));
    }),
    { numRuns: 2000 },
  );
});

test("replacing a literal is what splitting and joining does", () => {
  fc.assert(
    fc.property(text, fc.stringMatching(/^[ab.]{1,2}$/), (value, literal) => {
      expect(replaceAll(value, literal, "-")).toBe(value.split(literal).join("-"));
    }),
  );
});
