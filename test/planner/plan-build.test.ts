import { chmodSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import type { MissReason } from "../../src/planner/miss-reason.ts";
import type { Plan } from "../../src/planner/plan.ts";
import { temporaryStore } from "../support/temporary-store.ts";
import { type BuildRequest, build, plan } from "./support/build.ts";
import { temporaryContext } from "./support/context.ts";

function outcomes({ steps }: Plan): readonly string[] {
  return steps.map(({ text, outcome }) => {
    if (outcome.kind === "hit") return `${text}: hit`;
    if (outcome.kind === "offered") return `${text}: in ${outcome.from}`;
    if (outcome.kind === "unknown") return `${text}: until ${outcome.until}`;
    return `${text}: ${outcome.reasons.map((reason) => reason.code).join(" ")}`;
  });
}

test("a plan of what was never built", async () => {
  using own = temporaryStore();
  expect(outcomes(await plan(own.store, "FROM b⏎RUN x⏎RUN y"))).toEqual(["RUN x: never-built", "RUN y: never-built"]);
});

test("a plan of what was built is all hits, with the records", async () => {
  using own = temporaryStore();
  const text = "FROM b AS p⏎RUN x⏎FROM b⏎COPY --from=p / /⏎WORKDIR /w";
  await build(own.store, text);
  const { steps } = await plan(own.store, text);
  expect(steps.map((step) => [step.id, step.line, step.outcome.kind])).toEqual([
    ["0.0", 2, "hit"],
    ["1.0", 4, "hit"],
    ["1.1", 5, "hit"],
  ]);
});

test("what stands on a miss is unknown until that has run, unless it was never built", async () => {
  using context = temporaryContext({ "src/a.ts": "1", lock: "1" });
  using own = temporaryStore();
  const request = { folder: context.folder };
  const text = "FROM b AS p⏎COPY lock /⏎RUN npm ci⏎COPY src /src⏎FROM b⏎COPY --from=p /x* /⏎RUN z";
  await build(own.store, text, request);
  writeFileSync(join(context.folder, "lock"), "2");
  expect(outcomes(await plan(own.store, `${text}⏎RUN new`, request))).toEqual([
    "COPY lock /: file-changed",
    "RUN npm ci: until 0.0",
    "COPY src /src: until 0.0",
    "COPY --from=p /x* /: until 0.0",
    "RUN z: until 0.0",
    "RUN new: never-built",
  ]);
});

test("a linked copy hits on a base that is not known yet", async () => {
  using context = temporaryContext({ f: "1", lock: "1" });
  using own = temporaryStore();
  const request = { folder: context.folder };
  const text = "FROM b⏎COPY lock /⏎RUN x⏎COPY --link f /";
  await build(own.store, text, request);
  writeFileSync(join(context.folder, "lock"), "2");
  expect(outcomes(await plan(own.store, text, request))).toEqual([
    "COPY lock /: file-changed",
    "RUN x: until 0.0",
    "COPY --link f /: hit",
  ]);
});

interface ReasonRow {
  readonly name: string;
  readonly first: string;
  readonly second?: string;
  readonly before?: BuildRequest;
  readonly after?: BuildRequest;
  readonly change?: (folder: string) => void;
  readonly reasons: readonly MissReason[];
}

const many = Array.from({ length: 12 }, (_, index) => `n${String(index).padStart(2, "0")}`);

test.for<ReasonRow>([
  {
    name: "a changed file",
    first: "FROM b⏎COPY src /",
    change: (d) => writeFileSync(join(d, "src/a.ts"), "2"),
    reasons: [{ code: "file-changed", paths: ["src/a.ts"], count: 1 }],
  },
  {
    name: "a new and a removed file",
    first: "FROM b⏎COPY src /",
    change: (d) => {
      writeFileSync(join(d, "src/c.ts"), "2");
      rmSync(join(d, "src/a.ts"));
    },
    reasons: [
      { code: "file-added", paths: ["src/c.ts"], count: 1 },
      { code: "file-removed", paths: ["src/a.ts"], count: 1 },
    ],
  },
  {
    name: "many files",
    first: "FROM b⏎COPY . /",
    change: (d) => {
      for (const name of many) writeFileSync(join(d, name), "");
    },
    reasons: [{ code: "file-added", paths: many.slice(0, 10), count: 12 }],
  },
  {
    name: "a mode",
    first: "FROM b⏎COPY src /",
    change: (d) => chmodSync(join(d, "src/a.ts"), 0o755),
    reasons: [{ code: "mode-changed", paths: ["src/a.ts"], count: 1 }],
  },
  {
    name: "a name that is not ASCII",
    first: "FROM b⏎COPY src /",
    change: (d) => writeFileSync(join(d, "src/ä\t.ts"), ""),
    reasons: [{ code: "file-added", paths: ["src/ä\t.ts"], count: 1 }],
  },
  {
    name: "an ARG",
    first: "FROM b⏎ARG VERSION⏎RUN x",
    before: { args: { VERSION: "1" } },
    after: { args: { VERSION: "2" } },
    reasons: [{ code: "arg-changed", name: "VERSION", from: "1", to: "2" }],
  },
  {
    name: "an ENV",
    first: "FROM b⏎ENV A=1⏎RUN x",
    second: "FROM b⏎ENV B=1⏎RUN x",
    reasons: [
      { code: "env-changed", name: "B", from: undefined, to: "1" },
      { code: "env-changed", name: "A", from: "1", to: undefined },
    ],
  },
  {
    name: "a variable that may be a secret",
    first: "FROM b⏎ARG API_TOKEN⏎RUN x",
    before: { args: { API_TOKEN: "one" } },
    after: { args: { API_TOKEN: "two" } },
    reasons: [{ code: "arg-changed", name: "API_TOKEN", from: "(not shown)", to: "(not shown)" }],
  },
  {
    name: "the order of variables",
    first: "FROM b⏎ENV A=1 B=2⏎RUN x",
    second: "FROM b⏎ENV B=2 A=1⏎RUN x",
    reasons: [{ code: "option-changed", option: "order of variables", from: "PATH A B", to: "PATH B A" }],
  },
  {
    name: "a command",
    first: "FROM b⏎RUN npm i",
    second: "FROM b⏎RUN npm ci",
    reasons: [{ code: "instruction-changed", from: "RUN npm i", to: "RUN npm ci" }],
  },
  {
    name: "a heredoc's body",
    first: "FROM b⏎RUN <<E⏎1⏎E",
    second: "FROM b⏎RUN <<E⏎2⏎E",
    reasons: [{ code: "instruction-changed", from: "/bin/sh -c 1\n", to: "/bin/sh -c 2\n" }],
  },
  {
    name: "the user",
    first: "FROM b⏎RUN x",
    second: "FROM b⏎USER 5⏎RUN x",
    reasons: [{ code: "option-changed", option: "user", from: "", to: "5" }],
  },
  {
    name: "the shell",
    first: "FROM b⏎RUN x",
    second: 'FROM b⏎SHELL ["/s"]⏎RUN x',
    reasons: [{ code: "option-changed", option: "shell", from: "/bin/sh -c", to: "/s" }],
  },
  {
    name: "--chmod",
    first: "FROM b⏎COPY --chmod=644 src /",
    second: "FROM b⏎COPY --chmod=600 src /",
    reasons: [{ code: "option-changed", option: "--chmod", from: "644", to: "600" }],
  },
  {
    name: "the destination",
    first: "FROM b⏎COPY src /a",
    second: "FROM b⏎COPY src /c",
    reasons: [{ code: "instruction-changed", from: "COPY src /a", to: "COPY src /c" }],
  },
  {
    name: "a mount",
    first: "FROM b⏎RUN --mount=type=tmpfs,target=/m x",
    second: "FROM b⏎RUN --mount=type=tmpfs,target=/m,size=1k x",
    reasons: [{ code: "mount-changed", target: "/m" }],
  },
  {
    name: "a bind's file",
    first: "FROM b⏎RUN --mount=source=src,target=/m x",
    change: (d) => writeFileSync(join(d, "src/a.ts"), "2"),
    reasons: [{ code: "file-changed", paths: ["a.ts"], count: 1 }],
  },
  {
    name: "the platform",
    first: "FROM b⏎RUN x",
    after: { options: { platforms: [{ os: "linux", architecture: "arm64" }] } },
    reasons: [{ code: "platform", from: "linux/amd64", to: "linux/arm64" }],
  },
  {
    name: "--no-cache",
    first: "FROM b⏎RUN x",
    after: { options: { noCache: true } },
    reasons: [{ code: "no-cache-flag" }],
  },
  {
    name: "another step of another stage",
    first: "FROM b AS p⏎RUN x",
    second: "FROM b AS q⏎RUN y",
    reasons: [{ code: "never-built" }],
  },
])("reasons: $name", async ({ first, second = first, before = {}, after = before, change, reasons }) => {
  using context = temporaryContext({ "src/a.ts": "1", "src/b.ts": "1" });
  using own = temporaryStore();
  await build(own.store, first, { folder: context.folder, ...before });
  change?.(context.folder);
  const { steps } = await plan(own.store, second, { folder: context.folder, ...after });
  const outcome = steps.at(-1)?.outcome;
  expect(outcome?.kind === "miss" ? outcome.reasons : outcome).toEqual(reasons);
});

test("reasons: the base moved, and what a step below made", async () => {
  using own = temporaryStore();
  const text = "FROM b⏎RUN x⏎RUN y";
  await build(own.store, text, { bases: { "b:latest": "1" } });
  const moved = await plan(own.store, text, { bases: { "b:latest": "2" } });
  expect(moved.steps[0]?.outcome).toMatchObject({
    reasons: [
      {
        code: "base-moved",
        from: expect.stringMatching(/^[0-9a-f]{12}$/),
        to: expect.stringMatching(/^[0-9a-f]{12}$/),
      },
    ],
  });
  // RUN x again, with other files, and then not RUN y.
  await build(own.store, "FROM b⏎RUN x", {
    bases: { "b:latest": "1" },
    options: { noCache: true },
    output: () => "other",
  });
  const below = await plan(own.store, text, { bases: { "b:latest": "1" } });
  expect(below.steps[1]?.outcome).toMatchObject({ reasons: [{ code: "parent-changed", step: "[2/3] RUN x" }] });
});

test("a step that was inserted does not hide what the others were compared with", async () => {
  using own = temporaryStore();
  await build(own.store, "FROM b⏎ENV A=1⏎RUN one⏎RUN two");
  const { steps } = await plan(own.store, "FROM b⏎ENV A=2⏎RUN zero⏎RUN one⏎RUN two");
  expect(
    steps.map((step) => (step.outcome.kind === "miss" ? step.outcome.reasons[0]?.code : step.outcome.kind)),
  ).toEqual(["instruction-changed", "env-changed", "env-changed"]);
});
