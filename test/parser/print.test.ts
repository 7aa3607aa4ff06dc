// A tree that is printed and parsed again is the same tree.
import fc from "fast-check";
import { expect, test } from "vitest";
import { printDockerfile } from "../../src/parser/print.ts";
import { meaningOf } from "../../src/parser/same-meaning.ts";
import { dockerfileText } from "./generated-dockerfile.ts";
import { parseText } from "./parsed.ts";

const errorsIn = (text: string) => parseText(text).diagnostics.filter(({ severity }) => severity === "error");

test("the generated files have no errors, and all instructions are among them", () => {
  const kinds = new Set<string>();
  const files = fc.sample(dockerfileText, { numRuns: 300, seed: 1 });
  const good = files.filter((text) => errorsIn(text).length === 0);
  for (const text of good) for (const { kind } of parseText(text).dockerfile.instructions) kinds.add(kind);
  expect(good.length / files.length).toBeGreaterThan(0.9);
  expect(kinds.size).toBe(18);
});

test("print and parse is the identity, but for ranges", () => {
  fc.assert(
    fc.property(dockerfileText, (text) => {
      fc.pre(errorsIn(text).length === 0);
      const { dockerfile } = parseText(text);
      const printed = printDockerfile(dockerfile);
      expect(errorsIn(printed)).toEqual([]);
      expect(meaningOf(parseText(printed).dockerfile)).toBe(meaningOf(dockerfile));
    }),
    { numRuns: 3000 },
  );
});
