// biome-ignore-all lint/suspicious/noTemplateCurlyInString: variables of a Dockerfile
// Whatever a file holds, checks read it to the end, and a long file takes no longer than its length.
import fc from "fast-check";
import { expect, test } from "vitest";
import { boundGraph } from "../../src/checks/bound-graph.ts";
import { findErrors } from "../../src/checks/find-errors.ts";
import { TsbuildError } from "../../src/errors.ts";
import { familiarReference } from "../../src/oci/reference.ts";
import { DockerfileInvalid } from "../../src/parser/errors.ts";
import { parse } from "../../src/parser/parse.ts";
import { dockerfileText } from "../parser/generated-dockerfile.ts";
import { image, noOptions } from "../planner/support/graph.ts";
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

/** Lines that are right, wrong, or one of it depending on those above. */
const wrongLine = fc.constantFrom(
  ...[
    "FROM scratch AS a",
    "FROM b",
    "FROM a AS d",
    "FROM ${x:?} AS c",
    "FROM $B:1",
    "FROM --platform=q/w/e/r b",
    "FROM a AS",
  ],
  ...[
    "COPY --from=a x /",
    "COPY --from=cc x /",
    "COPY --from=9 x /",
    "COPY --from=d x /",
    "COPY --chmod=$A ${C:?} b /",
    "COPY $C /",
  ],
  ...[
    "ENV A=${x:?}",
    "ENV A=${B:?}${x:?} C=$A",
    "ENV A=80",
    "ENV A=x C=http://x",
    "ENV A",
    "ENV A=1 B",
    "ARG B",
    "ARG B=${A:?} C=$B",
  ],
  ...[
    "EXPOSE $A",
    "EXPOSE $A/tcp 99999",
    "EXPOSE $A $C $B",
    "USER ${C:?}",
    "VOLUME $A $C",
    "STOPSIGNAL $A",
    "WORKDIRR x",
  ],
  ...[
    "RUN --mount=type=$A,target=/x y",
    "RUN --mount=from=aa,target=/$C y",
    "RUN --mount=type=cache,target=/$B,mode=$A y",
    "HEALTHCHECK x",
  ],
);
const wrongText = fc.array(wrongLine, { minLength: 1, maxLength: 10 }).map((lines) => lines.join("\n"));

test("a file is refused exactly when it has an error, with each in the file, in order and once", async () => {
  let refused = 0;
  await fc.assert(
    fc.asyncProperty(
      fc.oneof(
        wrongText,
        wrongText.map((text) => `ARG B=1\nFROM b\n${text}`),
      ),
      async (text) => {
        const parsed = parse(text, { file: "Dockerfile" });
        const findBase = async (name: string) => image(name, { Env: ["A=80"] }).config;
        const request = { parsed, options: noOptions, findBase };
        const found = await findErrors({ ...request, allStages: false });
        const error: unknown = await boundGraph({
          ...request,
          resolveImage: async (reference) => image(familiarReference(reference), { Env: ["A=80"] }),
        }).then(
          () => undefined,
          (failure: unknown) => failure,
        );
        const starts = found.map(({ range }) => range.start);
        expect(starts).toEqual([...new Set(starts)].sort((a, b) => a - b));
        for (const { range } of found) expect(range.end).toBeLessThanOrEqual(text.length);
        const all = await findErrors({ ...request, allStages: true });
        expect(all.map(({ range }) => range.start)).toEqual(expect.arrayContaining(starts));
        if (error === undefined) {
          expect(found).toEqual([]);
          return;
        }
        refused++;
        if (!(error instanceof TsbuildError)) throw error;
        const told =
          error instanceof DockerfileInvalid
            ? error.diagnostics.filter(({ severity }) => severity === "error").map(({ range }) => range.start)
            : starts;
        expect(found.length).toBeGreaterThan(0);
        expect(told).toEqual(starts);
      },
    ),
    { numRuns: 200 },
  );
  expect(refused).toBeGreaterThan(50);
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
