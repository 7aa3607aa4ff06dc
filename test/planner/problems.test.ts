// A file with many mistakes lists all of them, in the parser's and in the planner's.
import { expect, test } from "vitest";
import { DockerfileInvalid } from "../../src/parser/errors.ts";
import { parse } from "../../src/parser/parse.ts";
import { withReferences } from "../../src/planner/problems.ts";
import { failureOf } from "./support/graph.ts";

const parsed = (text: string) => parse(text.replaceAll("⏎", "\n"), { file: "Dockerfile" });
const codes = (error: unknown) =>
  error instanceof DockerfileInvalid
    ? error.diagnostics.map(({ code, message, hint }) =>
        [code, message, ...(hint === undefined ? [] : [hint])].join(" | "),
      )
    : [error];

test("binding lists every line that cannot be bound, in order, and the target", async () => {
  const text = "FROM ${base:?none} AS a⏎FROM --platform=a/b/c/d b AS c⏎COPY --from=7 x /⏎FROM $empty⏎COPY --from=c a b";
  const error = await failureOf(text, { options: { target: "d" } });
  expect(codes(error)).toEqual([
    "expansion-failed | base: none | ARG base above it and --build-arg base=… give it a value",
    expect.stringMatching(/^invalid-platform/),
    "stage-not-found | stage 7 does not exist | the stages are numbered from 0 to 2",
    expect.stringMatching(/^instruction-invalid \| the base name is empty/),
  ]);
  expect(error).toMatchObject({ code: "EXPANSION_FAILED", others: [{ code: "STAGE_NOT_FOUND" }] });
});

test("evaluation goes on behind a line that fails", async () => {
  const error = await failureOf("FROM scratch⏎ENV a=${b:?one}⏎VOLUME $c⏎ARG p=x⏎EXPOSE $p⏎STOPSIGNAL $p⏎ENV ok=1");
  expect(codes(error)).toHaveLength(4);
});

test("two images that do not exist are both named", async () => {
  const error = await failureOf("FROM scratch⏎COPY --from=nope1 a /⏎COPY --from=nope2 a /");
  expect(codes(error)).toEqual([expect.stringMatching(/nope1/), expect.stringMatching(/nope2/)]);
});

test("a stage whose base fails is one message, also for those who copy from it", async () => {
  const error = await failureOf("FROM nope AS a⏎FROM scratch⏎COPY --from=a x /⏎COPY --from=a y /");
  expect(error).toMatchObject({ code: "BASE_IMAGE_NOT_FOUND", where: { line: 1 } });
  expect(error).not.toBeInstanceOf(DockerfileInvalid);
});

test("a base that is not there is perhaps a stage above", async () => {
  const error = await failureOf("FROM scratch AS build⏎FROM biuld");
  expect(error).toMatchObject({ code: "BASE_IMAGE_NOT_FOUND", hint: "did you mean the stage build?" });
  expect(await failureOf("FROM nod AS node")).not.toMatchObject({ hint: expect.stringMatching(/stage/) });
});

test.for([
  {
    name: "an image that is nearly a stage, where all else is right",
    text: "FROM a AS node1⏎FROM b⏎COPY --from=node x /",
  },
  { name: "a stage below, in a stage that nobody needs", text: "FROM a⏎COPY --from=c x /⏎FROM b AS c⏎FROM d" },
  { name: "a number that a broken FROM may have", text: "FROM a b⏎FROM c⏎FROM d⏎COPY --from=2 x /⏎COPY --from=1 x /" },
  {
    name: "a name that a broken FROM may have",
    text: "FROM a b AS biuld⏎FROM c AS build⏎FROM d⏎COPY --from=biuld x /",
  },
])("nothing is said of $name", ({ text }) => {
  const { diagnostics } = withReferences(parsed(text));
  expect(diagnostics.filter(({ code }) => code !== "from-arguments")).toEqual([
    ...(text.includes("COPY --from=2")
      ? [expect.objectContaining({ message: expect.stringMatching(/uses itself/) })]
      : []),
  ]);
});

test.for([
  {
    text: "FROM a AS x⏎COPY --from=y b /⏎FROM c AS y⏎COPY --from=x b /",
    message: "circular dependency: x → y → x",
    count: 1,
  },
  {
    text: "FROM a AS x⏎RUN --mount=from=x,target=/m ls",
    message: "circular dependency: stage x uses itself",
    count: 1,
  },
  {
    text: "FROM a AS x⏎COPY --from=last b /⏎FROM c AS last⏎FROM c⏎COPY --from=0 x /",
    message: "stage last must be defined before it is used",
    count: 1,
  },
])("$message, once and without values", ({ text, message, count }) => {
  const { diagnostics } = withReferences(parsed(text));
  expect(diagnostics.map((diagnostic) => diagnostic.message)).toContain(message);
  expect(diagnostics).toHaveLength(count);
});

test("ten thousand stages, each on the one before, need no stack", () => {
  const lines = Array.from({ length: 10_000 }, (_, at) => `FROM ${at === 0 ? "scratch" : `s${at - 1}`} AS s${at}`);
  expect(withReferences(parsed(lines.join("\n"))).diagnostics).toEqual([]);
});
