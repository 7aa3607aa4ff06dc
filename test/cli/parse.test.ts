import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { expect, test } from "vitest";
import { temporaryTestFolder } from "../support/temporary-folder.ts";
import { program, tsbuild } from "../support/tsbuild.ts";

test("a good file is printed as a tree, exit 0", async () => {
  using folder = temporaryTestFolder("parse");
  writeFileSync(
    `${folder.path}/Dockerfile`,
    '# syntax=docker/dockerfile:1\nFROM alpine AS b\nFROM b\nARG V=${W:-1} X\n\nRUN --mount=type=cache,target=/x,rw <<E\necho hi\nE\nCOPY --from=b "$V" /d/\nCMD ["a"]\n',
  );
  expect(await tsbuild(["parse"], { cwd: folder.path })).toEqual({
    code: 0,
    stderr: "",
    stdout: [
      "# syntax=docker/dockerfile:1",
      " 2  from",
      "      image          alpine",
      "      stageNameText  b",
      " 3  from",
      "      image  b",
      " 4  arg",
      "      args  V = ${W:-1}  (needs W)",
      "      args  X",
      " 6  run",
      "      command  shell <<E",
      '      heredoc  <<E "echo hi\\n"',
      "      mounts   cache target=/x readonly=false",
      " 9  copy",
      '      sources      "$V"  (needs V)',
      "      destination  /d/",
      "      from         b",
      "10  cmd",
      '      command  exec ["a"]',
      "",
    ].join("\n"),
  });
});

test("every problem goes to stderr, what was understood to stdout, exit 1", async () => {
  using folder = temporaryTestFolder("parse");
  writeFileSync(`${folder.path}/other`, "FROM a\nWORKDIRR /x\n\tENV y\n");
  expect(await tsbuild(["parse", "-f", "other", "."], { cwd: folder.path })).toEqual({
    code: 1,
    stdout: "1  from\n     image  a\n2  invalid WORKDIRR\n     text  WORKDIRR /x\n3  invalid ENV\n     text  ENV y\n",
    stderr: [
      "other:2:1: error: unknown instruction WORKDIRR",
      "    2 | WORKDIRR /x",
      "      | ^^^^^^^^",
      "   hint: did you mean WORKDIR?",
      "",
      "other:3:6: error: ENV y has no value",
      "    3 | \tENV y",
      "      | \t    ^",
      "   hint: write ENV y=VALUE",
      "",
    ].join("\n"),
  });
});

test("--json is the tree and the diagnostics, from a file or from standard input", async () => {
  const { code, stdout, stderr } = await tsbuild(["parse", "--json", "-"], { input: "FROM a\nUSR x\n" });
  expect({ code, stderr }).toEqual({ code: 1, stderr: "" });
  expect(JSON.parse(stdout)).toMatchObject({
    dockerfile: { file: "Dockerfile", escape: "\\", instructions: [{ kind: "from" }, { kind: "invalid" }] },
    diagnostics: [{ severity: "error", code: "unknown-instruction", range: { start: 7, end: 10 } }],
  });
  expect(await tsbuild(["parse", "-f", "-"], { input: "FROM a\n" })).toMatchObject({ code: 0 });
});

test("an input without end is no Dockerfile, and is not kept in memory", async () => {
  const input = Buffer.alloc(33 << 20, "#");
  expect(await tsbuild(["parse", "-"], { input })).toEqual({
    code: 1,
    stdout: "",
    stderr: "error: standard input is not a Dockerfile: it has more than 32 MiB\n",
  });
});

test("a pipe can be the Dockerfile, as a shell's <(…) makes one", () => {
  const script = `printf 'FROM scratch\\n' | { exec 3<&0; exec '${process.execPath}' '${program}' parse -f /dev/fd/3 .; }`;
  const { status, stdout, stderr } = spawnSync("/bin/sh", ["-c", script], { cwd: "/", encoding: "utf8" });
  expect({ status, stderr, stdout }).toEqual({ status: 0, stderr: "", stdout: expect.stringContaining("scratch") });
});

test.for([
  {
    name: "no such file",
    args: ["parse", "-f", "Missing.txt", "."],
    stderr: /^error: open Missing\.txt: no such file or directory\n$/,
  },
  {
    name: "a folder",
    args: ["parse", "-f", "folder", "."],
    stderr: /^error: folder is a directory, not a Dockerfile\n$/,
  },
  {
    name: "noise",
    args: ["parse", "-f", "noise", "."],
    stderr: /^error: noise is not a Dockerfile: it holds binary data\n$/,
  },
  { name: "an empty file", args: ["parse", "-f", "empty", "."], stderr: /^empty:1:1: error: the file is empty\n/ },
  { name: "a pipe nobody writes", args: ["parse", "-f", "pipe", "."], stderr: /^pipe:1:1: error: the file is empty\n/ },
])("$name is one clear line, exit 1", async ({ args, stderr }) => {
  using folder = temporaryTestFolder("parse");
  mkdirSync(`${folder.path}/folder`);
  writeFileSync(`${folder.path}/noise`, Buffer.from(Array.from({ length: 4096 }, (_, index) => (index * 7919) % 256)));
  writeFileSync(`${folder.path}/empty`, "");
  execFileSync("mkfifo", [`${folder.path}/pipe`]);
  const result = await tsbuild(args, { cwd: folder.path });
  expect(result).toMatchObject({ code: 1, stdout: "" });
  expect(result.stderr).toMatch(stderr);
});
