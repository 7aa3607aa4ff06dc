import { PassThrough } from "node:stream";
import { expect, test } from "vitest";
import { diagnosticLines } from "../../../src/cli/render/diagnostic.ts";
import { renderError } from "../../../src/cli/render/error.ts";
import { parse } from "../../../src/parser/parse.ts";
import { throwIfErrors } from "../../../src/parser/position.ts";
import { caught } from "../../support/caught.ts";

function linesOf(text: string): readonly string[] {
  const { dockerfile, diagnostics } = parse(text, { file: "Dockerfile" });
  return diagnosticLines(dockerfile, diagnostics, new PassThrough());
}

test("a range over several lines is marked to the end of its first", () => {
  expect(linesOf("FROM a\nENV b='c \\\n  d\n")).toEqual([
    "Dockerfile:2:7: error: the quote ' is never closed",
    "    2 | ENV b='c \\",
    "      |       ^^^^",
    "   hint: for the character itself write \\'",
  ]);
});

test("of a very long line only what is round the mistake is shown", () => {
  const [, shown = "", carets = ""] = linesOf(`FROM a\nENV ${"a=1 ".repeat(5000)}b='c ${"d".repeat(500)}`);
  expect(shown.length).toBeLessThan(200);
  expect(shown).toMatch(/^ {4}2 \| ….*b='c d+…$/);
  expect(shown.slice(carets.indexOf("^"))).toMatch(/^'c d/);
  expect(carets.length).toBeLessThanOrEqual(shown.length);
});

test("control characters of the file do not reach the terminal", () => {
  expect(linesOf("FROM a\n\u001b[31mRED x\n").join("\n")).not.toContain("\u001b");
});

test("a file without end of mistakes is cut off", () => {
  const lines = linesOf(`FROM a\n${"foo\n".repeat(1000)}`);
  expect(lines.at(-1)).toBe("and 800 more");
});

test("the error of an invalid file is printed with all its diagnostics", () => {
  const error = caught(() => throwIfErrors(parse("FROM a\nUSR x\nENV y\n", { file: "Dockerfile" })));
  const stream = new PassThrough() as unknown as NodeJS.WriteStream; // no terminal is needed to write text
  expect(renderError(error, { debug: false, stream })).toBe(
    [
      "Dockerfile:2:1: error: unknown instruction USR",
      "    2 | USR x",
      "      | ^^^",
      "   hint: did you mean USER?",
      "",
      "Dockerfile:3:5: error: ENV y has no value",
      "    3 | ENV y",
      "      |     ^",
      "   hint: write ENV y=VALUE",
      "",
    ].join("\n"),
  );
});
