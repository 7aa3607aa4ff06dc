// ONBUILD, and its triggers parsed later.
import { expect, test } from "vitest";
import { parseTrigger } from "../../src/parser/parse.ts";
import { nodeOf, rejected } from "./parsed.ts";

test.for([
  ["ONBUILD RUN x", "RUN x"],
  ["onbuild  run  a  b \t", "run  a  b \t"],
  ["ONBUILD FOO x", "FOO x"],
  ["ONBUILD COPY a", "COPY a"],
  ["ONBUILD COPY --nope a b", "COPY --nope a b"],
  ["ONBUILD RUN a \\\n  b", "RUN a   b"],
  ["ONBUILD ENV", "ENV"],
  [`ONBUILD CMD ["a"]`, `CMD ["a"]`],
] as const)("%s stores %s", ([line, trigger]) => {
  expect(rejected(line)).toEqual([]);
  expect(nodeOf(line)).toMatchObject({ kind: "onbuild", trigger });
});

test.for([
  ["ONBUILD", "missing-argument: ONBUILD"],
  ["ONBUILD ONBUILD RUN x", "bad-trigger: ONBUILD"],
  ["ONBUILD onbuild", "bad-trigger: onbuild"],
  ["ONBUILD FROM a", "bad-trigger: FROM"],
  ["ONBUILD MAINTAINER a", "bad-trigger: MAINTAINER"],
  ["ONBUILD ENV a=1 b", "pair-without-equals: b"],
  ["ONBUILD LABEL a", "pair-without-value: a"],
  ["ONBUILD CMD [1]", "json-not-strings: 1"],
  [`ONBUILD COPY ["a", null]`, "json-not-strings: null"],
] as const)("%s is rejected", ([line, problem]) => {
  expect(rejected(line)).toEqual([problem]);
});

test("a trigger is parsed with backslash as the escape, bodies included", () => {
  const { dockerfile, diagnostics } = parseTrigger("COPY <<A /d\n$x\nA", { file: "ONBUILD" });
  expect(diagnostics).toEqual([]);
  expect(dockerfile.instructions).toMatchObject([{ kind: "copy", heredocs: [{ name: "A", body: "$x\n" }] }]);
});

test.for(["", "# x", "RUN a\nRUN b", "FROM a", "ONBUILD RUN x", "MAINTAINER x", "FOO x", "COPY a"])(
  "the trigger %j is refused",
  (trigger) => {
    expect(parseTrigger(trigger, { file: "ONBUILD" }).diagnostics).toMatchObject([{ severity: "error" }]);
  },
);
