import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { afterAll, describe, expect, test } from "vitest";
import { commands } from "../../src/cli/command-table.ts";
import { parseCommand } from "../../src/cli/parse-command.ts";
import { program, sourceProgram, startTsbuild, tsbuild } from "../support/tsbuild.ts";

const cwd = mkdtempSync("/tmp/tsbuild-test-command-line-");
afterAll(() => rmSync(cwd, { recursive: true }));

describe("what is wrong with a command line is said once, with a way out, and exits 2", () => {
  test.for([
    [["imgaes"], "tsbuild: unknown command 'imgaes'\n   hint: did you mean 'images'?\n"],
    [["frobnicate"], "tsbuild: unknown command 'frobnicate'\n   hint: tsbuild --help lists them\n"],
    [["image", "sl"], "tsbuild: unknown command 'image sl'\n   hint: did you mean 'ls'?\n"],
    [["version", "--fromat", "x"], "tsbuild: unknown flag: --fromat\n   hint: did you mean --format?\n"],
    [["version", "--format"], "tsbuild: flag needs a value: --format\n"],
    [["version", "-fz", "-z"], "tsbuild: unknown flag: -z\n"],
    [["version", "--debug=maybe"], 'tsbuild: invalid value "maybe" for --debug: true or false\n'],
    [["--color", "blue", "version"], 'tsbuild: invalid value "blue" for --color: one of auto, always, never\n'],
    [["--root"], "tsbuild: flag needs a value: --root\n"],
    [
      ["-H", "tcp://x", "version"],
      "tsbuild: -H: tsbuild has no daemon to talk to\n   hint: for docker's own, call docker\n",
    ],
    [
      ["tag", "a"],
      [
        "tsbuild: 'tsbuild tag' requires 2 arguments",
        "",
        "Usage:  tsbuild tag SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]",
        "",
        "See 'tsbuild tag --help' for more information",
        "",
      ].join("\n"),
    ],
  ] as const)("%j", async ([args, stderr]) => {
    expect(await tsbuild(args, { cwd })).toEqual({ code: 2, stdout: "", stderr });
  });
});

test.for([[["--version"]], [["-v"]]] as const)("%j prints one line", async ([args]) => {
  const { code, stdout } = await tsbuild(args, { cwd });
  expect(stdout).toMatch(/^tsbuild version \d+\.\d+\.\d+, build [0-9a-z]+\n$/);
  expect(code).toBe(0);
});

test("no word at all prints the help, on stdout", async () => {
  const { code, stdout, stderr } = await tsbuild([], { cwd });
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  expect(stdout).toContain("Usage:  tsbuild [OPTIONS] PATH");
  expect(stdout).toContain("  images");
});

test.for([
  [["image"], "Usage:  tsbuild image COMMAND"],
  [["help", "version"], "Usage:  tsbuild version"],
  [["version", "-h"], "Usage:  tsbuild version"],
  [["image", "ls", "--help"], "Usage:  tsbuild image ls"],
] as const)("%j prints that help and exits 0", async ([args, beginning]) => {
  const { code, stdout } = await tsbuild(args, { cwd });
  expect(stdout.startsWith(beginning)).toBe(true);
  expect(code).toBe(0);
});

test("global flags stand before or after the command word, and in TSBUILD_FLAGS", async () => {
  const version = ["version", "--format", "{{.Client.Version}}"];
  const expected = await tsbuild(version, { cwd });
  expect(expected.stdout).toMatch(/^\d/);
  for (const args of [
    ["--root", cwd, "-D", ...version],
    [...version, "--root", cwd, "--debug"],
    ["--root=/nowhere", ...version, "-D"],
  ]) {
    expect(await tsbuild(args, { cwd })).toEqual(expected);
  }
  expect(await tsbuild(version, { cwd, env: { TSBUILD_FLAGS: "--color never --debug" } })).toEqual(expected);
});

