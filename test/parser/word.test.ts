// Splitting and taking apart words.
import fc from "fast-check";
import { expect, test } from "vitest";
import type { Diagnostic } from "../../src/parser/ast.ts";
import { parseWord } from "../../src/parser/word.ts";
import { nodeOf, rejected, show } from "./parsed.ts";

function word(text: string, quotes = true, escaper: "\\" | "`" = "\\") {
  const diagnostics: Diagnostic[] = [];
  const source = { text, starts: [0], origins: [0] };
  const report = (diagnostic: Diagnostic) => diagnostics.push(diagnostic);
  return { word: parseWord(source, 0, text.length, { escape: escaper, quotes, report }), diagnostics };
}

test.for([
  // Quotes and escapes
  ["abc", "abc"],
  ["'a b'", "«a b»"],
  [`"a b"c`, "«a b»c"],
  [`a"b"'c'd`, "a«bc»d"],
  [`'a"b'`, `«a"b»`],
  [`"a'b"`, "«a'b»"],
  ["a\\ b", "a« »b"],
  ["a\\nb", "a«n»b"],
  ["a\\", "a"],
  [`"a\\"b\\$c\\\\d\\ne"`, `«a"b$c\\d\\ne»`],
  [`'a\\nb'`, "«a\\nb»"],
  ["\\😀x", "«😀»x"],
  [`""`, ""],
  // Names
  ["$a", "${a}"],
  ["${a}", "${a}"],
  ["$a_1-b", "${a_1}-b"],
  ["$é1x.", "${é1x}."],
  ["$1x", "${1}x"],
  ["$12x", "${12}x"],
  ["$0a", "${0}a"],
  ["$$", "${$}"],
  ["$@$*$#$?$-$!", "${@}${*}${#}${?}${-}${!}"],
  ["$", "$"],
  ["$.", "$."],
  ["a$ b", "a$ b"],
  ["$(x)", "$(x)"],
  ["\\$a", "«$»a"],
  ["'$a'", "«$a»"],
  [`"$a"`, "${«a»}"],
  [`"\${a}b"`, "${«a»}«b»"],
  ["${*}", "${*}"],
  // Modifiers
  ["${v-w}", "${v - w}"],
  ["${v:-w}", "${v :- w}"],
  ["${v+w}", "${v + w}"],
  ["${v:+w}", "${v :+ w}"],
  ["${v?w}", "${v ? w}"],
  ["${v:?w x}", "${v :? w x}"],
  ["${v:-}", "${v :- }"],
  ["${v:-'}'}", "${v :- «}»}"],
  ["${v:-\\}}", "${v :- «}»}"],
  ["${v:-$a-${b:+c$d}}e", "${v :- ${a}-${b :+ c${d}}}e"],
  [`"\${v:-"x y"}"`, "${«v» :- «x y»}"],
  ["${v#f*o}", "${v # f*o}"],
  ["${v##f*o}", "${v ## f*o}"],
  ["${v%o*}", "${v % o*}"],
  ["${v%%o*}", "${v %% o*}"],
  ["${v#\\*\\}}", "${v # «\\*\\}»}"],
  ["${v#'*'$x}", "${v # «*»${x}}"],
  ["${v/a/b}", "${v / a / b}"],
  ["${v//a/b}", "${v // a / b}"],
  ["${v//o/}", "${v // o / }"],
  ["${v/#f/X}", "${v / #f / X}"],
  ["${v/\\//b}", "${v / «\\/» / b}"],
  ["${v/o/\\}}", "${v / o / «\\}»}"],
  ["${v/[c]/X}", "${v / [c] / X}"],
  ["${v//$a/$b}", "${v // ${a} / ${b}}"],
] as const)("%s is %s", ([text, shown]) => {
  const { word: parsed, diagnostics } = word(text);
  expect(diagnostics).toEqual([]);
  expect(show(parsed)).toBe(shown);
  expect(parsed.raw).toBe(text);
});

