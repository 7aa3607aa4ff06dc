/** The code that V8 compiled, kept between runs: what is there, and what happens when it is not what it should be. */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, expect, test } from "vitest";
import { temporaryTestFolder } from "../support/temporary-folder.ts";
import { program } from "../support/tsbuild.ts";

let cache: string;
beforeEach(() => {
  const folder = temporaryTestFolder("kept-code");
  cache = folder.path;
  return () => folder[Symbol.dispose]();
});

function run(args: readonly string[], environment: Readonly<Record<string, string>> = {}): string {
  const env = { ...process.env, NODE_COMPILE_CACHE: cache, ...environment };
  const { status, stdout, stderr } = spawnSync(process.execPath, [program, ...args], { env, encoding: "utf8" });
  expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
  return stdout;
}

/** Paths of the kept files by their names. Node's own, of the entry point, lie elsewhere. */
function kept(): ReadonlyMap<string, string> {
  const folder = join(cache, "tsbuild");
  if (!existsSync(folder)) return new Map();
  const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  return new Map(files.map(({ name, parentPath }) => [name, join(parentPath, name)]));
}

test("each command has files of its own, and nothing unfinished is left", () => {
  run(["version"]);
  expect([...kept().keys()]).toEqual(["version-cli"]);
  run(["--color=never", "parse", "--help"]);
  expect([...kept().keys()].sort().filter((name) => name.endsWith("-cli"))).toEqual(["parse-cli", "version-cli"]);
  expect([...kept().keys()].filter((name) => /\d$/.test(name))).toEqual([]);
});

test("a run that needs no other modules leaves the file alone, one that does replaces it", () => {
  run(["version"]);
  const path = kept().get("version-cli") ?? "";
  const first = statSync(path).ino;
  run(["version"]);
  expect(statSync(path).ino).toBe(first);
  run(["version", "--format", "{{.Client.Version}}"]);
  expect(statSync(path).ino).not.toBe(first);
});

test.for([
  { name: "empty", damage: (path: string) => truncateSync(path, 0) },
  { name: "cut short", damage: (path: string) => truncateSync(path, 5000) },
  { name: "noise", damage: (path: string) => writeFileSync(path, Buffer.alloc(100_000, 0xa5)) },
  {
    name: "another program's",
    damage: (path: string) =>
      writeFileSync(
        path,
        readFileSync(path).map((byte, at) => (at < 32 ? byte ^ 0xff : byte)),
      ),
  },
])("a file that is $name is replaced", ({ damage }) => {
  const said = run(["version"]);
  const path = kept().get("version-cli") ?? "";
  const size = statSync(path).size;
  damage(path);
  expect(run(["version"])).toBe(said);
  expect(statSync(path).size).toBeGreaterThan(size / 2);
});

test("NODE_DISABLE_COMPILE_CACHE keeps nothing", () => {
  run(["version"], { NODE_DISABLE_COMPILE_CACHE: "1" });
  expect([...kept().keys()]).toEqual([]);
});

test("a folder that cannot be written is no failure", () => {
  const file = join(cache, "file");
  mkdirSync(cache, { recursive: true });
  writeFileSync(file, "");
  expect(run(["version"], { NODE_COMPILE_CACHE: file })).toContain("Version:");
});
