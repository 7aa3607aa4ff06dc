import fc from "fast-check";
import { expect, test } from "vitest";
import { excludeRules, type FolderMatches, type IgnoreRules, parseIgnoreFile } from "../../src/planner/ignore-rules.ts";

/** As a walk does it: folders first, each handing its matches down. */
function isExcluded(rules: IgnoreRules, path: string): boolean {
  const parts = path.split("/");
  let folder: FolderMatches | undefined;
  let excluded = false;
  for (let count = 1; count <= parts.length; count++) {
    const result = rules.match(parts.slice(0, count).join("/"), folder);
    excluded = result.excluded;
    folder = result.matches;
  }
  return excluded;
}

interface Row {
  readonly ignore: string;
  readonly hidden?: readonly string[];
  readonly kept?: readonly string[];
}

test.for<Row>([
  { ignore: "*.md", hidden: ["a.md", ".md"], kept: ["d/b.md", "a.md.txt"] },
  { ignore: "**/*.md", hidden: ["a.md", "d/b.md", "d/e/c.md"], kept: ["d/md"] },
  { ignore: "*⏎!d/e", hidden: ["d/g", "x"], kept: ["d/e", "d/e/f"] },
  { ignore: "*⏎!d", hidden: ["x"], kept: ["d", "d/e", "d/e/f"] },
  { ignore: "d⏎!d/e", hidden: ["d", "d/f"], kept: ["d/e", "d/e/f"] },
  { ignore: "x/y⏎!x", hidden: ["x/y", "x/y/z"], kept: ["x", "x/z"] },
  { ignore: "x/y/z⏎!x", hidden: ["x/y/z", "x/y/z/a"], kept: ["x/y"] },
  { ignore: "/d", hidden: ["d", "d/x"], kept: ["e/d"] },
  { ignore: "./d", hidden: ["d"] },
  { ignore: "d/", hidden: ["d", "d/x"] },
  { ignore: "d/../x", hidden: ["x"], kept: ["d"] },
  { ignore: "../x", kept: ["x"] },
  { ignore: ".", kept: ["a", ".a"] },
  { ignore: "/", kept: ["a"] },
  { ignore: "# x⏎ #y⏎⏎  z  ", hidden: ["#y", "z"], kept: ["x", " x", "# x"] },
  { ignore: "\ufeffa", hidden: ["a"] },
  { ignore: "a\r⏎b\r", hidden: ["a", "b"] },
  { ignore: "! a⏎a⏎! a", kept: ["a"] },
  { ignore: "a?c", hidden: ["abc", "aéc"], kept: ["a/c", "ac"] },
  { ignore: "x/**", hidden: ["x/y", "x/y/z"], kept: ["x", "xy"] },
  { ignore: "**/x", hidden: ["x", "a/x", "a/b/x", "a/x/y"], kept: ["ax", "a/bx"] },
  { ignore: "**x", hidden: ["x", "ax", "a/bx"] },
  { ignore: "a/**/b", hidden: ["a/b", "a/c/b", "a/c/d/b"], kept: ["ab", "a/cb"] },
  { ignore: "**", hidden: ["a", "a/b", ".c"] },
  { ignore: "**/a/**", hidden: ["a/b", "c/a/b"], kept: ["a", "c/a"] },
  { ignore: "[abc]", hidden: ["a", "c"], kept: ["d", "ab"] },
  { ignore: "[a-c]x", hidden: ["bx"], kept: ["dx"] },
  { ignore: "[^a]", hidden: ["b"], kept: ["a"] },
  { ignore: "[!a]", hidden: ["!", "a"], kept: ["b"] },
  { ignore: "\\*", hidden: ["*"], kept: ["a"] },
  { ignore: "{a,b}", hidden: ["{a,b}"], kept: ["a", "b"] },
  // A backslash is one of the regular expression, as are classes; what stands in no such place is what it is.
  { ignore: "a\\d", hidden: ["a1"], kept: ["ad", "a\\d"] },
  { ignore: "[\\d]", hidden: ["1"], kept: ["d"] },
  { ignore: "\\pL*", hidden: ["a", "éx"], kept: ["1"] },
  { ignore: "\\x61?", hidden: ["ab"], kept: ["x61b"] },
  { ignore: "*\\bb", hidden: ["a-b"], kept: ["ab"] },
  { ignore: "\\Qa*", hidden: ["a[^/]*$b"], kept: ["a", "ab", "a[^/]*"] },
  { ignore: "\\!a", hidden: ["!a"], kept: ["a"] },
  { ignore: "\\#a", hidden: ["#a"] },
  { ignore: "a\\\\b", hidden: ["a\\b"], kept: ["ab"] },
  { ignore: "x[^y]z", hidden: ["xaz", "x/z"], kept: ["xyz"] },
  { ignore: "[[:alpha:]]", hidden: ["a"], kept: ["1", ":]"] },
  { ignore: "[*]x", hidden: ["^]x", "[/]x", "]x"], kept: ["*x"] },
  { ignore: "a{2}*", hidden: ["aa", "aab"], kept: ["a{2}", "ab"] },
  { ignore: "a{2}", hidden: ["a{2}"], kept: ["aa"] },
  { ignore: "a|b*", hidden: ["a", "ax", "b", "xbc"], kept: ["x"] },
  { ignore: "*⏎./!a", hidden: ["b"], kept: ["a"] },
  { ignore: "*⏎!!a", hidden: ["a"], kept: ["!a"] },
  { ignore: "a\u0085⏎\ufeffb", hidden: ["a"], kept: ["b"] },
  { ignore: "A", kept: ["a"] },
  { ignore: "a.b+c", hidden: ["a.b+c"], kept: ["axb+c", "a.bbc"] },
  { ignore: ".*", hidden: [".git", ".git/x"], kept: ["a.b"] },
  { ignore: "node_modules⏎**/*.log⏎!keep.log", hidden: ["node_modules/a", "x/a.log"], kept: ["keep.log"] },
])("$ignore", ({ ignore, hidden = [], kept = [] }) => {
  const rules = parseIgnoreFile(ignore.replaceAll("⏎", "\n"), ".dockerignore");
  expect(hidden.filter((path) => !isExcluded(rules, path))).toEqual([]);
  expect(kept.filter((path) => isExcluded(rules, path))).toEqual([]);
});

