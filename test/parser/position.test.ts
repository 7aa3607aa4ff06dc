import { expect, test } from "vitest";
import { DockerfileInvalid } from "../../src/parser/errors.ts";
import { positionOf, throwIfErrors, whereOf } from "../../src/parser/position.ts";
import { parseText } from "./parsed.ts";

test.for([
  ["abc\ndef\n", 0, 1, 1],
  ["abc\ndef\n", 3, 1, 4],
  ["abc\ndef\n", 4, 2, 1],
  ["abc\ndef\n", 8, 3, 1],
  ["abc\ndef\n", 99, 3, 1],
  ["abc\ndef\n", -1, 1, 1],
  ["", 0, 1, 1],
  ["\ufeffabc", 1, 1, 1],
  ["\ufeffabc\nd", 5, 2, 1],
  ["a\r\nb", 3, 2, 1],
] as const)("%j at %i is line %i, column %i", ([text, offset, line, column]) => {
  expect(positionOf({ text }, offset)).toEqual({ line, column });
});

test("a place carries the text of its first line", () => {
  const dockerfile = { text: "\ufeffFROM a\r\nRUN b \\\r\n  c\r\n", file: "Dockerfile" };
  expect(whereOf(dockerfile, { start: 9, end: 21 })).toEqual({
    kind: "source",
    file: "Dockerfile",
    line: 2,
    column: 1,
    endLine: 3,
    endColumn: 4,
    sourceLine: "RUN b \\",
  });
  expect(whereOf(dockerfile, { start: 1, end: 5 })).toMatchObject({
    line: 1,
    column: 1,
    endColumn: 5,
    sourceLine: "FROM a",
  });
});

test("an invalid file is one error with all diagnostics", () => {
  const result = parseText("FROM a\nUSR x\nENV y\n");
  const error = (() => {
    try {
      throwIfErrors(result);
      return undefined;
    } catch (thrown) {
      return thrown;
    }
  })();
  expect(error).toBeInstanceOf(DockerfileInvalid);
  expect(error).toMatchObject({
    code: "DOCKERFILE_INVALID",
    message: "unknown instruction USR",
    hint: "did you mean USER?",
    where: { kind: "source", file: "Dockerfile", line: 2, column: 1, endColumn: 4, sourceLine: "USR x" },
    diagnostics: [{ code: "unknown-instruction" }, { code: "pair-without-value" }],
  });
});

test("warnings alone are no error", () => {
  expect(() => throwIfErrors(parseText("# syntax=other/x\nFROM a\n"))).not.toThrow();
});
