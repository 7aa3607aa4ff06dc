import { Command, Option } from "commander";
import fc from "fast-check";
import { expect, test } from "vitest";
import { normaliseFlagWords } from "../../src/cli/flag-words.ts";
import { listOption } from "../../src/cli/list-option.ts";
import { caught } from "../support/caught.ts";

function command(): Command {
  return new Command("run")
    .argument("[words...]")
    .option("-t, --tty")
    .option("-i, --interactive")
    .option("--rm")
    .option("--no-trunc")
    .option("-f, --file <file>")
    .option("--name <name>")
    .addOption(new Option("--sig-proxy").default(true))
    .addOption(new Option("--pull [policy]").preset("always"))
    .addOption(listOption("-e, --env <pair>", "variables"))
    .exitOverride();
}

/** What the command sees: its options, then its words. */
function read(words: readonly string[], flagsEndAtFirstWord = false): unknown {
  const parsed = command();
  const normal = normaliseFlagWords(words, parsed, { flagsEndAtFirstWord });
  parsed.parse([...normal.words], { from: "user" });
  for (const [name, value] of normal.switchedOff) parsed.setOptionValue(name, value);
  return { ...parsed.opts(), words: parsed.args };
}

const unset = { sigProxy: true, trunc: true };

test.for([
  [["-ti", "x"], { tty: true, interactive: true, words: ["x"] }],
  [["-t", "-i", "--rm", "--name", "a"], { tty: true, interactive: true, rm: true, name: "a", words: [] }],
  [["-ti", "-rm", "-name", "a"], { tty: true, interactive: true, rm: true, name: "a", words: [] }],
  [["-name=a"], { name: "a", words: [] }],
  [["-notrunc"], { trunc: false, words: [] }],
  [["-f", "x"], { file: "x", words: [] }],
  [["-fx"], { file: "x", words: [] }],
  [["-f=x"], { file: "x", words: [] }],
  [["-tf=x"], { tty: true, file: "x", words: [] }],
  [["-tf", "x", "y"], { tty: true, file: "x", words: ["y"] }],
  [["--file=x=y"], { file: "x=y", words: [] }],
  [["--file", "-x"], { file: "-x", words: [] }],
  [["--file", "a", "--file", "b"], { file: "b", words: [] }],
  [["-e", "A=1", "--env=B", "-eC=3"], { env: ["A=1", "B", "C=3"], words: [] }],
  [["--sig-proxy=false"], { sigProxy: false, words: [] }],
  [["--sig-proxy=false", "--sig-proxy"], { words: [] }],
  [["--rm", "--rm=0"], { rm: false, words: [] }],
  [["--no-trunc=false"], { words: [] }],
  [["--no-trunc=true"], { trunc: false, words: [] }],
  [["--pull", "x"], { pull: "always", words: ["x"] }],
  [["--pull=never", "x"], { pull: "never", words: ["x"] }],
  [["x", "--rm", "y"], { rm: true, words: ["x", "y"] }],
  [["--", "--rm"], { words: ["--rm"] }],
  [["-"], { words: ["-"] }],
  [["-t=false"], { tty: false, words: [] }],
] as const)("%j", ([words, expected]) => {
  expect(read(words)).toEqual({ ...unset, ...expected });
});

test("what follows the first word belongs to the container", () => {
  expect(read(["--rm", "IMAGE", "-x", "--name", "--", "-t"], true)).toEqual({
    ...unset,
    rm: true,
    words: ["IMAGE", "-x", "--name", "--", "-t"],
  });
});

test.for([
  [["--nmae", "a"], "unknown flag: --nmae", "did you mean --name?"],
  [["--intera"], "unknown flag: --intera", "did you mean --interactive?"],
  [["--zzz"], "unknown flag: --zzz", undefined],
  [["-tz"], "unknown flag: -z", undefined],
  [["--name"], "flag needs a value: --name", undefined],
  [["-tf"], "flag needs a value: -f", undefined],
  [["--rm=perhaps"], 'invalid value "perhaps" for --rm: true or false', undefined],
] as const)("%j is refused", ([words, message, hint]) => {
  expect(caught(() => normaliseFlagWords(words, command(), { flagsEndAtFirstWord: false }))).toMatchObject({
    code: "USAGE",
    message,
    hint,
  });
});

test("words that are no flags come through untouched and in order", () => {
  const word = fc.string({ unit: "grapheme" }).filter((text) => !text.startsWith("-"));
  fc.assert(
    fc.property(fc.array(word), (words) => {
      expect(read(words)).toEqual({ ...unset, words });
      expect(read(words, true)).toEqual({ ...unset, words });
    }),
  );
});