test.for([
  ["'a", "unclosed-quote", "'a"],
  [`x"a`, "unclosed-quote", `"a`],
  [`"a\\"`, "unclosed-quote", `"a\\"`],
  ["${", "bad-substitution", "${"],
  ["${}", "bad-substitution", "${}"],
  ["${:-a}", "bad-substitution", "${:-a}"],
  ["x${{a}}", "bad-substitution", "${{a}"],
  ["${a", "bad-substitution", "${a"],
  ["${a:", "bad-substitution", "${a:"],
  ["${a:-b", "bad-substitution", "${a:-b"],
  ["${a:-'}'", "bad-substitution", "${a:-'}'"],
  ["${a/b}", "bad-substitution", "${a/b}"],
  ["${a/b/c", "bad-substitution", "${a/b/c"],
  ["${v:=w}", "bad-substitution", ":=w"],
  ["${v=w}", "bad-substitution", "=w"],
  ["${v:1:2}", "bad-substitution", ":1:2"],
  ["${v^}", "bad-substitution", "^"],
  ["${v,,}", "bad-substitution", ",,"],
  ["${v@Q}", "bad-substitution", "@Q"],
  ["${!v}", "bad-substitution", "${!v}"],
  ["${v:#p}", "bad-substitution", ":#p"],
  ["${v:%p}", "bad-substitution", ":%p"],
  ["${.}", "bad-substitution", "${.}"],
  ["${v#\\a}", "bad-pattern", "\\a"],
  ["${v/\\n/x}", "bad-pattern", "\\n"],
  ["${v%a\\}", "bad-substitution", "${v%a\\}"],
  [`${"${a:-".repeat(200)}x${"}".repeat(200)}`, "bad-substitution", undefined],
] as const)("%s is rejected once: %s", ([text, code, at]) => {
  const { diagnostics } = word(text);
  expect(diagnostics).toMatchObject([{ code }]);
  const range = diagnostics[0]?.range;
  if (at !== undefined) expect(text.slice(range?.start, range?.end)).toBe(at);
});

test("the escape is the file's", () => {
  expect(show(word("c:\\a` b`$c", true, "`").word)).toBe("c:\\a« »b«$»c");
  expect(show(word('"a`"b\\"', true, "`").word)).toBe(`«a"b\\»`);
});

test("in heredoc bodies quotes are text, and every pair loses its backslash", () => {
  expect(show(word(`it's "$x" \\n \\\\ \\$y`, false).word)).toBe(`it's "\${x}" «n» «\\» «$»y`);
});

test("no word is too strange, and its ranges lie inside", () => {
  const characters = [..."ab${}:-+?#%/\\'\"` \t$1*", "😀", "é"];
  fc.assert(
    fc.property(fc.array(fc.constantFrom(...characters)), fc.boolean(), (list, quotes) => {
      const text = list.join("");
      const { word: parsed, diagnostics } = word(text, quotes);
      expect(parsed.range).toEqual({ start: 0, end: text.length });
      for (const { range } of diagnostics)
        expect(range.start >= 0 && range.start <= range.end && range.end <= text.length).toBe(true);
      expect(diagnostics.length).toBeLessThanOrEqual(1);
    }),
  );
});

test("text without special characters is itself", () => {
  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom("a", "b", " ", ".", "=", "{", "}", "é", "😀") }), (text) => {
      expect(word(text).word.parts).toEqual(text === "" ? [] : [{ kind: "text", value: text, quoted: false }]);
    }),
  );
});

// Splitters -------------------------------------------------------------------------------------------------------

const pairsOf = (line: string) => {
  const node = nodeOf(line);
  if (node.kind !== "env" && node.kind !== "label") return node.kind;
  return node.pairs.map(({ key, value, legacy }) => `${show(key)}${legacy ? " " : "="}${show(value)}`);
};

