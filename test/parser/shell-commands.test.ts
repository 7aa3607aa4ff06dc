// biome-ignore-all lint/suspicious/noTemplateCurlyInString: variables of a shell
// The simple commands of a shell text: words as a shell splits them, and nothing where the text is not understood.
import fc from "fast-check";
import { expect, test } from "vitest";
import { type Continuation, createShellLexer, shellCommands } from "../../src/parser/shell-commands.ts";

const read = (text: string, continuation: Continuation = "dockerfile") =>
  shellCommands(text, { start: 0, end: text.length }, continuation);

const wordsOf = (text: string, continuation: Continuation = "dockerfile") =>
  read(text, continuation)?.map(({ words }) => words.map((word) => (word.literal ? word.text : `«${word.text}»`)));

test.for([
  {
    text: "apt-get update && apt-get install -y curl",
    words: [
      ["apt-get", "update"],
      ["apt-get", "install", "-y", "curl"],
    ],
  },
  { text: "a;b|c||d&e", words: [["a"], ["b"], ["c"], ["d"], ["e"]] },
  { text: "a 'b c' \"d e\" f\\ g h\"i\"'j'", words: [["a", "b c", "d e", "f g", "hij"]] },
  {
    text: "echo $x ${y:-z} \"$q\" $(a b) `c` '$n'",
    words: [["echo", "«$x»", "«${y:-z}»", "«$q»", "«$(a b)»", "«`c`»", "$n"]],
  },
  { text: 'echo "$(date "+%s")" x', words: [["echo", '«$(date "+%s")»', "x"]] },
  { text: "A=1 B='2 3' make all", words: [["make", "all"]] },
  { text: "A=1", words: [] },
  {
    text: "if [ -f x ]; then rm x; fi",
    words: [
      ["[", "-f", "x", "]"],
      ["rm", "x"],
    ],
  },
  { text: "! true; { a; }; ( b )", words: [["true"], ["a"], ["b"]] },
  { text: "a # b && c", words: [["a"]] },
  { text: "a#b", words: [["a#b"]] },
  { text: "a \\\n  b \\\n# note\n\n  && c", words: [["a", "b"], ["c"]] },
  { text: "rm *.txt [ab]?", words: [["rm", "*.txt", "[ab]?"]] },
  { text: "", words: [] },
])("$text", ({ text, words }) => {
  expect(wordsOf(text)).toEqual(words);
});

test("in a heredoc a newline ends a command, and a comment is one", () => {
  expect(wordsOf("set -e\napt-get update \\\n -q # now\nx\n", "shell")).toEqual([
    ["set", "-e"],
    ["apt-get", "update", "-q"],
    ["x"],
  ]);
});

test("redirections are apart from the words", () => {
  const [command] = read("curl -s u >/tmp/f 2>&1 <in") ?? [];
  expect(command?.words.map(({ text }) => text)).toEqual(["curl", "-s", "u"]);
  expect(command?.redirections.map(({ operator, target }) => `${operator}${target.text}`)).toEqual([
    ">/tmp/f",
    "2>&1",
    "<in",
  ]);
});

test.for(["echo 'open", 'echo "open', "case $x in a) b;; esac", "f() { a; }", "function f { a; }", "a `b"])(
  "%s is not understood",
  (text) => {
    expect(read(text)).toBeUndefined();
  },
);

test("a range is where a word stands in the file", () => {
  const text = "RUN a && \\\n  rm -rf '/x y'";
  const words = shellCommands(text, { start: 4, end: text.length }, "dockerfile")?.at(-1)?.words ?? [];
  expect(words.map(({ range }) => text.slice(range.start, range.end))).toEqual(["rm", "-rf", "'/x y'"]);
});

test("nothing throws, and no word stands outside of the text", () => {
  const pieces = fc.constantFrom(
    "a",
    " ",
    "'",
    '"',
    "$(",
    ")",
    "${",
    "}",
    "`",
    "\\",
    "\n",
    "#",
    ";",
    "&",
    "|",
    "<<",
    "2>",
    "case",
  );
  fc.assert(
    fc.property(
      fc.array(pieces, { maxLength: 40 }),
      fc.constantFrom<Continuation>("dockerfile", "shell"),
      (parts, kind) => {
        const text = parts.join("");
        for (const { words } of read(text, kind) ?? [])
          for (const { range } of words) {
            expect(range.start).toBeLessThan(range.end);
            expect(range.end).toBeLessThanOrEqual(text.length);
          }
      },
    ),
  );
});

test.for(["$(", '"$(', "${", '"', "'", "`", "$($(a) "])("100,000 times %s takes no time and no stack", (piece) => {
  const started = performance.now();
  read(piece.repeat(100_000));
  expect(performance.now() - started).toBeLessThan(4000);
});

test.for<Continuation>(["dockerfile", "shell"])("the lexer for a %s is valid", (continuation) => {
  expect(createShellLexer(continuation, { skipValidations: false }).lexerDefinitionErrors).toEqual([]);
});
