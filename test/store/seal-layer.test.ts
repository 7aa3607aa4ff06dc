import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, statSync, symlinkSync, utimesSync, writeFileSync } from "node:fs";
import { expect } from "vitest";
import { listing, makeLayer, runLayer } from "../support/layers.ts";
import { needs } from "../support/needs.ts";
import { temporaryStore } from "../support/temporary-store.ts";

const test = needs("root");

const base = `mkdir -p d/sub e; echo one > d/f; echo two > d/g; echo three > d/sub/h; ln -s f d/l; echo x > top;
  touch -d @1000 d/f d/g d/sub/h d d/sub e top; echo pair > a1; ln a1 a2; printf '' > empty; mknod dev c 5 6; mkfifo pipe`;

test.for([
  { name: "nothing", script: "true", expected: [] },
  { name: "a look at a file", script: "cat d/f", expected: [] },
  { name: "a new file", script: "echo n > d/n", expected: ["dir d 755 0:0", "file d/n 644 0:0 2"] },
  { name: "a file made and removed", script: "echo n > d/n; rm d/n", expected: [] },
  { name: "a file opened for writing and not written", script: "exec 3<> d/f", expected: [] },
  { name: "a new time of a file", script: "touch -d @2000 top", expected: ["file top 644 0:0 2"] },
  {
    name: "other bytes of the same size and time",
    script: "echo owt > d/g; touch -d @1000 d/g",
    expected: ["dir d 755 0:0", "file d/g 644 0:0 4"],
  },
  { name: "the same bytes and time again", script: "echo two > d/g; touch -d @1000 d/g", expected: [] },
  { name: "a new time of a folder", script: "touch -d @2000 d", expected: [] },
  { name: "a new mode of a folder", script: "chmod 700 d", expected: ["dir d 700 0:0"] },
  { name: "a new owner of a file", script: "chown 7:8 d/f", expected: ["dir d 755 0:0", "file d/f 644 7:8 4"] },
  { name: "a removed file", script: "rm d/f", expected: ["dir d 755 0:0", "whiteout d/f"] },
  { name: "a removed folder", script: "rm -r d", expected: ["whiteout d"] },
  {
    name: "a folder removed and made again",
    script: "rm -r d; mkdir d; echo n > d/n; echo two > d/g; touch -d @1000 d/g; chmod 711 d",
    expected: ["dir d 711 0:0", "whiteout d/f", "whiteout d/l", "file d/n 644 0:0 2", "whiteout d/sub"],
  },
  {
    name: "a folder within one made again",
    script: "rm -r d; mkdir -p d/sub; echo three > d/sub/new",
    expected: [
      "dir d 755 0:0",
      "whiteout d/f",
      "whiteout d/g",
      "whiteout d/l",
      "dir d/sub 755 0:0",
      "whiteout d/sub/h",
      "file d/sub/new 644 0:0 6",
    ],
  },
  {
    name: "a folder in place of a file",
    script: "rm top; mkdir top; echo 1 > top/a",
    expected: ["dir top 755 0:0", "file top/a 644 0:0 2"],
  },
  { name: "a file in place of a folder", script: "rm -r d; echo 1 > d", expected: ["file d 644 0:0 2"] },
  { name: "a symlink in place of a folder", script: "rm -r d; ln -s e d", expected: ["symlink d 777 0:0 -> e"] },
  { name: "one name of a pair written", script: "echo new >> a1", expected: ["file a1 644 0:0 9"] },
  { name: "a link to a file of the layer below", script: "ln d/f copy", expected: ["file copy 644 0:0 4"] },
  {
    name: "links among new files",
    script: "echo 1 > z; ln z d/first; ln z last",
    expected: [
      "dir d 755 0:0",
      "file d/first 644 0:0 2",
      "hardlink last 644 0:0 -> d/first",
      "hardlink z 644 0:0 -> d/first",
    ],
  },
  {
    name: "special modes",
    script: "echo 1 > s; chmod 6755 s; mkdir t; chmod 1777 t",
    expected: ["file s 6755 0:0 2", "dir t 1777 0:0"],
  },
  {
    name: "devices and pipes",
    script: "mknod b b 8 1; mknod c c 1 3; mkfifo p",
    expected: ["block b 644 0:0 8,1", "char c 644 0:0 1,3", "fifo p 644 0:0"],
  },
  { name: "the root's mode", script: "chmod 700 .", expected: [] },
])("a step that makes $name: $expected", async ({ script, expected }) => {
  using temporary = temporaryStore();
  const below = await makeLayer(temporary.store, [], (upper) => void execFileSync("sh", ["-ec", base], { cwd: upper }));
  const chain = await runLayer(temporary.store, below, script);
  expect(listing(temporary.store, chain.at(-1))).toEqual(expected);
});

