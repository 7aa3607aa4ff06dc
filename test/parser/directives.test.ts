// Parser directives.
import { expect, test } from "vitest";
import { checkOfDoc, parseCheck } from "../../src/parser/directives.ts";
import { parseText, problemsOf, warningsOf } from "./parsed.ts";

const directivesOf = (text: string) =>
  parseText(text).dockerfile.directives.map(({ name, value }) => `${name}=${value}`);

test.for([
  { text: "# escape=`\nFROM a", directives: ["escape=`"], escape: "`" },
  { text: "#escape=\\\nFROM a", directives: ["escape=\\"], escape: "\\" },
  { text: "#\t EsCaPe \t=  ` \t\r\nFROM a", directives: ["escape=`"], escape: "`" },
  { text: "  # escape=`\nFROM a", directives: ["escape=`"], escape: "`" },
  { text: "\ufeff# escape=`\nFROM a", directives: ["escape=`"], escape: "`" },
  {
    text: "# syntax=docker/dockerfile:1\n# escape=`\nFROM a",
    directives: ["syntax=docker/dockerfile:1", "escape=`"],
    escape: "`",
  },
  { text: "# check=skip=all\n# escape=`\nFROM a", directives: ["check=skip=all", "escape=`"], escape: "`" },
  // Blanks hide these two, and still they are no end of the directives.
  { text: " # syntax=docker/dockerfile:1\n# escape=`\nFROM a", directives: ["escape=`"], escape: "`" },
  // What ends them:
  { text: "\n# escape=`\nFROM a", directives: [], escape: "\\" },
  { text: "# x\n# escape=`\nFROM a", directives: [], escape: "\\" },
  { text: "# foo=bar\n# escape=`\nFROM a", directives: [], escape: "\\" },
  { text: "FROM a\n# escape=`", directives: [], escape: "\\" },
  { text: "# escape=\n# escape=`\nFROM a", directives: [], escape: "\\" },
  {
    text: "#!/usr/bin/env x\n# escape=`\n# syntax=docker/dockerfile:1\nFROM a",
    directives: ["syntax=docker/dockerfile:1"],
    escape: "\\",
  },
  {
    text: "# syntax=docker/dockerfile:1\n#!x\n# escape=`\nFROM a",
    directives: ["syntax=docker/dockerfile:1"],
    escape: "\\",
  },
])("$text", ({ text, directives, escape: escaper }) => {
  expect(problemsOf(text)).toEqual([]);
  expect(directivesOf(text)).toEqual(directives);
  expect(parseText(text).dockerfile.escape).toBe(escaper);
});

test.for([
  { text: "# escape=`\n# escape=`\nFROM a", code: "repeated-directive", at: "# escape=`" },
  {
    text: "# syntax=docker/dockerfile:1\n# SYNTAX=docker/dockerfile:1\nFROM a",
    code: "repeated-directive",
    at: "# SYNTAX=docker/dockerfile:1",
  },
  {
    text: " # syntax=docker/dockerfile:1\n# syntax=docker/dockerfile:1\nFROM a",
    code: "repeated-directive",
    at: "# syntax=docker/dockerfile:1",
  },
  { text: "# escape=x\nFROM a", code: "bad-escape", at: "# escape=x" },
  { text: "# check=foo=1\nFROM a", code: "bad-check-directive", at: "# check=foo=1" },
  { text: "# check=all\nFROM a", code: "bad-check-directive", at: "# check=all" },
])("$text is rejected", ({ text, code, at }) => {
  expect(problemsOf(text)).toMatchObject([{ code, at }]);
});

test.for([
  { doc: "check=skip=A,B", check: { skip: ["A", "B"], experimental: [], error: false } },
  { doc: "why this is here\nCHECK = skip=A because", check: { skip: ["A"], experimental: [], error: false } },
  { doc: "check=skip=A\ncheck=skip=B", check: { skip: ["A"], experimental: [], error: false } },
  { doc: "check=nothing", check: undefined },
  { doc: "checks are good", check: undefined },
])("the doc comment $doc configures the checks of its instruction", ({ doc, check }) => {
  expect(checkOfDoc(doc)).toEqual(check);
});

test("a later directive is a plain comment", () => {
  expect(parseText("FROM a\n# escape=`\n# escape=`").dockerfile.comments).toHaveLength(2);
});

test.for([
  { reference: "docker/dockerfile:1", warned: false },
  { reference: "docker/dockerfile", warned: false },
  { reference: "docker.io/docker/dockerfile:1.7-labs", warned: false },
  { reference: "docker/dockerfile-upstream:master", warned: false },
  { reference: "docker/dockerfile:1 args", warned: false },
  { reference: "other/frontend:1", warned: true },
  { reference: "docker/dockerfile-evil:1", warned: true },
])("# syntax=$reference: warned = $warned", ({ reference, warned }) => {
  const codes = warningsOf(`# syntax=${reference}\nFROM a`).map((warning) => warning.code);
  expect(codes).toEqual(warned ? ["foreign-syntax"] : []);
});

test.for([
  { value: "skip=A,B", check: { skip: ["A", "B"], experimental: [], error: false } },
  { value: "skip=all;error=true", check: { skip: ["all"], experimental: [], error: true } },
  {
    value: " skip = A , B ; error = T ; experimental = C ",
    check: { skip: ["A", "B"], experimental: ["C"], error: true },
  },
])("check=$value", ({ value, check }) => {
  expect(parseCheck(value)).toEqual(check);
});

test.for(["x=1", "skip", "error=yes", "skip=A;error=true;experimental=B;skip=C", ""])(
  "check=%s is refused in words",
  (value) => {
    expect(parseCheck(value)).toMatch(/check/);
  },
);

test("with escape=` the backslash is text and the backtick continues, splits flags and quotes words", () => {
  const { dockerfile, diagnostics } = parseText(
    "# escape=`\nFROM a\nRUN dir c:\\ `\n  /x\nWORKDIR c:\\a`b\nENV a=x` y b=\\\n",
  );
  expect(diagnostics).toEqual([]);
  expect(dockerfile.instructions).toMatchObject([
    {},
    { kind: "run", command: { text: "dir c:\\   /x" } },
    {
      kind: "workdir",
      path: {
        parts: [
          { value: "c:\\a", quoted: false },
          { value: "b", quoted: true },
        ],
      },
    },
    { kind: "env", pairs: [{ value: { raw: "x` y" } }, { value: { raw: "\\" } }] },
  ]);
});
