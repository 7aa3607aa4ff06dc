// Flags.
import { expect, test } from "vitest";
import { nodeOf, problemsOf, rejected, show } from "./parsed.ts";

test.for([
  { name: "quotes group and go", line: `COPY --chown="1":'2' a b`, chown: "1:2" },
  { name: "the escape takes a character, in quotes too", line: `COPY --chown=a\\b"c\\d"'e\\f' a b`, chown: "abcdef" },
  { name: "a blank inside quotes is no end", line: `COPY --chown="a b" a b`, chown: "a b" },
  { name: "variables stay", line: "COPY --chown=$U:${G:-1} a b", chown: "${U}:${G :- 1}" },
  { name: "an empty value counts as not given", line: "COPY --chown= a b", chown: "none" },
  { name: "text above 0x7f is UTF-8", line: "COPY --chown=é a b", chown: "é" },
])("$name", ({ line, chown }) => {
  const node = nodeOf(line);
  expect(rejected(line)).toEqual([]);
  expect(node.kind === "copy" && show(node.chown)).toBe(chown);
});

test.for([
  { name: "-- ends the flags and vanishes", line: "COPY --chown=3 -- f /", sources: ["f"] },
  { name: "-- alone may stand first", line: "COPY -- --f /", sources: ["--f"] },
  { name: 'so may --""', line: 'COPY --"" --f /', sources: ["--f"] },
  { name: "-- later is an argument", line: "COPY f -- /", sources: ["f", "--"] },
  { name: "a flag behind an argument is an argument", line: "COPY f --chown=1 /", sources: ["f", "--chown=1"] },
  { name: "one dash is no flag", line: "COPY -f /", sources: ["-f"] },
])("$name", ({ line, sources }) => {
  const node = nodeOf(line);
  expect(rejected(line)).toEqual([]);
  expect(node.kind === "copy" && node.sources.map((word) => word.raw)).toEqual(sources);
});

test.for([
  { flag: "--link", link: true },
  { flag: "--link=true", link: true },
  { flag: "--link=TRUE", link: true },
  { flag: "--link=False", link: false },
])("$flag is $link", ({ flag, link }) => {
  expect(nodeOf(`COPY ${flag} a b`)).toMatchObject({ kind: "copy", link });
});

test("an escaped quote is text", () => {
  expect(nodeOf(`COPY --exclude=a\\"b"c\\"d"'e\\'f' a b`)).toMatchObject({ exclude: [`a"bc"de'f`] });
});

test("a list flag may repeat, in order", () => {
  expect(nodeOf("COPY --exclude=a --exclude=!b --exclude= c d")).toMatchObject({ exclude: ["a", "!b"] });
});

test.for([
  { line: "COPY --link=1 a b", problem: "bad-flag-value: --link=1" },
  { line: "COPY --link=yes a b", problem: "bad-flag-value: --link=yes" },
  { line: "COPY --link= a b", problem: "bad-flag-value: --link=" },
  { line: "COPY --link --link a b", problem: "repeated-flag: --link" },
  { line: "COPY --chown=1 --chown=2 a b", problem: "repeated-flag: --chown=2" },
  { line: "COPY --chown a b", problem: "flag-needs-value: --chown" },
  { line: "COPY --foo a b", problem: "unknown-flag: --foo" },
  { line: "COPY --Link a b", problem: "unknown-flag: --Link" },
  { line: "COPY --checksum=x a b", problem: "unknown-flag: --checksum=x" },
  { line: "ADD --from=x a b", problem: "unknown-flag: --from=x" },
  { line: "ADD --parents a b", problem: "unknown-flag: --parents" },
  { line: "RUN --network= x", problem: "flag-needs-value: --network=" },
  { line: "RUN --security= x", problem: "flag-needs-value: --security=" },
  { line: "RUN --mount= x", problem: "flag-needs-value: --mount=" },
  { line: "RUN --network=bridge x", problem: "bad-flag-value: --network=bridge" },
  { line: "RUN --security=off x", problem: "bad-flag-value: --security=off" },
  { line: "FROM --platfrom=x a", problem: "unknown-flag: --platfrom=x" },
  { line: "HEALTHCHECK --foo=1 CMD x", problem: "unknown-flag: --foo=1" },
  ...[
    "CMD x",
    "ENTRYPOINT x",
    "ENV a=b",
    "EXPOSE 1",
    "LABEL a=b",
    "MAINTAINER x",
    'SHELL ["x"]',
    "USER x",
    "VOLUME x",
    "WORKDIR x",
    "ONBUILD RUN x",
  ].map((line) => ({
    line: line.replace(" ", " --x "),
    problem: "unknown-flag: --x",
  })),
])("$line is rejected", ({ line, problem }) => {
  expect(rejected(line)).toEqual([problem]);
});

test("each unknown flag of a line is reported, with the flag that was meant", () => {
  expect(problemsOf("FROM a\nRUN --mont=x --netwrok=none y")).toEqual([
    { code: "unknown-flag", at: "--mont=x", hint: "did you mean --mount?" },
    { code: "unknown-flag", at: "--netwrok=none", hint: "did you mean --network?" },
  ]);
});

test.for(["ARG --x a", "STOPSIGNAL --x 9", "HEALTHCHECK --interval=x NONE", "HEALTHCHECK --foo none"])(
  "flags are read over: %s",
  (line) => {
    expect(rejected(line)).toEqual([]);
  },
);

test("RUN has its flags as values", () => {
  expect(
    nodeOf("RUN --network=none --security=insecure --device=a/b=c --device=name=x/d,required x --y"),
  ).toMatchObject({
    network: "none",
    security: "insecure",
    devices: [
      { name: "a/b=c", required: false },
      { name: "x/d", required: true },
    ],
    command: { form: "shell", text: "x --y" },
  });
});

test.for([
  { value: "a", hint: "such as --device=vendor.com/class=name,required" },
  { value: "name=a/b,name=a/c", hint: "such as --device=vendor.com/class=name,required" },
  { value: "a/b=c,requird", hint: "did you mean required?" },
  { value: "a/b=c,required=maybe", hint: "such as --device=vendor.com/class=name,required" },
  { value: "required", hint: "such as --device=vendor.com/class=name,required" },
])("--device=$value is rejected", ({ value, hint }) => {
  expect(problemsOf(`FROM a\nRUN --device=${value} x`)).toMatchObject([{ code: "bad-device", hint }]);
});
