// What holds for every input. A failing seed becomes a row in one of the tables.
import fc from "fast-check";
import { expect, test } from "vitest";
import type { Instruction, Range } from "../../src/parser/ast.ts";
import { logicalLines } from "../../src/parser/logical-lines.ts";
import { originOf } from "../../src/parser/mapped-text.ts";
import { parseTrigger } from "../../src/parser/parse.ts";
import { positionOf } from "../../src/parser/position.ts";
import { parseText } from "./parsed.ts";

const fragments = [
  "FROM a",
  "from a AS b",
  "RUN x",
  'RUN ["a",1]',
  "COPY a b",
  'COPY --from=$x ["a",',
  "ENV a=b",
  "ENV a",
  'ENV "a=',
  "ARG a=${b:-c}",
  "ONBUILD",
  "ONBUILD RUN",
  "HEALTHCHECK",
  "--interval=1s",
  "CMD",
  "NONE",
  "<<E",
  "<<-'E'",
  "\nE\n",
  "--mount=type=cache,target=/x",
  "--link",
  "\\\n",
  "\\ \n\n",
  "`\n",
  "# escape=`\n",
  "# syntax=x\n",
  "# c\n",
  "\n",
  "\r\n",
  "\r",
  " ",
  "\t",
  "\u00a0",
  "'",
  '"',
  "$",
  "${",
  "}",
  "=",
  "--",
  "\ufeff",
  "\0",
  "\ud800",
  "😀",
  "é",
  "\\",
  "[",
  "]",
  "EXPOSE 1",
  "VOLUME []",
  "SHELL []",
  "USER",
  "FRMO",
];
const dockerfileText = fc.array(fc.constantFrom(...fragments), { maxLength: 24 }).map((parts) => parts.join(""));
const anyText = fc.oneof(dockerfileText, fc.string({ unit: "binary" }), fc.string({ unit: "grapheme" }));

/** Every range of a tree. */
function ranges(value: unknown): readonly Range[] {
  if (typeof value !== "object" || value === null) return [];
  if ("start" in value && "end" in value && typeof value.start === "number" && typeof value.end === "number") {
    return [{ start: value.start, end: value.end }];
  }
  return Object.values(value).flatMap(ranges);
}

test("nothing is thrown, a failure is said, and every range lies inside the text", () => {
  fc.assert(
    fc.property(anyText, (text) => {
      const { dockerfile, diagnostics } = parseText(text);
      for (const { start, end } of [...ranges(dockerfile), ...ranges(diagnostics)]) {
        expect(start >= 0 && start <= end && end <= text.length).toBe(true);
      }
      const invalid = dockerfile.instructions.some((instruction) => instruction.kind === "invalid");
      if (invalid) expect(diagnostics.some((diagnostic) => diagnostic.severity === "error")).toBe(true);
      expect(diagnostics.map((diagnostic) => diagnostic.range.start)).toEqual(
        diagnostics.map((diagnostic) => diagnostic.range.start).toSorted((a, b) => a - b),
      );
      parseTrigger(text, { file: "ONBUILD" });
    }),
    { numRuns: 2000 },
  );
});

test("every character of the joined text stands where its map says", () => {
  fc.assert(
    fc.property(anyText, (text) => {
      const { joined, lines } = logicalLines(text, () => undefined);
      for (const line of lines) {
        for (let index = line.start; index < line.end; index++) {
          expect(text[originOf(joined, index)]).toBe(joined.text[index]);
        }
        expect(joined.text[line.end]).toBe("\n");
        expect(joined.text.slice(line.start, line.end)).not.toContain("\n");
      }
    }),
  );
});

const validLine = fc.constantFrom<string[]>(
  "RUN a \\\n  b",
  "COPY a b",
  'ENV a=1 b="c d"',
  "LABEL x y",
  "RUN <<E\nFROM\nE",
  'CMD ["a"]',
  "# comment\nUSER x",
  "ARG a=$b",
  "HEALTHCHECK CMD x",
  "EXPOSE 80",
  "ONBUILD RUN y",
  "FROM b AS c",
  "WORKDIR /x\n",
);
const brokenLine = fc.constantFrom(
  "FRMO (",
  "FROM",
  "FROM a AS",
  "ENV",
  'ENV a="',
  "COPY a",
  "RUN --x y",
  "RUN [1]",
  "USER 'x",
  "HEALTHCHECK",
  "SHELL",
  "ONBUILD",
  "[",
  "--",
  '"',
  "$",
  "EXPOSE ${",
  "COPY --from=",
  "LABEL a=b c",
);
const kinds = (text: string) =>
  parseText(text).dockerfile.instructions.map(({ kind, joined }: Instruction) => `${kind}: ${joined}`);

test("a broken line changes no other line's node", () => {
  fc.assert(
    fc.property(fc.array(validLine, { minLength: 1, maxLength: 12 }), fc.nat(), brokenLine, (lines, n, broken) => {
      const at = n % lines.length;
      const others = (all: readonly string[]) => kinds(["FROM a", ...all].join("\n")).toSpliced(at + 1, 1);
      expect(others(lines.with(at, broken))).toEqual(others(lines));
    }),
  );
});

test("a continuation anywhere inside a line changes nothing but ranges", () => {
  const lines = [
    "RUN echo hi there",
    "COPY --chown=1:2 a b /c/",
    'ENV a="b c" d=${e:-f}',
    'CMD ["a", "b"]',
    "HEALTHCHECK --retries=1 CMD x",
  ];
  const shape = (text: string) =>
    JSON.stringify(parseText(text).dockerfile.instructions, (key, value) =>
      key.toLowerCase().endsWith("range") ? undefined : value,
    );
  for (const line of lines) {
    const expected = shape(`FROM a\n${line}\n`);
    for (let at = 1; at < line.length; at++) {
      expect(shape(`FROM a\n${line.slice(0, at)}\\\n# comment\n${line.slice(at)}\n`)).toBe(expected);
    }
  }
});

test("positions grow with offsets", () => {
  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom("a", "\n", "\r", "é") }), (text) => {
      let before = { line: 1, column: 0 };
      for (let offset = 0; offset <= text.length; offset++) {
        const position = positionOf({ text }, offset);
        expect(position.line > before.line || position.column === before.column + 1).toBe(true);
        before = position;
      }
    }),
  );
});

test("the work grows with the file and not with its square", () => {
  const block =
    'FROM a AS b\n# doc\nRUN echo "$x" \\\n  && y\nCOPY --from=b a$c /d/\nENV a=1 b=${c:-d}\nCMD ["a"]\nFROM x AS\nFRMO z\n';
  const time = (blocks: number) => {
    const text = block.repeat(blocks);
    const start = performance.now();
    parseText(text);
    return performance.now() - start;
  };
  const best = (blocks: number) => Math.min(time(blocks), time(blocks), time(blocks));
  time(300);
  // Sixteen times the lines; a square would be 256. The rest is for a machine that has other work.
  expect(best(960) / best(60)).toBeLessThan(80);
});
