import {
  closeSync,
  constants,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { Worker } from "node:worker_threads";
import { expect, test } from "vitest";
import { errnoName } from "../../src/kernel/libc.ts";
import { closeInRoot, O_PATH, openFolderInRoot, openInRoot, pathBelowFd } from "../../src/kernel/resolve-in-root.ts";
import { temporaryTestFolder } from "../support/temporary-folder.ts";

function open(folder: string, path: string, resolution?: Parameters<typeof openInRoot>[3]): string {
  const root = openSync(folder, O_PATH | constants.O_DIRECTORY);
  try {
    const fd = openInRoot(root, path, constants.O_RDONLY, resolution);
    if (fd < 0) return errnoName(fd);
    try {
      return readFileSync(`/proc/self/fd/${fd}`, "utf8");
    } finally {
      closeInRoot(fd);
    }
  } finally {
    closeSync(root);
  }
}

function tree(folder: string): void {
  mkdirSync(`${folder}/etc`);
  writeFileSync(`${folder}/etc/passwd`, "inside");
  symlinkSync("/etc", `${folder}/absolute`);
  symlinkSync("../../../../etc", `${folder}/up`);
  symlinkSync("/proc/self/root/etc", `${folder}/magic`);
  symlinkSync("loop", `${folder}/loop`);
  symlinkSync("etc", `${folder}/good`);
}

test.for([
  { path: "etc/passwd", inRoot: "inside", beneath: "inside", noSymlinks: "inside" },
  { path: "/etc/passwd", inRoot: "inside", beneath: "EXDEV", noSymlinks: "inside" },
  { path: "../../etc/passwd", inRoot: "inside", beneath: "EXDEV", noSymlinks: "inside" },
  { path: "good/passwd", inRoot: "inside", beneath: "inside", noSymlinks: "ELOOP" },
  { path: "absolute/passwd", inRoot: "inside", beneath: "EXDEV", noSymlinks: "ELOOP" },
  { path: "up/passwd", inRoot: "inside", beneath: "EXDEV", noSymlinks: "ELOOP" },
  { path: "magic/passwd", inRoot: "ENOENT", beneath: "EXDEV", noSymlinks: "ELOOP" },
  { path: "loop/passwd", inRoot: "ELOOP", beneath: "ELOOP", noSymlinks: "ELOOP" },
  { path: "etc/passwd/x", inRoot: "ENOTDIR", beneath: "ENOTDIR", noSymlinks: "ENOTDIR" },
  { path: "etc/none", inRoot: "ENOENT", beneath: "ENOENT", noSymlinks: "ENOENT" },
])("$path is $inRoot in the root, $beneath beneath it, $noSymlinks without symlinks", ({ path, ...expected }) => {
  using folder = temporaryTestFolder("files");
  tree(folder.path);
  expect(open(folder.path, path, "in-root")).toBe(expected.inRoot);
  expect(open(folder.path, path, "beneath")).toBe(expected.beneath);
  expect(open(folder.path, path, "no-symlinks")).toBe(expected.noSymlinks);
});

test("a folder's fd reaches its names, bytes and all", () => {
  using folder = temporaryTestFolder("files");
  mkdirSync(`${folder.path}/d`);
  const root = openSync(folder.path, O_PATH | constants.O_DIRECTORY);
  const fd = openFolderInRoot(root, "d");
  writeFileSync(pathBelowFd(fd, Buffer.from("\xff", "latin1")), "x");
  expect(readdirSync(`${folder.path}/d`, { encoding: "latin1" })).toEqual(["\xff"]);
  expect(errnoName(openFolderInRoot(root, "none"))).toBe("ENOENT");
  closeInRoot(fd);
  closeSync(root);
});

test("while another thread swaps a folder with a symlink that leads out, nothing outside is reached", async () => {
  using folder = temporaryTestFolder("files");
  using outside = temporaryTestFolder("files");
  writeFileSync(`${outside.path}/f`, "outside");
  mkdirSync(`${folder.path}/d`);
  writeFileSync(`${folder.path}/d/f`, "inside");
  symlinkSync(outside.path, `${folder.path}/out`);
  const swapper = new Worker(
    `const { renameSync } = require("node:fs"); const { workerData: f } = require("node:worker_threads");
     for (;;) { renameSync(f + "/d", f + "/x"); renameSync(f + "/out", f + "/d"); renameSync(f + "/d", f + "/out"); renameSync(f + "/x", f + "/d"); }`,
    { eval: true, workerData: folder.path },
  );
  try {
    const seen = new Set<string>();
    for (let i = 0; i < 10_000; i++) seen.add(open(folder.path, "d/f"));
    expect([...seen].filter((one) => !["inside", "ENOENT", "EAGAIN"].includes(one))).toEqual([]);
    expect(seen.has("inside")).toBe(true);
  } finally {
    await swapper.terminate();
  }
});
