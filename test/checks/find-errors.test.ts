// All errors of a file at once, each at its place: the parser's and what binding says.
import { expect, test } from "vitest";
import { findErrors } from "../../src/checks/find-errors.ts";
import { parse } from "../../src/parser/parse.ts";
import { positionOf } from "../../src/parser/position.ts";
import { noOptions } from "../planner/support/graph.ts";

async function errorsOf(text: string, images: readonly string[] = []): Promise<readonly string[]> {
  const parsed = parse(text.replaceAll("⏎", "\n"), { file: "Dockerfile" });
  const errors = await findErrors({
    parsed,
    options: noOptions,
    findBase: async (name) =>
      images.includes(name.replace(/:latest$/, "")) ? { os: "linux", architecture: "amd64", config: {} } : undefined,
    allStages: true,
  });
  return errors.map(({ message, range }) => {
    const { line, column } = positionOf(parsed.dockerfile, range.start);
    return `${line}:${column} ${message}`;
  });
}

test.for([
  { text: "FROM nowhere/to/be:found⏎COPY --from=elsewhere:1 / /⏎RUN x", errors: [] },
  { text: "FROM scratch⏎EXPOSE 99999", errors: 1 },
  { text: "FROM scratch AS build⏎FROM scratch⏎COPY --from=biuld / /", errors: ["3:13 stage biuld does not exist"] },
  { text: "FROM scratch AS a⏎COPY --from=b / /⏎FROM scratch AS b⏎COPY --from=a / /", errors: 1 },
  { text: "FROM scratch AS unneeded⏎STOPSIGNAL $X⏎FROM scratch", errors: 1 },
  { text: "FROM scratch⏎WORKDIRR /x⏎ENV ${q:?needed}=1⏎COPY --chmod=9 a b", errors: 3 },
  { text: "FROM⏎COPY --from=x / /", errors: 1 },
])("$text", async ({ text, errors }) => {
  const found = await errorsOf(text);
  if (typeof errors === "number") expect(found).toHaveLength(errors);
  else expect(found).toEqual(errors);
});

test.for([
  { base: "not-here", errors: [] },
  { base: "here", errors: ['2:8 EXPOSE: invalid port "/tcp": no port'] },
])("a port that the base $base may set", async ({ base, errors }) => {
  expect(await errorsOf(`FROM ${base}⏎EXPOSE $PORT/tcp`, ["here"])).toEqual(errors);
});

test("an image that is here is no misspelt stage", async () => {
  expect(await errorsOf("FROM scratch AS build⏎FROM scratch⏎COPY --from=biuld / /", ["biuld"])).toEqual([]);
});

test("a target that is not there is an error of the request", async () => {
  const parsed = parse("FROM scratch AS a\n", { file: "Dockerfile" });
  const options = { ...noOptions, target: "b" };
  const request = { parsed, options, findBase: async () => undefined, allStages: false };
  await expect(findErrors(request)).rejects.toMatchObject({ code: "STAGE_NOT_FOUND" });
});
