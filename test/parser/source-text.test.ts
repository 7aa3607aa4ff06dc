// Bytes, lines, comments, continuations.
import { expect, test } from "vitest";
import { kindsOf, nodeOf, parseText, problemsOf, rejected, warningsOf } from "./parsed.ts";

const joinedOf = (text: string) => parseText(text).dockerfile.instructions.map((instruction) => instruction.joined);
const commentsOf = (text: string) => parseText(text).dockerfile.comments.map((comment) => comment.text);

test.for([
  { name: "a BOM at the start is dropped", text: "\ufeffFROM a\n", joined: ["FROM a"] },
  { name: "a BOM elsewhere is text", text: "FROM a\nRUN \ufeffx\n", joined: ["FROM a", "RUN \ufeffx"] },
  { name: "CRLF ends a line", text: "FROM a\r\nRUN x\r\n", joined: ["FROM a", "RUN x"] },
  { name: "several CRs end a line too", text: "FROM a\r\r\r\nRUN x\r\r\n", joined: ["FROM a", "RUN x"] },
  {
    name: "blanks at the end of a line are no part of it",
    text: "FROM a \t\nRUN x\u00a0\n",
    joined: ["FROM a", "RUN x"],
  },
  { name: "a file may end without LF", text: "FROM a\nRUN x", joined: ["FROM a", "RUN x"] },
  { name: "an NBSP in front of a line is dropped", text: "\u00a0\u3000FROM a\n", joined: ["FROM a"] },
  {
    name: "blank lines between instructions are skipped",
    text: "\n \nFROM a\n\t\n\nRUN x\n",
    joined: ["FROM a", "RUN x"],
  },
  { name: "NUL is carried through", text: "FROM a\nRUN x\0y\n", joined: ["FROM a", "RUN x\0y"] },
  { name: "a continuation joins without a blank", text: "FROM scr\\\natch\n", joined: ["FROM scratch"] },
  { name: "blanks behind the escape do not matter", text: "FROM scr\\ \t \natch\n", joined: ["FROM scratch"] },
  {
    name: "leading blanks of the next line are kept",
    text: "FROM a\nRUN x\\\n   y\n",
    joined: ["FROM a", "RUN x   y"],
  },
  { name: "the keyword may be split", text: "FR\\\nOM a\n", joined: ["FROM a"] },
  {
    name: "two escapes do not continue",
    text: "FROM a\nENV a=1\\\\\nENV b=2\n",
    joined: ["FROM a", "ENV a=1\\\\", "ENV b=2"],
  },
  {
    name: "three escapes do not either",
    text: "FROM a\nRUN x\\\\\\\nENV b=2\n",
    joined: ["FROM a", "RUN x\\\\\\", "ENV b=2"],
  },
  { name: "a lone escape continues", text: "\\\n FROM a\n", joined: ["FROM a"] },
  {
    name: "comments inside are dropped",
    text: "FROM a\nRUN x \\\n# no\n  # neither\n  y\n",
    joined: ["FROM a", "RUN x   y"],
  },
  { name: "blank lines inside are dropped", text: "FROM a\nRUN x \\\n\n  \n y\n", joined: ["FROM a", "RUN x  y"] },
  { name: "the end of the file ends a continuation", text: "FROM a\nRUN x \\", joined: ["FROM a", "RUN x"] },
  { name: "a CR before the LF does not hide the escape", text: "FROM scr\\\r\natch\r\n", joined: ["FROM scratch"] },
  { name: "# later in a line is text", text: "FROM a\nRUN a # b\n", joined: ["FROM a", "RUN a # b"] },
])("$name", ({ text, joined }) => {
  expect(problemsOf(text)).toEqual([]);
  expect(joinedOf(text)).toEqual(joined);
});

test("nothing but an escape is no instruction", () => {
  expect(problemsOf("FROM a\n\\\n")).toMatchObject([{ code: "nothing-continued" }]);
});

test("a lone CR is a blank and no line break", () => {
  expect(problemsOf("FROM scratch\rENV a=1")).toMatchObject([{ code: "from-arguments" }]);
  expect(problemsOf("FROM\rscratch")).toEqual([]);
});

