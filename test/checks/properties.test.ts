// Whatever a file holds, checks read it to the end, and a long file takes no longer than its length.
import fc from "fast-check";
import { expect, test } from "vitest";
import { dockerfileText } from "../parser/generated-dockerfile.ts";
import { checkText } from "./findings.ts";

test("no file makes a check throw, and every finding is in the file", async () => {
  const broken = fc
    .tuple(
      dockerfileText,
      fc.nat(),
      fc.nat({ max: 20 }),
      fc.constantFrom("", "\n", '"', "$", "\\", "<<E", "from ", "&&"),
    )
    .map(
      ([text, at, cut, put]) =>
        text.slice(0, at % (text.length + 1)) + put + text.slice((at % (text.length + 1)) + cut),
    );
  await fc.assert(
    fc.asyncProperty(fc.oneof(dockerfileText, broken), async (text) => {
      const { dockerfile, warnings } = await checkText(text, { own: true, ignore: "*.md" });
      for (const { range } of warnings) {
        expect(range.start).toBeGreaterThanOrEqual(0);
        expect(range.end).toBeGreaterThanOrEqual(range.start);
        expect(range.end).toBeLessThanOrEqual(dockerfile.text.length);
      }
    }),
    { numRuns: 400 },
  );
});

const manyLines: readonly { readonly name: string; readonly text: (lines: number) => string }[] = [
  {
    name: "ENV",
    text: (n: number) => `FROM scratch\n${Array.from({ length: n }, (_, i) => `ENV a${i}=1 b=$a${i}\n`).join("")}`,
  },
  {
    name: "stages",
    text: (n: number) =>
      `FROM scratch AS s0\n${Array.from({ length: n }, (_, i) => `FROM s${i} AS s${i + 1}\nCMD x\n`).join("")}`,
  },
  {
    name: "RUN",
    text: (n: number) => `FROM b:1\n${"RUN apt-get update && rm -rf /x/y\nCOPY . .\nCOPY x /x/z\n".repeat(n)}`,
  },
  { name: "warnings", text: (n: number) => `FROM scratch\n${"LABEL a b\nEXPOSE 1/TCP\ncopy $x /\n".repeat(n)}` },
];

/** Twice the lines in at most some three times the time, measured on lengths where a square would show. */
test.for(manyLines)("many $name", { timeout: 60_000 }, async ({ text }) => {
  const timeOf = async (lines: number): Promise<number> => {
    const started = performance.now();
    await checkText(text(lines), { own: true });
    return performance.now() - started;
  };
  await timeOf(500);
  const short = Math.max(50, await timeOf(2000));
  expect(await timeOf(16_000)).toBeLessThan(short * 8 * 4);
});
