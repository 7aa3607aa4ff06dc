import { expect, test } from "vitest";
import { removePrefix, removeSuffix, replaceAll, replaceFirst } from "../../src/planner/shell-pattern.ts";

test.for([
  { value: "1.2-rc1", pattern: "-*", rest: "1.2" },
  { value: "a^b$c", pattern: "$c", rest: "a^b" },
  { value: "x{1}", pattern: "{1\\}", rest: "x" },
  { value: "a&~#%,=b", pattern: "&~#%,=b", rest: "a" },
])("$pattern is taken from the end of $value", ({ value, pattern, rest }) => {
  expect(removeSuffix(value, pattern, false)).toBe(rest);
});

test.for([
  { value: "xaya", pattern: "*a", to: "R", first: "R", all: "R" },
  { value: "xay", pattern: "a?", to: "[$0]", first: "x[$0]", all: "x[ay]" },
  { value: "ab", pattern: "*", to: "-", first: "-", all: "-" },
  { value: "a\nb", pattern: "*", to: "-", first: "-\nb", all: "-\n-" },
  { value: "", pattern: "", to: "-", first: "-", all: "-" },
  { value: "ab", pattern: "", to: "-", first: "-ab", all: "-a-b-" },
  { value: "é😀é", pattern: "?", to: "x", first: "x😀é", all: "xxx" },
])("$pattern in $value: the first and all", ({ value, pattern, to, first, all }) => {
  expect(replaceFirst(value, pattern, to)).toBe(first);
  expect(replaceAll(value, pattern, to)).toBe(all);
});

test("many runs in a pattern try no way twice", () => {
  const value = "a".repeat(20_000);
  const pattern = `${"*a".repeat(20)}*b`;
  expect(removePrefix(value, pattern, true)).toBe(value);
  expect(removeSuffix(value, `b${pattern}`, false)).toBe(value);
});
