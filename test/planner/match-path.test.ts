import fc from "fast-check";
import { expect, test } from "vitest";
import { compilePattern, hasWildcard, matchPath } from "../../src/planner/match-path.ts";

// From Go's path/filepath/match_test.go.
test.for([
  ["abc", "abc", true],
  ["*", "abc", true],
  ["*c", "abc", true],
  ["a*", "a", true],
  ["a*", "abc", true],
  ["a*", "ab/c", false],
  ["a*/b", "abc/b", true],
  ["a*/b", "a/c/b", false],
  ["a*b*c*d*e*/f", "axbxcxdxe/f", true],
  ["a*b*c*d*e*/f", "axbxcxdxexxx/f", true],
  ["a*b*c*d*e*/f", "axbxcxdxe/xxx/f", false],
  ["a*b?c*x", "abxbbxdbxebxczzx", true],
  ["a*b?c*x", "abxbbxdbxebxczzy", false],
  ["ab[c]", "abc", true],
  ["ab[b-d]", "abc", true],
  ["ab[e-g]", "abc", false],
  ["ab[^c]", "abc", false],
  ["ab[^b-d]", "abc", false],
  ["ab[^e-g]", "abc", true],
  ["a\\*b", "a*b", true],
  ["a\\*b", "ab", false],
  ["a?b", "a☺b", true],
  ["a[^a]b", "a☺b", true],
  ["a???b", "a☺b", false],
  ["[a-ζ]*", "α", true],
  ["*[a-ζ]", "A", false],
  ["a?b", "a/b", false],
  ["a*b", "a/b", false],
  ["[\\]a]", "]", true],
  ["[\\-]", "-", true],
  ["[x\\-]", "x", true],
  ["[x\\-]", "z", false],
  ["[\\-x]", "a", false],
  ["*x", "xxx", true],
  ["[[]", "[", true],
  [".*", ".hidden", true],
  ["*", ".hidden", true],
] as const)("%s matches %s: %s", ([pattern, path, expected]) => {
  expect(matchPath(pattern, path)).toBe(expected);
});

test.for(["[]a]", "[-]", "[x-]", "[-x]", "[a-b-c]", "[", "[^", "[^bc", "a[", "a\\"])("%s is malformed", (pattern) => {
  expect(compilePattern(pattern)).toBeUndefined();
  expect(matchPath(pattern, pattern)).toBe(false);
});

test("a name without special characters matches itself and nothing else", () => {
  const plain = fc.string({ unit: "grapheme", minLength: 1 }).filter((text) => !/[*?[\\]/.test(text));
  fc.assert(
    fc.property(plain, plain, (pattern, path) => {
      expect(hasWildcard(pattern)).toBe(false);
      expect(matchPath(pattern, pattern)).toBe(true);
      expect(matchPath(pattern, path)).toBe(pattern === path);
    }),
  );
});

test("every character may be escaped", () => {
  fc.assert(
    fc.property(fc.string({ unit: "grapheme", minLength: 1 }), (path) => {
      const pattern = [...path].map((character) => `\\${character}`).join("");
      expect(hasWildcard(pattern)).toBe(false);
      expect(matchPath(pattern, path)).toBe(true);
    }),
  );
});
