/** The package as others install it: packed, installed under another prefix, and used from there. */
import { execFile, execFileSync } from "node:child_process";
import { existsSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { findProgram, lacks } from "../support/needs.ts";
import { type TemporaryTestFolder, temporaryTestFolder } from "../support/temporary-folder.ts";

const root = new URL("../../", import.meta.url).pathname;
const npm = findProgram("npm") ?? "npm";

/** A clone, so that packing does not touch the working copy that other tests run from. */
function clone(to: string): void {
  execFileSync("git", ["clone", "-q", root, to]);
  // What is not committed yet is tested too.
  const changed = execFileSync("git", ["ls-files", "-mo", "--exclude-standard", "--deduplicate"], {
    cwd: root,
    encoding: "utf8",
  });
  for (const file of changed.split("\n").filter((name) => name !== "" && existsSync(join(root, name)))) {
    execFileSync("install", [
      "-D",
      "-m",
      (statSync(join(root, file)).mode & 0o777).toString(8),
      join(root, file),
      join(to, file),
    ]);
  }
  execFileSync("ln", [
    "-s",
    execFileSync("realpath", [join(root, "node_modules")], { encoding: "utf8" }).trim(),
    join(to, "node_modules"),
  ]);
}

describe.skipIf(lacks("npm", "git", "aarch64-linux-gnu-gcc"))("the package", () => {
  let folder: TemporaryTestFolder;
  let program: string;
  let files: readonly string[];
  let unpacked: Record<string, unknown>;
  const prefix = (): string => join(folder.path, "prefix");

  beforeAll(() => {
    folder = temporaryTestFolder("package");
    const copy = join(folder.path, "copy");
    clone(copy);
    const before = readFileSync(join(copy, "package.json"), "utf8");
    const output = execFileSync(npm, ["pack", "--json", "--pack-destination", folder.path], {
      cwd: copy,
      encoding: "utf8",
    });
    expect(readFileSync(join(copy, "package.json"), "utf8")).toBe(before);
    const packed = JSON.parse(output.slice(output.indexOf("[")))[0] as { filename: string; files: { path: string }[] };
    files = packed.files.map(({ path }) => path);
    const tarball = join(folder.path, packed.filename);
    unpacked = JSON.parse(execFileSync("tar", ["-xOf", tarball, "package/package.json"], { encoding: "utf8" }));
    execFileSync(npm, ["install", "-g", "--prefix", prefix(), "--no-audit", "--no-fund", "--prefer-offline", tarball], {
      stdio: ["ignore", "ignore", "pipe"],
    });
    program = join(prefix(), "bin/tsbuild");
  }, 170_000);
  afterAll(() => folder[Symbol.dispose]());

  test("carries launchers for both architectures, types, and its documents", () => {
    for (const file of [
      "dist/tsbuild.cjs",
      "dist/cli.js",
      "dist/rooms.js",
      "dist/index.js",
      "dist/launcher-x64",
      "dist/launcher-arm64",
    ]) {
      expect(files).toContain(file);
    }
    for (const file of ["dist/types/index.d.ts", "LICENSE", "README.md", "CHANGELOG.md"]) expect(files).toContain(file);
    expect(files.filter((file) => /^(?:src|test|node_modules|scripts)\/|\.compiled/.test(file))).toEqual([]);
  });

  test("asks for what it needs to run, and for nothing else", () => {
    expect(Object.keys(unpacked)).not.toContain("devDependencies");
    expect(Object.keys(unpacked)).not.toContain("optionalDependencies");
    expect(Object.keys(unpacked)).not.toContain("scripts");
    expect(Object.keys(unpacked["dependencies"] as object)).toContain("koffi");
  });

  test("builds and runs an image from where it was installed", async () => {
    const env = { ...process.env, TSBUILD_ROOT: join(folder.path, "store") };
    const call = (...args: readonly string[]) => promisify(execFile)(program, args, { env });
    expect((await call("--version")).stdout).toMatch(/^tsbuild version \d/);
    const built = await call("build", "-t", "hello", join(root, "fixtures/hello"));
    expect(built.stderr).toContain("run it with: tsbuild run --rm hello");
    expect((await call("run", "--rm", "hello")).stdout).toContain("Hello from a container!");
  });

  test("is a library too, with types that compile", async () => {
    const lib = join(prefix(), "lib");
    const script = join(lib, "use.mts");
    writeFileSync(
      script,
      'import { parse, type ParseResult } from "tsbuild";\nconst result: ParseResult = parse("FROM scratch\\n", { file: "Dockerfile" });\nconsole.log(result.dockerfile.instructions.length);\n',
    );
    const { stdout } = await promisify(execFile)(process.execPath, [script]);
    expect(stdout).toBe("1\n");
    const tsc = join(root, "node_modules/typescript/bin/tsc");
    const types = join(root, "node_modules/@types");
    const flags = [
      "--noEmit",
      "--strict",
      "--module",
      "nodenext",
      "--target",
      "es2024",
      "--typeRoots",
      types,
      "--types",
      "node",
    ];
    await promisify(execFile)(process.execPath, [tsc, ...flags, script], { cwd: lib });
  });
});

test.skipIf(!isOldNode("/usr/bin/node"))("an old Node is told so in one line", async () => {
  const error = await promisify(execFile)("/usr/bin/node", [join(root, "dist/tsbuild.cjs"), "images"]).catch(
    (failed) => failed,
  );
  expect(error).toMatchObject({ code: 1, stdout: "" });
  expect(error.stderr).toMatch(/^tsbuild: needs Node 24 or newer, and this is v\d+\.\d+\.\d+: .*\n$/);
});

function isOldNode(path: string): boolean {
  if (!existsSync(path)) return false;
  const version = execFileSync(path, ["--version"], { encoding: "utf8" });
  return Number.parseInt(version.slice(1), 10) < 24;
}

test.skipIf(lacks("git"))("without a C compiler the build says in one line what to install", async () => {
  using folder = temporaryTestFolder("no-compiler");
  const bin = join(folder.path, "bin");
  execFileSync("mkdir", [bin]);
  const copy = join(folder.path, "copy");
  clone(copy);
  const error = await promisify(execFile)(process.execPath, [join(copy, "scripts/build.mjs")], {
    env: { ...process.env, PATH: bin },
  }).catch((failed) => failed);
  expect(error).toMatchObject({ code: 1 });
  expect(error.stderr).toMatch(/^build: no C compiler for the \w+ launcher; on Debian: apt-get install gcc\n$/);
});