test.for([
  { keyword: "run", kind: "run" },
  { keyword: "Run", kind: "run" },
  { keyword: "RUN\t", kind: "run" },
  { keyword: "RUN\v", kind: "run" },
  { keyword: "RUN\f", kind: "run" },
])("$keyword is RUN", ({ keyword, kind }) => {
  expect(nodeOf(`${keyword} x`)).toMatchObject({ kind, command: { text: "x" } });
});

test("an NBSP separates no words", () => {
  expect(problemsOf("FROM a\nRUN\u00a0x")).toMatchObject([{ code: "unknown-instruction", at: "RUN\u00a0x" }]);
});

test("a line of 65535 bytes is read, one of 65536 is an error, wherever it stands", () => {
  const line = (bytes: number) => `RUN ${"x".repeat(bytes - 4)}`;
  expect(rejected(line(65_535))).toEqual([]);
  expect(rejected(line(65_536))).toEqual([expect.stringMatching(/^line-too-long: RUN/)]);
  expect(rejected(`RUN ${"é".repeat(32_766)}`)).toEqual([expect.stringMatching(/^line-too-long/)]);
  expect(rejected(`RUN <<E\n${"x".repeat(65_536)}\nE`)).toEqual([expect.stringMatching(/^line-too-long: xxx/)]);
  // The CR counts, and the joined line may be as long as it likes.
  expect(rejected(`${line(65_535)}\r\n`)).toHaveLength(1);
  expect(rejected(`RUN ${`${"x".repeat(60_000)}\\\n`.repeat(3)}y`)).toEqual([]);
});

test.for([
  { name: "an empty file", text: "", code: "empty-file" },
  { name: "only blanks", text: " \n\n", code: "no-instruction" },
  { name: "only comments", text: "# syntax=docker/dockerfile:1\n# x\n", code: "no-instruction" },
  { name: "only ARG", text: "ARG a=1\n", code: "no-stage" },
  { name: "RUN before FROM", text: "ARG a\nRUN x\nFROM a\n", code: "before-from" },
])("$name is rejected with one message", ({ text, code }) => {
  expect(problemsOf(text)).toMatchObject([{ code }]);
});

test("a broken FROM is not reported a second time by what follows it", () => {
  expect(problemsOf("FRMO a\nRUN x\n")).toMatchObject([{ code: "unknown-instruction", hint: "did you mean FROM?" }]);
  expect(problemsOf("FROM a b\nRUN x\n")).toMatchObject([{ code: "from-arguments" }]);
});

test("a file of bytes is one clear message", () => {
  const noise = Buffer.from(Array.from({ length: 4096 }, (_, index) => (index * 7919) % 256)).toString("utf8");
  expect(parseText(noise).diagnostics).toMatchObject([{ code: "not-text", message: "this is not a text file" }]);
});

// Comments ---------------------------------------------------------------------------------------------------------

test("comments are kept in order, those inside a continuation too", () => {
  const text = "#a\nFROM a # not\n  #  b\nRUN x \\\n # c\n y\n#";
  expect(commentsOf(text)).toEqual(["a", " b", "c", ""]);
});

test.for([
  { name: "the comment above", text: "# the tag\nARG V=1", doc: "the tag" },
  { name: "all comments above", text: "# one\n#two  \nARG V=1", doc: "one\ntwo" },
  { name: "over blank lines", text: "# one\n\n# two\n\nARG V=1", doc: "one\ntwo" },
  { name: "from a lone # on", text: "# one\n#\n# two\nARG V=1", doc: "two" },
  { name: "not from an indented # on", text: "# one\n #\n# two\nARG V=1", doc: "one\ntwo" },
  { name: "not one that is indented", text: " # one\nARG V=1", doc: undefined },
  { name: "not a directive", text: "# syntax=docker/dockerfile:1\n# two\nARG V=1", doc: "two" },
])("documents an instruction: $name", ({ text, doc }) => {
  expect(parseText(text).dockerfile.instructions[0]?.doc).toBe(doc);
});

test("a comment documents the next instruction and no other", () => {
  const { instructions } = parseText("# one\nFROM a\nRUN x\n# inside\n\nRUN y").dockerfile;
  expect(instructions.map((instruction) => instruction.doc)).toEqual(["one", undefined, "inside"]);
});

