import { chmodSync, chownSync, lstatSync, readFileSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { expect, test } from "vitest";
import { temporaryTestFolder } from "../support/temporary-folder.ts";
import { tsbuild } from "../support/tsbuild.ts";

const untidy = "from   scratch\ncopy  a\tb  /d/  \n";
const tidy = "FROM scratch\nCOPY a b /d/\n";

test("the file of the directory is printed in one style, and stays as it is", async () => {
  using folder = temporaryTestFolder("format");
  writeFileSync(`${folder.path}/Dockerfile`, untidy);
  expect(await tsbuild(["format"], { cwd: folder.path })).toEqual({ code: 0, stdout: tidy, stderr: "" });
  expect(await tsbuild(["format", folder.path])).toEqual({ code: 0, stdout: tidy, stderr: "" });
  expect(await tsbuild(["format", "-"], { input: untidy })).toEqual({ code: 0, stdout: tidy, stderr: "" });
  expect(readFileSync(`${folder.path}/Dockerfile`, "utf8")).toBe(untidy);
});

test("--check names what would change, exit 1; a tidy file is silent, exit 0", async () => {
  using folder = temporaryTestFolder("format");
  writeFileSync(`${folder.path}/a.Dockerfile`, untidy);
  writeFileSync(`${folder.path}/b.Dockerfile`, tidy);
  expect(await tsbuild(["format", "--check", "a.Dockerfile", "b.Dockerfile"], { cwd: folder.path })).toEqual({
    code: 1,
    stdout: "a.Dockerfile\n",
    stderr: "",
  });
  expect(await tsbuild(["format", "--check", "b.Dockerfile"], { cwd: folder.path })).toMatchObject({
    code: 0,
    stdout: "",
  });
});

test("--write keeps owner, mode and the link that leads to the file", async () => {
  using folder = temporaryTestFolder("format");
  writeFileSync(`${folder.path}/real`, untidy);
  chmodSync(`${folder.path}/real`, 0o640);
  if (process.getuid?.() === 0) chownSync(`${folder.path}/real`, 1000, 1001);
  const before = statSync(`${folder.path}/real`);
  symlinkSync("real", `${folder.path}/Dockerfile`);
  expect(await tsbuild(["format", "-w"], { cwd: folder.path })).toEqual({
    code: 0,
    stdout: "",
    stderr: "formatted Dockerfile\n",
  });
  const after = statSync(`${folder.path}/real`);
  expect(readFileSync(`${folder.path}/real`, "utf8")).toBe(tidy);
  expect([after.mode, after.uid, after.gid]).toEqual([before.mode, before.uid, before.gid]);
  expect(lstatSync(`${folder.path}/Dockerfile`).isSymbolicLink()).toBe(true);
  expect(await tsbuild(["format", "-w"], { cwd: folder.path })).toEqual({ code: 0, stdout: "", stderr: "" });
});

test("a file with an error stops it before anything is written", async () => {
  using folder = temporaryTestFolder("format");
  writeFileSync(`${folder.path}/good`, untidy);
  writeFileSync(`${folder.path}/bad`, "FROM scratch\nCOPYY a b\n");
  const { code, stderr } = await tsbuild(["format", "-w", "good", "bad"], { cwd: folder.path });
  expect(code).toBe(1);
  expect(stderr).toContain("bad:2:1: error: unknown instruction COPYY");
  expect(readFileSync(`${folder.path}/good`, "utf8")).toBe(untidy);
});

test("bytes that are not UTF-8 are refused, because they would not survive", async () => {
  using folder = temporaryTestFolder("format");
  writeFileSync(`${folder.path}/Dockerfile`, Buffer.from("FROM scratch\nLABEL a=\xff\n", "latin1"));
  const { code, stderr } = await tsbuild(["format", "-w"], { cwd: folder.path });
  expect({ code, stderr }).toEqual({
    code: 1,
    stderr: "error: Dockerfile holds bytes that are not UTF-8\n   hint: convert it with iconv -t UTF-8\n",
  });
});

test("--check and --write exclude each other", async () => {
  expect(await tsbuild(["format", "--check", "--write"])).toMatchObject({ code: 2 });
  expect(await tsbuild(["format", "--write", "-"])).toMatchObject({ code: 2 });
});
