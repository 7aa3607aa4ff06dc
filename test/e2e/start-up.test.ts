/** What a command does not need must not be read when it starts: the program works without it. */
import { cpSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { afterAll, beforeAll, expect } from "vitest";
import { needs } from "../support/needs.ts";
import { program, tsbuild } from "../support/tsbuild.ts";
import { Workshop } from "./build-support.ts";

const test = needs("root");
const workshop = new Workshop();
/** The program without the packages that lie in files of their own: parser, HTTP client, archive formats. */
const bare = `${workshop.folder}/bare/tsbuild.cjs`;
const run = (...args: readonly string[]) =>
  tsbuild(args, { program: bare, cwd: workshop.folder, env: { TSBUILD_ROOT: workshop.root } });

beforeAll(async () => {
  await workshop.importBase();
  cpSync(dirname(program), dirname(bare), { recursive: true, filter: (path) => !path.includes(".compiled") });
  rmSync(`${dirname(bare)}/vendor`, { recursive: true });
  symlinkSync(new URL("../../node_modules", import.meta.url).pathname, `${workshop.folder}/node_modules`);
});
afterAll(() => workshop[Symbol.dispose]());

test("a build of a Dockerfile that was parsed before reads no parser", async () => {
  const context = workshop.context({ f: "x" });
  writeFileSync(`${context}/Dockerfile`, "FROM b\nCOPY f /f\nRUN cat /f\n");
  expect((await run("build", "-q", context)).stderr).toContain("chevrotain");
  const built = await workshop.tsbuild(["build", "-q", context]);
  expect(await run("build", "-q", context)).toEqual(built);
  const again = await run("build", "-q", "--no-cache", context);
  expect(again).toMatchObject({ code: 0, stderr: "" });
});

test.for([
  [["version"]],
  [["images"]],
  [["ps", "-a"]],
  [["cache", "ls"]],
  [["run", "--rm", "--network", "none", "b", "true"]],
] as const)("%j needs none of the rare packages", async ([args]) => {
  expect(await run(...args)).toMatchObject({ code: 0, stderr: "" });
});