test("a template that does not parse exits 64, one that fails 1, each in one line", async () => {
  expect(await tsbuild(["version", "-f", "{{"], { cwd })).toEqual({
    code: 64,
    stdout: "",
    stderr: "error: template parsing error: template: :1: unclosed action\n",
  });
  const failed = await tsbuild(["version", "-f", "{{.Clent}}"], { cwd });
  expect(failed).toMatchObject({ code: 1, stdout: "" });
  expect(failed.stderr).toBe(
    'error: template: :1: executing "" at <.Clent>: can\'t evaluate field Clent in type object\n   hint: did you mean .Client?\n',
  );
});

test.for([...commands])("the usage of %s is in docker's style", async ([name, entry]) => {
  const help = await parseCommand({ name, entry, words: ["--help"], globals: { debug: false } });
  const usage = help.kind === "help" ? help.text.split("\n")[0] : undefined;
  // Capitals for what the user puts in, brackets for what may be left out.
  expect(usage).toMatch(new RegExp(`^Usage:  tsbuild ${name}(?: |$)`));
  expect(usage).not.toMatch(/[<>]|\[options\]/);
});

test("a stack is shown with --debug and TSBUILD_DEBUG only", async () => {
  const args = ["version", "-f", "{{.Nope}}"];
  expect((await tsbuild(args, { cwd })).stderr).not.toContain("    at ");
  expect((await tsbuild([...args, "--debug"], { cwd })).stderr).toContain("    at ");
  expect((await tsbuild(args, { cwd, env: { TSBUILD_DEBUG: "1" } })).stderr).toContain("    at ");
  expect((await tsbuild(args, { cwd, env: { TSBUILD_DEBUG: "0" } })).stderr).not.toContain("    at ");
});

test("a reader that goes away ends it with 141 and without a word", async () => {
  const child = startTsbuild(["--help"], { cwd });
  child.stdout?.destroy();
  let stderr = "";
  child.stderr?.on("data", (bytes: Buffer) => {
    stderr += bytes;
  });
  const code = await new Promise((resolve) => child.on("close", resolve));
  expect({ code, stderr }).toEqual({ code: 141, stderr: "" });
});

test("a disk that is full under the results is one line and exits 1", () => {
  const { status, stderr } = spawnSync("sh", ["-c", `"${process.execPath}" "${program}" --help > /dev/full`]);
  expect(status).toBe(1);
  expect(stderr.toString()).toMatch(/^error: standard output: ENOSPC: .*\n$/);
});

test.for([
  ["/proc/tsbuild", "/proc/tsbuild: error: "],
  ["/dev/null", "/dev/null: error: "],
  ["/etc", "/etc: error: "],
] as const)("a store at %s is refused in one line", async ([root, beginning]) => {
  const { code, stdout, stderr } = await tsbuild(["--root", root, "images"], { cwd, timeoutMs: 10_000 });
  expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
  expect(stderr.startsWith(beginning)).toBe(true);
});

test("a current folder that was removed is no folder, and no reason to fail", async () => {
  const gone = `${cwd}/gone`;
  const script = `mkdir -p '${gone}'; cd '${gone}'; rmdir '${gone}'; exec '${process.execPath}' '${program}' "$@"`;
  const run = (...words: readonly string[]): { readonly status: number | null; readonly stderr: string } =>
    spawnSync("/bin/sh", ["-c", script, "sh", ...words], {
      encoding: "utf8",
      env: { ...process.env, TSBUILD_ROOT: `${cwd}/store` },
    });
  expect(run("version")).toMatchObject({ status: 0, stderr: "" });
  expect(run("images")).toMatchObject({ status: 0, stderr: "" });
  expect(run("parse", "Dockerfile")).toMatchObject({
    status: 1,
    stderr: expect.stringMatching(/no such file or directory\n$/),
  });
});

test("the sources run as they are", async () => {
  const { code, stdout } = await tsbuild(["--version"], { cwd, program: sourceProgram });
  expect(stdout).toMatch(/^tsbuild version .*, build source\n$/);
  expect(code).toBe(0);
});