test.for([
  ["ENV a=1 b=2", ["a=1", "b=2"]],
  ["ENV a=1\tb=2\u00a0c=3", ["a=1", "b=2", "c=3"]],
  [`ENV a="x y" b='z w'`, ["a=«x y»", "b=«z w»"]],
  ["ENV a=x\\ y", ["a=x« »y"]],
  ["ENV a=x\\", ["a=x"]],
  [`ENV a="x\\" y" b=1`, [`a=«x" y»`, "b=1"]],
  [`ENV a='x\\' b=1`, ["a=«x\\»", "b=1"]],
  ["ENV a=b=c", ["a=b=c"]],
  ["ENV a=", ["a="]],
  ["ENV $k=1", ["${k}=1"]],
  [`ENV "a b"=1`, ["«a b»=1"]],
  ["ENV a b", ["a b"]],
  ["ENV a b=c", ["a b=c"]],
  ["ENV a =b", ["a =b"]],
  ["ENV a  b  c ", ["a b  c"]],
  [`ENV a "b  c" d`, ["a «b  c» d"]],
  ["ENV a=1 #x=2", ["a=1", "#x=2"]],
  [`ENV a="\${u:-x y}"`, ["a=${«u» :- «x y»}".replace("«x y»", "x y")]],
  ["LABEL a.b=1 c", "invalid"],
  ["ENV a=${u:-x y}", "invalid"],
  [`ENV a="\${u:-"x y"}"`, "invalid"],
] as const)("%s", ([line, pairs]) => {
  expect(pairsOf(line)).toEqual(pairs);
});

test.for([
  ["ENV", "missing-argument: ENV"],
  ["LABEL", "missing-argument: LABEL"],
  ["ENV a", "pair-without-value: a"],
  ["LABEL a", "pair-without-value: a"],
  ["ENV a=1 b", "pair-without-equals: b"],
  ["ENV a=1 b c # d=2 e", "pair-without-equals: b c #", "pair-without-equals: e"],
  ["ENV =1", "empty-name: =1"],
  ["ENV a=1 =2", "empty-name: =2"],
  ["ENV a=1 #", "pair-without-equals: #"],
  ["ENV a=${u:-x y}", "bad-substitution: ${u:-x", "pair-without-equals: y}"],
  ["ARG =1", "empty-name: =1"],
  ["ARG", "missing-argument: ARG"],
] as const)("%s is rejected", ([line, ...problems]) => {
  expect(rejected(line)).toEqual(problems);
});

test("ARG names stay as written, defaults are words", () => {
  const node = nodeOf(`ARG a $b c="x y" d=$a "e"`);
  expect(node.kind === "arg" && node.args.map(({ name, defaultValue }) => `${name} ${show(defaultValue)}`)).toEqual([
    "a none",
    "$b none",
    "c «x y»",
    "d ${a}",
    `"e" none`,
  ]);
});

test("COPY splits at blanks, whatever the quotes say", () => {
  expect(rejected(`COPY "a b" /x`)).toEqual([`unclosed-quote: "a`]);
  const node = nodeOf("COPY a\\ b /x");
  expect(node.kind === "copy" && node.sources.map((source) => source.raw)).toEqual(["a\\", "b"]);
});

test.for([
  ["WORKDIR /a b", "/a b"],
  ["WORKDIR  '/a  b' ", "«/a  b»"],
  ["USER $u:$g", "${u}:${g}"],
  [`WORKDIR ["/x"]`, "[«/x»]"],
  ["STOPSIGNAL $s", "${s}"],
  [`USER ""`, ""],
] as const)("%s is one word: %s", ([line, shown]) => {
  const node = nodeOf(line);
  const found =
    node.kind === "workdir"
      ? node.path
      : node.kind === "user"
        ? node.user
        : node.kind === "stopsignal"
          ? node.signal
          : undefined;
  expect(show(found)).toBe(shown);
});
