import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type TsbuildResult, tsbuild } from "../support/tsbuild.ts";

let folder: string;
const run = (...words: readonly string[]): Promise<TsbuildResult> =>
  tsbuild(["--root", join(folder, "root"), ...words], { cwd: join(folder) });
const stdout = async (...words: readonly string[]): Promise<string> => {
  const result = await run(...words);
  expect(result, result.stderr).toMatchObject({ code: 0 });
  return result.stdout;
};
const objects = (text: string): readonly Record<string, unknown>[] =>
  text
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as Record<string, unknown>);

const dockerfile = `FROM scratch AS a
ARG VERSION=1
COPY src /src
WORKDIR /w
FROM scratch
COPY --from=a /src /s
`;

beforeAll(() => {
  folder = mkdtempSync("/tmp/tsbuild-test-cache-");
  writeFileSync(join(folder, "Dockerfile"), dockerfile);
  mkdirSync(join(folder, "src"));
  writeFileSync(join(folder, "src/a.ts"), "1");
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test("plan before a build: never built, and nothing is built by it", async () => {
  expect(await stdout("plan", ".")).toMatch(
    /^Dockerfile:3 +COPY src \/src +MISS +[0-9a-f]{12}\n +never built before\nDockerfile:4 +WORKDIR \/w +MISS\n +never built before\nDockerfile:6 +COPY --from=a \/src \/s +unknown until Dockerfile:4 has run\n$/,
  );
  expect(await stdout("cache", "ls", "-q")).toBe("");
});

test("after a build: hits in the plan, records in the list", async () => {
  await stdout("-t", "x", ".");
  const plan = JSON.parse(await stdout("plan", "--json", ".")) as {
    readonly steps: readonly {
      readonly line: number;
      readonly outcome: { readonly kind: string; readonly key: string };
    }[];
  };
  expect(plan.steps.map((step) => [step.line, step.outcome.kind])).toEqual([
    [3, "hit"],
    [4, "hit"],
    [6, "hit"],
  ]);
  const records = objects(await stdout("cache", "ls", "--json"));
  expect(records.map((record) => record["Instruction"]).sort()).toEqual([
    "COPY --from=a /src /s",
    "COPY src /src",
    "WORKDIR /w",
  ]);
  expect(new Set(records.map((record) => record["ID"]))).toEqual(new Set(plan.steps.map((step) => step.outcome.key)));
});

test("cache why names the file that changed", async () => {
  writeFileSync(join(folder, "src/a.ts"), "2");
  const text = await stdout("cache", "why", "-f", "Dockerfile", ".");
  expect(text).toMatch(
    /^Dockerfile:3 .*MISS.*\n {2}src\/a\.ts changed\n {2}nearest record: [0-9a-f]{12}, made .* ago, /,
  );
  expect(text).toContain("unknown until Dockerfile:3 has run");
  writeFileSync(join(folder, "src/a.ts"), "1");
});

test("cache inspect shows the input that was hashed, by ID and by layer", async () => {
  const [id = ""] = (await stdout("cache", "ls", "-q", "--filter", "description~=^COPY src")).trim().split("\n");
  const [record] = JSON.parse(await stdout("cache", "inspect", "--json", id)) as readonly Record<string, unknown>[];
  expect(record).toMatchObject({
    Instruction: "COPY src /src",
    Kind: "copy",
    Input: {
      kind: "copy",
      destination: "/src",
      files: [expect.stringContaining("src\tdir"), expect.stringContaining("src/a.ts")],
    },
  });
  expect(await stdout("cache", "inspect", String(record?.["Layer"]))).toContain("Instruction:  COPY src /src\n");
  expect(await run("cache", "inspect", "ffffffffffff")).toMatchObject({
    code: 1,
    stderr: expect.stringContaining("no such cache record: ffffffffffff"),
  });
});

test("cache du adds up, and prune frees what no image keeps", async () => {
  const rows = objects(await stdout("cache", "du", "--json"));
  expect(rows.map((row) => row["Reclaimable"]).sort()).toEqual([false, true, true]);
  expect(await stdout("cache", "du")).toMatch(
    /\nShared: +2\.56kB\nPrivate: +4\.096kB\nReclaimable: +4\.096kB\nTotal: +6\.656kB\n$/,
  );
  expect(await stdout("cache", "prune", "--dry-run", "--older-than", "1h")).toBe("Total reclaimable space: 0B\n");
  // One of the two is enough to come below the limit: the younger stands on the older.
  expect(await stdout("cache", "prune", "--dry-run", "--keep-storage", "3000")).toMatch(
    /WORKDIR \/w\n\nTotal reclaimable/,
  );
  expect((await run("cache", "prune")).stderr).toContain("say yes with -f");
  expect(await stdout("cache", "prune", "-f")).toMatch(/COPY src \/src/);
  expect(objects(await stdout("cache", "ls", "--json")).map((record) => record["Instruction"])).toEqual([
    "COPY --from=a /src /s",
  ]);
  expect(await stdout("cache", "prune", "-f", "--all")).toMatch(/COPY --from=a \/src \/s/);
  expect(await stdout("cache", "ls")).toMatch(/^ID .*INSTRUCTION\n$/);
  expect(await stdout("images", "-q")).toMatch(/^[0-9a-f]{12}\n$/);
});

test("what a build would reject, plan rejects", async () => {
  writeFileSync(join(folder, "bad"), "FROM scratch\nCOPY src/A.ts /\n");
  expect(await run("plan", "-f", "bad", ".")).toMatchObject({
    code: 1,
    stdout: "",
    stderr: expect.stringMatching(
      /^bad:2:1: error: "\/src\/A\.ts" not found in the context[\s\S]*did you mean "src\/a\.ts"\?/,
    ),
  });
  writeFileSync(join(folder, "bad"), "FROM no/such\n");
  expect(await run("plan", "-f", "bad", ".")).toMatchObject({
    code: 1,
    stderr: expect.stringMatching(/^bad:1:6: error: no image no\/such:latest here[\s\S]*tsbuild pull no\/such:latest/),
  });
});