test.for([
  { pattern: "[", hint: "[ opens a class" },
  { pattern: "a[", hint: "[ opens a class" },
  { pattern: "[]a]", hint: "[ opens a class" },
  { pattern: "[a-]", hint: "[ opens a class" },
  { pattern: "a\\", hint: "a backslash at the end escapes nothing" },
  { pattern: "!", hint: "write what is to be kept" },
  { pattern: "! ", hint: "write what is to be kept" },
  { pattern: "!/", hint: "write what is to be kept" },
  { pattern: "\\y", hint: "leave the backslash out" },
  { pattern: "d/\\e", hint: "leave the backslash out" },
  { pattern: "\\1", hint: "leave the backslash out" },
  { pattern: "[b-a]", hint: "mean what they do in a regular expression" },
  { pattern: "*{2}", hint: "mean what they do in a regular expression" },
  { pattern: "a{2}{3}?", hint: "mean what they do in a regular expression" },
])("a bad pattern is rejected with its line, and says why: $pattern", ({ pattern, hint }) => {
  expect(() => parseIgnoreFile(`ok\n${pattern}\n`, ".dockerignore")).toThrow(
    expect.objectContaining({
      code: "INVALID_ARGUMENT",
      where: expect.objectContaining({ file: ".dockerignore", line: 2 }),
      hint: expect.stringContaining(hint),
    }),
  );
});

test("--exclude keeps a leading slash, so such a pattern matches nothing", () => {
  expect(isExcluded(excludeRules(["/a"]), "a")).toBe(false);
  expect(isExcluded(excludeRules(["a/"]), "a")).toBe(true);
  expect(isExcluded(excludeRules(["*", "!b"]), "b")).toBe(false);
});

test("the culprit is the line that hides a path, or the folder above it", () => {
  const rules = parseIgnoreFile("# all\n*.md\nsrc\n", ".dockerignore");
  expect(rules.culprit("src/app")).toEqual({ file: ".dockerignore", line: 3, text: "src" });
  expect(rules.culprit("a.md")).toMatchObject({ line: 2 });
  expect(rules.culprit("b")).toBeUndefined();
});

// A second opinion, by recursion over characters and without regular expressions.
function naive(pattern: string, path: string): boolean {
  if (pattern === "") return path === "";
  if (pattern.startsWith("**/")) {
    if (naive(pattern.slice(3), path)) return true;
    for (let at = path.indexOf("/"); at >= 0; at = path.indexOf("/", at + 1))
      if (naive(pattern.slice(3), path.slice(at + 1))) return true;
    return false;
  }
  if (pattern === "**") return true;
  const [first = ""] = pattern;
  if (first === "*")
    return naive(pattern.slice(1), path) || (path !== "" && path[0] !== "/" && naive(pattern, path.slice(1)));
  if (path === "") return false;
  if (first === "?") return path[0] !== "/" && naive(pattern.slice(1), path.slice(1));
  return first === path[0] && naive(pattern.slice(1), path.slice(1));
}

const name = fc.stringMatching(/^[ab.]{1,3}$/).filter((text) => !/^\.+$/.test(text));
const glob = fc.stringMatching(/^[ab*?.]{1,3}$/).filter((text) => !text.includes("**") && !/^\.+$/.test(text));
const patternText = fc
  .array(fc.oneof({ weight: 3, arbitrary: glob }, { weight: 1, arbitrary: fc.constant("**") }), {
    minLength: 1,
    maxLength: 4,
  })
  // Two stars in a row, and at the very end below a wildcard, are written in other words.
  .filter((parts) => parts.every((part, index) => part !== "**" || (parts[index + 1] ?? "") !== "**"))
  .map((parts) => parts.join("/"));
const pathText = fc.array(name, { minLength: 1, maxLength: 4 }).map((parts) => parts.join("/"));

test("one pattern says what a naive matcher says about the path and the folders above it", () => {
  fc.assert(
    fc.property(patternText, pathText, (pattern, path) => {
      const parts = path.split("/");
      const expected = parts.some((_, index) => naive(pattern, parts.slice(0, index + 1).join("/")));
      expect(isExcluded(parseIgnoreFile(pattern, "x"), path)).toBe(expected);
    }),
    { numRuns: 2000 },
  );
});

test("folders that a negation could bring something back in are never given up", () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.boolean(), patternText), { minLength: 1, maxLength: 4 }),
      pathText,
      (lines, path) => {
        const rules = parseIgnoreFile(lines.map(([negated, text]) => (negated ? "!" : "") + text).join("\n"), "x");
        if (isExcluded(rules, path)) return;
        const parts = path.split("/");
        for (let count = 1; count < parts.length; count++) {
          const folder = parts.slice(0, count).join("/");
          expect(!isExcluded(rules, folder) || rules.mayIncludeBelow(folder)).toBe(true);
        }
      },
    ),
    { numRuns: 2000 },
  );
});