test("what an opaque folder of a middle layer hid is not given a whiteout again", async () => {
  using temporary = temporaryStore();
  const { store } = temporary;
  const bottom = await makeLayer(store, [], (upper) => void execFileSync("sh", ["-ec", base], { cwd: upper }));
  const middle = await runLayer(store, bottom, "rm -r d; mkdir d; echo m > d/m");
  const top = await runLayer(store, middle, "rm -r d; mkdir d");
  expect(listing(store, top.at(-1))).toEqual(["dir d 755 0:0", "whiteout d/m"]);
});

test("sockets are left out", async () => {
  using temporary = temporaryStore();
  const chain = await makeLayer(temporary.store, [], (upper) => {
    execFileSync("python3", ["-c", "import socket,sys; socket.socket(socket.AF_UNIX).bind('s')"], { cwd: upper });
  });
  expect(listing(temporary.store, chain[0])).toEqual([]);
});

test("a name that begins with .wh. is an error that names it, and leaves nothing", async () => {
  using temporary = temporaryStore();
  const made = makeLayer(temporary.store, [], (upper) => {
    mkdirSync(`${upper}/d`);
    writeFileSync(`${upper}/d/.wh.x`, "");
  });
  await expect(made).rejects.toMatchObject({ code: "UNSUPPORTED", message: expect.stringContaining("/d/.wh.x") });
  expect(readdirSync(`${temporary.root}/layers`)).toEqual([]);
});

test("a large tree is sealed in a worker and its tar has the digest of its diffID", async () => {
  using temporary = temporaryStore();
  const { store } = temporary;
  const write = (upper: string): void => {
    for (let i = 0; i < 300; i++) {
      writeFileSync(`${upper}/f${i}`, `${i}`.repeat(i));
      utimesSync(`${upper}/f${i}`, 1000, 1000);
    }
    symlinkSync("f1", `${upper}/l`);
    writeFileSync(`${upper}/big`, Buffer.alloc(3_000_000, 7));
  };
  const chain = await makeLayer(store, [], write);
  const [id] = chain;
  if (id === undefined) throw new Error("no layer");
  expect(store.layers.index(id)).toHaveLength(302);
  expect(statSync(`${store.layers.tree(id)}/big`).size).toBe(3_000_000);
  const tar = `${temporary.folder}/layer.tar`;
  await store.layers.writeTar(id, tar, new AbortController().signal);
  const sum = execFileSync("sha256sum", [tar], { encoding: "utf8" }).slice(0, 64);
  expect(store.layers.get(id)).toMatchObject({ diffId: `sha256:${sum}`, sizeBytes: statSync(tar).size });
});

test("an aborted seal rejects with the signal's reason and leaves nothing", async () => {
  using temporary = temporaryStore();
  const { store } = temporary;
  const controller = new AbortController();
  await using snapshot = store.layers.prepare([]);
  for (let i = 0; i < 500; i++) writeFileSync(`${snapshot.upperdir}/f${i}`, "x".repeat(20_000));
  {
    await using unsealed = snapshot.commit();
    const sealing = unsealed.seal(controller.signal);
    controller.abort(new Error("enough"));
    await expect(sealing).rejects.toThrow("enough");
  }
  expect(readdirSync(`${temporary.root}/layers`)).toEqual([]);
});

test("a path that no tar of ours can hold is an error, and the tree can be removed all the same", async () => {
  using temporary = temporaryStore();
  const made = makeLayer(temporary.store, [], (upper) => {
    const script = "for i in $(seq 700); do mkdir dddddd && cd dddddd || exit 1; done";
    execFileSync("bash", ["-c", script], { cwd: upper });
  });
  await expect(made).rejects.toMatchObject({ code: "UNSUPPORTED", message: expect.stringContaining("4,096") });
  expect(readdirSync(`${temporary.root}/layers`)).toEqual([]);
});

test("a failed step's tree is kept apart, the newest five", async () => {
  using temporary = temporaryStore();
  for (let i = 0; i < 7; i++) {
    await using snapshot = temporary.store.layers.prepare([]);
    writeFileSync(`${snapshot.upperdir}/f`, `${i}`);
    expect(existsSync(`${snapshot.keepAsFailed(`step ${i}`)}/f`)).toBe(true);
  }
  expect(readdirSync(temporary.store.failedFolder)).toHaveLength(5);
  expect(readdirSync(`${temporary.root}/layers`)).toEqual([]);
});