// Continuations ----------------------------------------------------------------------------------------------------

test("an empty line inside a continuation is a warning at that line, once", () => {
  expect(warningsOf("FROM scratch\nENV a=1 \\\n\n\n# note\n  b=2")).toMatchObject([{ code: "NoEmptyContinuation" }]);
  expect(nodeOf("ENV a=1 \\\n\n# note\n  b=2")).toMatchObject({
    kind: "env",
    pairs: [{ key: { raw: "a" } }, { key: { raw: "b" } }],
  });
  expect(warningsOf("FROM scratch\nENV a=1 \\\n# note\n  b=2")).toEqual([]);
});

test("ranges lead from the joined line back to the file", () => {
  const text = "FROM scratch\nCOPY --chown=a\\\nb sou\\\n# c\n\\\nrce /dest\\\nination\n";
  const { instructions } = parseText(text).dockerfile;
  const copy = instructions[1];
  if (copy?.kind !== "copy") throw new Error("no COPY");
  const at = ({ start, end }: { start: number; end: number }) => text.slice(start, end);
  expect(at(copy.range)).toBe(text.slice(13, -1));
  expect(copy.chown).toMatchObject({ raw: "ab" });
  expect(copy.sources.map((word) => [word.raw, at(word.range)])).toEqual([["source", "sou\\\n# c\n\\\nrce"]]);
  expect([copy.destination.raw, at(copy.destination.range)]).toEqual(["/destination", "/dest\\\nination"]);
});

// Instruction names ------------------------------------------------------------------------------------------------

test.for([
  { line: "WORKDIRR /app", hint: "did you mean WORKDIR?" },
  { line: "workdri /app", hint: "did you mean WORKDIR?" },
  { line: "CPOY a b", hint: "did you mean COPY?" },
  { line: "ENTRY_POINT x", hint: "did you mean ENTRYPOINT?" },
  { line: "hi", hint: "a command needs RUN in front; to go on with the line above, end that with \\" },
  { line: "--mount=x RUN y", hint: "to go on with the line above, end that with \\" },
  { line: "constructor", hint: "a command needs RUN in front; to go on with the line above, end that with \\" },
])("$line is unknown, hint: $hint", ({ line, hint }) => {
  expect(problemsOf(`FROM a\n${line}`)).toEqual([{ code: "unknown-instruction", at: line.split(" ")[0], hint }]);
});

test("the first line goes on with nothing", () => {
  expect(problemsOf("hi")).toEqual([{ code: "unknown-instruction", at: "hi", hint: "a command needs RUN in front" }]);
});

test("all instructions are known, in any case", () => {
  const lines = [
    "ADD a b",
    "ARG a",
    "CMD a",
    "COPY a b",
    "ENTRYPOINT a",
    "ENV a=b",
    "EXPOSE 1",
    "FROM a",
    "HEALTHCHECK CMD a",
    "LABEL a=b",
    "MAINTAINER a",
    "ONBUILD RUN a",
    "RUN a",
    'SHELL ["a"]',
    "STOPSIGNAL 9",
    "USER a",
    "VOLUME a",
    "WORKDIR a",
  ];
  const kinds = lines.map((line) => line.split(" ")[0]?.toLowerCase());
  expect(kindsOf(`FROM x\n${lines.join("\n")}`).slice(1)).toEqual(kinds);
  expect(
    kindsOf(`FROM x\n${lines.map((line) => line.replace(/^\S+/, (word) => word.toLowerCase())).join("\n")}`).slice(1),
  ).toEqual(kinds);
});

test("one run reports every problem, in order of place", () => {
  const text = "FROM a\nWORKDIRR /app\nENV x\nCOPY --chwon=1 a b\nRUN fine\nUSER";
  expect(problemsOf(text)).toEqual([
    { code: "unknown-instruction", at: "WORKDIRR", hint: "did you mean WORKDIR?" },
    { code: "pair-without-value", at: "x", hint: "write ENV x=VALUE" },
    { code: "unknown-flag", at: "--chwon=1", hint: "did you mean --chown?" },
    { code: "missing-argument", at: "USER", hint: "write USER NAME" },
  ]);
  expect(kindsOf(text)).toEqual(["from", "invalid", "invalid", "invalid", "run", "invalid"]);
});
