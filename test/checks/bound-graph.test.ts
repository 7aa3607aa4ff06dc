// biome-ignore-all lint/suspicious/noTemplateCurlyInString: variables of a Dockerfile
// A file that is wrong anywhere is refused with all that is wrong in it: the parser's, the stages', binding's, the target.
import { expect, test } from "vitest";
import { boundGraph } from "../../src/checks/bound-graph.ts";
import { TsbuildError } from "../../src/errors.ts";
import { DockerfileInvalid } from "../../src/parser/errors.ts";
import { parse } from "../../src/parser/parse.ts";
import { positionOf } from "../../src/parser/position.ts";
import type { BuildOptions } from "../../src/planner/build-options.ts";
import { image, noOptions } from "../planner/support/graph.ts";

interface Refusal {
  readonly code: string;
  readonly said: readonly string[];
  readonly error: TsbuildError;
}

async function refusalOf(text: string, options: Partial<BuildOptions> = {}): Promise<Refusal> {
  const parsed = parse(text.replaceAll("⏎", "\n"), { file: "Dockerfile" });
  const here = (name: string) => (/^here/.test(name) ? image(name, { Env: ["PORT=80"] }) : undefined);
  const error: unknown = await boundGraph({
    parsed,
    options: { ...noOptions, ...options },
    resolveImage: async ({ path }) => {
      const found = here(path.replace("library/", ""));
      if (found === undefined) throw new TsbuildError({ code: "BASE_IMAGE_NOT_FOUND", what: `no image ${path}` });
      return found;
    },
    findBase: async (name) => here(name)?.config,
  }).catch((failure: unknown) => failure);
  if (!(error instanceof TsbuildError)) throw new Error(`not refused: ${JSON.stringify(error)}`);
  const said =
    error instanceof DockerfileInvalid
      ? [
          ...error.diagnostics
            .filter(({ severity }) => severity === "error")
            .map(({ message, range }) => {
              const { line, column } = positionOf(parsed.dockerfile, range.start);
              return `${line}:${column} ${message}`;
            }),
          ...error.others.map(({ message }) => message),
        ]
      : [error.message];
  return { code: error.code, said, error };
}

test.for([
  {
    name: "the parser's, an unknown stage, a port and a required variable",
    text: "FROM scratch AS build⏎ARG p=80x⏎WORKDIRR /x⏎EXPOSE $p⏎FROM here⏎COPY --from=biuld / /⏎USER ${u:?who}⏎COPY --from=build / /",
    said: [
      "3:1 unknown instruction WORKDIRR",
      '4:8 EXPOSE: invalid port "80x": ports are numbers from 0 to 65535',
      "6:13 stage biuld does not exist",
      "7:6 u: who",
    ],
  },
  {
    name: "several of one line, and of one word",
    text: "FROM scratch⏎ENV a=${x:?}${y:?} ok=1 b=${z:?}⏎ARG m=999⏎COPY --chmod=$m ${s:?} x /⏎ARG u=https://h/x⏎COPY $u x /",
    said: [
      "2:7 x: must be set and not empty",
      "2:13 y: must be set and not empty",
      "2:27 z: must be set and not empty",
      '4:14 --chmod: invalid mode "999"',
      "4:17 s: must be set and not empty",
      "6:6 COPY takes no URL: https://h/x",
    ],
  },
  {
    name: "those of the FROM lines and those below them",
    text: "FROM --platform=a/b/c/d here AS a⏎EXPOSE ${n:-x}⏎FROM a⏎STOPSIGNAL ${s:-SIGTREM}⏎FROM ${r:?}/${i:?}",
    target: "a",
    said: [
      expect.stringMatching(/^1:17 .*a\/b\/c\/d/),
      expect.stringMatching(/^2:8 EXPOSE: invalid port "x"/),
      "5:6 r: must be set and not empty",
      "5:13 i: must be set and not empty",
    ],
  },
  {
    name: "below a FROM that cannot be read, but not of what its image may set",
    text: "FROM here as⏎EXPOSE $PORT/tcp⏎ARG q=y⏎EXPOSE $q⏎STOPSIGNAL ${q:-1}",
    said: [
      "1:11 as needs a name behind it",
      '4:8 EXPOSE: invalid port "y": ports are numbers from 0 to 65535',
      '5:12 STOPSIGNAL: unknown signal "y"',
    ],
  },
  {
    name: "an image that is not there, and what else is wrong",
    text: "FROM scratch AS a⏎EXPOSE ${n:-x}⏎FROM gone⏎COPY --from=a / /⏎USER ${u:?}⏎VOLUME $v ${w:-/w}",
    said: [expect.stringMatching(/^2:8 EXPOSE/), "3:6 no image library/gone"],
  },
  {
    name: "the target, too",
    text: "FROM scratch AS build⏎EXPOSE ${n:-x}⏎ENV x",
    target: "biuld",
    said: [expect.stringMatching(/^2:8 EXPOSE/), "3:5 ENV x has no value", 'target stage "biuld" could not be found'],
  },
  {
    name: "not of stages that nobody needs, but of their FROM",
    text: "FROM scratch AS unneeded⏎EXPOSE ${n:-x}⏎FROM ${x:?} AS b⏎FROM scratch⏎EXPOSE ${n:-y}",
    said: ["3:6 x: must be set and not empty", expect.stringMatching(/^5:8 EXPOSE/)],
  },
])("$name", async ({ text, target, said }) => {
  expect((await refusalOf(text, { target })).said).toEqual(said);
});

test.for([
  { name: "a variable that a wrong ENV would have set", text: "ENV a=${x:?}⏎USER ${a:?}" },
  { name: "one that a wrong ARG would have set", text: "ARG a=${x:?}⏎EXPOSE $a" },
  { name: "one that is made of it", text: "ENV a=${x:?}⏎ENV b=$a⏎ARG c=$b⏎EXPOSE $c" },
  { name: "one that a line sets which cannot be read", text: "ENV a=80 b⏎EXPOSE $a/tcp" },
  { name: "one that the stage below sets so", text: "ENV a=${x:?}⏎FROM s⏎EXPOSE $a" },
])("nothing is said of $name", async ({ text }) => {
  expect((await refusalOf(`FROM scratch AS s⏎${text}`)).said).toHaveLength(1);
});

test("a line that is right again ends the doubt", async () => {
  const { said } = await refusalOf("FROM scratch⏎ENV a=${x:?}⏎ENV a=80x⏎EXPOSE $a");
  expect(said).toEqual(["2:7 x: must be set and not empty", expect.stringMatching(/^4:8 EXPOSE/)]);
});

test("an only mistake keeps its own code, place and cause", async () => {
  const { error } = await refusalOf("FROM scratch AS build⏎FROM scratch⏎COPY --from=biuld / /");
  expect(error).not.toBeInstanceOf(DockerfileInvalid);
  expect(error).toMatchObject({
    code: "BASE_IMAGE_NOT_FOUND",
    where: { line: 3, column: 13 },
    hint: "did you mean the stage build?",
  });
});

test("a file without mistakes is bound", async () => {
  const parsed = parse("FROM scratch\nENV a=1\n", { file: "Dockerfile" });
  const resolveImage = async () => Promise.reject(new Error("asked"));
  const graph = await boundGraph({ parsed, options: noOptions, resolveImage, findBase: async () => undefined });
  expect(graph.targets).toHaveLength(1);
});
