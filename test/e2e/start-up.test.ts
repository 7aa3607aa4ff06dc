/** What a command does not need must not be read when it starts: the program works without it. */
import { cpSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
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

/** Prints which of Node's modules that take a millisecond or more to load were asked for. */
const listing = `
const Module = require("node:module");
const load = Module._load;
const slow = /^node:(child_process|crypto|http|net|readline|sqlite|tls|tty|worker_threads|zlib)$/;
const asked = new Set();
Module._load = (id, ...rest) => {
  if (slow.test(id)) asked.add(id);
  return load(id, ...rest);
};
process.on("exit", () => process.stderr.write("asked for:" + [...asked].sort().join() + "\\n"));
`;

test.for([
  ["node:sqlite", ["images"]],
  ["node:sqlite", ["ps"]],
  ["node:sqlite", ["cache", "ls"]],
  ["node:net,node:sqlite", ["run", "--rm", "--network", "none", "b", "true"]],
  ["node:crypto,node:sqlite", ["build", "-q", "known"]],
] as const)("of Node's slow modules only %s are loaded for %j", async ([modules, args]) => {
  const context = `${workshop.folder}/known`;
  mkdirSync(context, { recursive: true });
  writeFileSync(`${context}/Dockerfile`, "FROM b\nRUN true\n");
  await workshop.tsbuild(["build", "-q", context]);
  writeFileSync(`${workshop.folder}/listing.cjs`, listing);
  const { stderr } = await tsbuild(args, {
    cwd: workshop.folder,
    env: { TSBUILD_ROOT: workshop.root, NODE_OPTIONS: `--require ${workshop.folder}/listing.cjs` },
  });
  expect(stderr).toBe(`asked for:${modules}\n`);
});
