// One style, and the same meaning.
import fc from "fast-check";
import { expect, test } from "vitest";
import { formatDockerfile } from "../../src/parser/format.ts";
import { meaningOf } from "../../src/parser/same-meaning.ts";
import { dockerfileText } from "./generated-dockerfile.ts";
import { parseText } from "./parsed.ts";

const hasErrors = (text: string) => parseText(text).diagnostics.some(({ severity }) => severity === "error");

test("a formatted file says the same, and formatting it again changes nothing", () => {
  fc.assert(
    fc.property(dockerfileText, (text) => {
      fc.pre(!hasErrors(text));
      const formatted = formatDockerfile(text);
      expect(hasErrors(formatted)).toBe(false);
      expect(meaningOf(parseText(formatted).dockerfile)).toBe(meaningOf(parseText(text).dockerfile));
      expect(formatDockerfile(formatted)).toBe(formatted);
    }),
    { numRuns: 3000 },
  );
});

test.for([
  {
    name: "instructions, AS and CMD in capitals",
    from: "from a as B\nHealthcheck cmd x\nrun y",
    to: "FROM a AS B\nHEALTHCHECK CMD x\nRUN y\n",
  },
  { name: "one blank between words", from: "FROM a\nCOPY  a\tb   /d ", to: "FROM a\nCOPY a b /d\n" },
  {
    name: "four blanks in front of continued lines",
    from: "FROM a\nENV a=1\\\n b=2   \\ \n\n\tc=3",
    to: "FROM a\nENV a=1 \\\n    b=2 \\\n    c=3\n",
  },
  {
    name: "comments stay where they are",
    from: "FROM a\n  # aside\n# of b\nCOPY a \\\n# first\n  # second\n b \\\n /d\n#end  \n",
    to: "FROM a\n  # aside\n# of b\nCOPY a \\\n    # first\n    # second\n    b \\\n    /d\n#end\n",
  },
  {
    name: "the blanks of a shell's command are its own",
    from: "FROM a\nrun  a  &&\\\n  b \\  \n# c\n\n   d",
    to: "FROM a\nRUN a  &&\\\n  b \\\n   # c\n   d\n",
  },
  {
    name: "flags above a continued command keep its indentation",
    from: "FROM a\nRUN --network=none \\\n  a && \\\n  b",
    to: "FROM a\nRUN --network=none \\\n  a && \\\n  b\n",
  },
  {
    name: "needless quotes of flags go, others stay",
    from: `FROM a\nCOPY --chown="1" --exclude='a b' --from=\\x a b`,
    to: `FROM a\nCOPY --chown=1 --exclude='a b' --from=x a b\n`,
  },
  {
    name: "JSON with one blank behind each comma",
    from: 'FROM a\nCMD [ "a" ,"b","c d" ]\nVOLUME [\\\n"/x",\\\n "/y"\\\n]',
    to: 'FROM a\nCMD ["a", "b", "c d"]\nVOLUME [ \\\n    "/x", \\\n    "/y" \\\n]\n',
  },
  {
    name: "heredocs to the byte",
    from: "FROM a\nrun  <<-E \n  x  \n\t\r\n\tE\ncopy <<A  /d\n1 \nA\n",
    to: "FROM a\nRUN <<-E\n  x  \n\t\r\n\tE\nCOPY <<A /d\n1 \nA\n",
  },
  { name: "what ONBUILD stores to the byte", from: "FROM a\nonbuild  run  a  ", to: "FROM a\nONBUILD run  a  \n" },
  {
    name: "at most one empty line, none at the ends",
    from: "\n\nFROM a\n \n\t\n\nUSER b\n\n\n",
    to: "FROM a\n\nUSER b\n",
  },
  {
    name: "directives in their short form",
    from: "\ufeff#syntax = docker/dockerfile:1  \n#Escape=`\nFROM a\nRUN x `\n y",
    to: "# syntax=docker/dockerfile:1\n# escape=`\nFROM a\nRUN x `\n y\n",
  },
  {
    name: "what an empty line kept from being a directive stays a comment",
    from: "\n\n# escape=`\nFROM a",
    to: "\n# escape=`\nFROM a\n",
  },
  {
    name: "two blanks behind an escape, which takes one",
    from: "FROM a\nENV x\\   =y\nCOPY a\\  <<E /d\nE",
    to: "FROM a\nENV x\\  =y\nCOPY a\\  <<E /d\nE\n",
  },
  { name: "line ends of Windows", from: "FROM a\r\nCOPY a \\\r\n b\r\n", to: "FROM a\nCOPY a \\\n    b\n" },
])("$name", ({ from, to }) => {
  expect(formatDockerfile(from)).toBe(to);
});
