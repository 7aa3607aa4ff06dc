import { execFileSync } from "node:child_process";
import {
  chownSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { zstdCompressSync } from "node:zlib";
import { pack } from "tar-stream";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { addTree, holdsTar } from "../../src/executor/add-archive.ts";
import type { CopyTask } from "../../src/executor/copy-tree.ts";
import { needs } from "../support/needs.ts";
import { sourceOf } from "./selection-of.ts";

let folder: string;
let context: string;
let lower: string;
let upper: string;

beforeEach(() => {
  folder = mkdtempSync("/tmp/tsbuild-test-add-");
  context = `${folder}/context`;
  lower = `${folder}/lower`;
  upper = `${folder}/upper`;
  for (const path of [context, lower, upper]) mkdirSync(path);
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

async function add(name: string, destination: string, more: Partial<CopyTask> = {}): Promise<void> {
  const sources = [sourceOf(`${context}/${name}`)];
  const task = {
    upperdir: upper,
    lowerdirs: [lower],
    destination,
    sources,
    owner: undefined,
    chmod: undefined,
    parents: false,
    ...more,
  };
  await addTree(task, new AbortController().signal);
}

interface Member {
  readonly name: string;
  readonly type?: "file" | "directory" | "symlink" | "link" | "character-device" | "fifo";
  readonly linkname?: string;
  readonly content?: string;
  readonly mode?: number;
  readonly uid?: number;
  readonly devmajor?: number;
  readonly devminor?: number;
}

/** A tar of exactly these members, however hostile. */
async function tarOf(members: readonly Member[]): Promise<Buffer> {
  const archive = pack();
  for (const { content, ...header } of members)
    archive.entry({ mtime: new Date(5_000_000), type: "file", ...header }, content ?? "");
  archive.finalize();
  const chunks: Buffer[] = [];
  for await (const chunk of archive) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

describe("what is an archive, by content", () => {
  beforeEach(() => {
    mkdirSync(`${folder}/t`);
    writeFileSync(`${folder}/t/x`, "x\n");
    execFileSync("tar", ["-cf", `${context}/plain.txt`, "-C", `${folder}/t`, "x"]);
    const tar = readFileSync(`${context}/plain.txt`);
    writeFileSync(`${context}/gzip.bin`, execFileSync("gzip", ["-c"], { input: tar }));
    writeFileSync(`${context}/zstd.tgz`, zstdCompressSync(tar));
    writeFileSync(`${context}/text.gz`, execFileSync("gzip", ["-c"], { input: "hello" }));
    writeFileSync(`${context}/liar.gz`, Buffer.from([0x1f, 0x8b, 0x08, 1, 2, 3]));
    writeFileSync(`${context}/empty.tar`, Buffer.alloc(10240));
    writeFileSync(`${context}/nothing.tar`, "");
    writeFileSync(`${context}/note.tar`, "not a tar");
  });

  test.for([
    ["plain.txt", true],
    ["gzip.bin", true],
    ["zstd.tgz", true],
    ["text.gz", false],
    ["liar.gz", false],
    ["empty.tar", false],
    ["nothing.tar", false],
    ["note.tar", false],
  ] as const)("%s: %s", async ([name, expected]) => {
    expect(await holdsTar(`${context}/${name}`)).toBe(expected);
  });

  test.for(["plain.txt", "gzip.bin", "zstd.tgz"])(
    "%s is unpacked into a folder, with or without a slash",
    async (name) => {
      await add(name, "/o");
      await add(name, "/p/");
      expect([readFileSync(`${upper}/o/x`, "utf8"), readFileSync(`${upper}/p/x`, "utf8")]).toEqual(["x\n", "x\n"]);
    },
  );

  test.for(["text.gz", "empty.tar", "nothing.tar"])("%s is copied as a file", async (name) => {
    await add(name, "/o/");
    expect(readdirSync(`${upper}/o`)).toEqual([name]);
  });
});

for (const [program, name] of [
  ["xz", "a.xz"],
  ["bzip2", "a.bz2"],
] as const) {
  needs(program)(`${program} is unpacked`, async () => {
    writeFileSync(
      `${context}/${name}`,
      execFileSync(program, ["-c"], { input: await tarOf([{ name: "x", content: "x" }]) }),
    );
    await add(name, "/");
    expect(readFileSync(`${upper}/x`, "utf8")).toBe("x");
  });
}

test("entries keep mode, time and numeric owner; --chmod does not apply, --chown does", async () => {
  writeFileSync(`${context}/a.tar`, await tarOf([{ name: "d/f", mode: 0o4711, uid: 12, content: "f" }]));
  await add("a.tar", "/o", { chmod: { kind: "octal", mode: 0o600 } });
  const { mode, uid, mtimeMs } = lstatSync(`${upper}/o/d/f`);
  expect([(mode & 0o7777).toString(8), uid, mtimeMs]).toEqual(["4711", 12, 5_000_000]);
  expect((lstatSync(`${upper}/o/d`).mode & 0o7777).toString(8)).toBe("755");
  await add("a.tar", "/p", { owner: { uid: 7, gid: 8 } });
  const [file, folder] = [lstatSync(`${upper}/p/d/f`), lstatSync(`${upper}/p/d`)];
  expect([file.uid, file.gid]).toEqual([7, 8]);
  // No entry makes it, so it is nobody's but root's.
  expect([folder.uid, folder.gid]).toEqual([0, 0]);
});

test("hard links, symlinks, devices and fifos are made", async () => {
  writeFileSync(
    `${context}/a.tar`,
    await tarOf([
      { name: "f", content: "f" },
      { name: "h", type: "link", linkname: "f" },
      { name: "s", type: "symlink", linkname: "/anywhere" },
      { name: "n", type: "character-device", devmajor: 1, devminor: 3 },
      { name: "p", type: "fifo" },
    ]),
  );
  await add("a.tar", "/o");
  expect(lstatSync(`${upper}/o/h`).ino).toBe(lstatSync(`${upper}/o/f`).ino);
  expect(readlinkSync(`${upper}/o/s`)).toBe("/anywhere");
  expect(lstatSync(`${upper}/o/n`).rdev).toBe(0x103);
  expect(lstatSync(`${upper}/o/p`).isFIFO()).toBe(true);
});

test("what exists is replaced, folders are merged", async () => {
  mkdirSync(`${lower}/o/d`, { recursive: true });
  writeFileSync(`${lower}/o/f`, "old");
  writeFileSync(`${lower}/o/d/kept`, "kept");
  chownSync(`${lower}/o/d`, 9, 9);
  writeFileSync(
    `${context}/a.tar`,
    await tarOf([
      { name: "f", content: "new" },
      { name: "d", type: "directory", mode: 0o700 },
    ]),
  );
  await add("a.tar", "/o");
  expect(readFileSync(`${upper}/o/f`, "utf8")).toBe("new");
  expect([lstatSync(`${upper}/o/d`).uid, readdirSync(`${upper}/o/d`)]).toEqual([0, []]);
});

describe("hostile archives stay below the image's root", () => {
  test("names that climb or are absolute land below the destination", async () => {
    writeFileSync(
      `${context}/a.tar`,
      await tarOf([
        { name: "../../../up", content: "1" },
        { name: "/abs", content: "2" },
        { name: "a/../../b", content: "3" },
      ]),
    );
    await add("a.tar", "/o");
    expect(readdirSync(`${upper}/o`).sort()).toEqual(["abs", "b", "up"]);
  });

  test("a symlink of the archive or of the image is followed inside the root only", async () => {
    for (const root of ["", lower]) mkdirSync(`${root}${folder}/outside`, { recursive: true });
    symlinkSync(`${folder}/outside`, `${lower}/l`);
    writeFileSync(
      `${context}/a.tar`,
      await tarOf([
        { name: "m", type: "symlink", linkname: `${folder}/outside` },
        { name: "m/x", content: "x" },
        { name: "n", type: "symlink", linkname: "../../../../../.." },
        { name: `n${folder}/outside/y`, content: "y" },
        { name: "l/z", content: "z" },
      ]),
    );
    await add("a.tar", "/");
    expect(readdirSync(`${folder}/outside`)).toEqual([]);
    expect(readdirSync(`${upper}${folder}/outside`).sort()).toEqual(["x", "y", "z"]);
  });

  test("a symlink that leads nowhere inside the root is no folder to unpack into", async () => {
    mkdirSync(`${folder}/outside`);
    const members = [
      { name: "m", type: "symlink", linkname: `${folder}/outside` } as const,
      { name: "m/x", content: "x" },
    ];
    writeFileSync(`${context}/a.tar`, await tarOf(members));
    await expect(add("a.tar", "/")).rejects.toMatchObject({
      code: "COPY_FAILED",
      message: expect.stringContaining("/m"),
    });
    expect(readdirSync(`${folder}/outside`)).toEqual([]);
  });

  test("a hard link to a file outside is refused by name", async () => {
    writeFileSync(`${folder}/secret`, "s");
    writeFileSync(`${context}/a.tar`, await tarOf([{ name: "h", type: "link", linkname: `../..${folder}/secret` }]));
    await expect(add("a.tar", "/o")).rejects.toMatchObject({
      code: "ARCHIVE_INVALID",
      message: expect.stringContaining("h is a hard link"),
    });
  });

  test("a hard link to a file of the image below copies it up", async () => {
    mkdirSync(`${lower}/o`);
    writeFileSync(`${lower}/o/f`, "f");
    writeFileSync(`${context}/a.tar`, await tarOf([{ name: "h", type: "link", linkname: "f" }]));
    await add("a.tar", "/o");
    expect([readFileSync(`${upper}/o/h`, "utf8"), lstatSync(`${lower}/o/f`).nlink]).toEqual(["f", 1]);
  });

  test("a device 0:0 would be a whiteout and is refused", async () => {
    writeFileSync(`${context}/a.tar`, await tarOf([{ name: "w", type: "character-device", devmajor: 0, devminor: 0 }]));
    await expect(add("a.tar", "/o")).rejects.toMatchObject({ code: "ARCHIVE_INVALID" });
  });

  test("an archive that is cut short fails", async () => {
    const tar = await tarOf([{ name: "f", content: "x".repeat(5000) }]);
    writeFileSync(`${context}/a.tar`, tar.subarray(0, 2000));
    await expect(add("a.tar", "/o")).rejects.toMatchObject({
      code: "ARCHIVE_INVALID",
      message: expect.stringContaining("a.tar"),
    });
  });
});

test(".wh.NAME acts as the removal of NAME", async () => {
  mkdirSync(`${lower}/o`);
  writeFileSync(`${lower}/o/gone`, "x");
  writeFileSync(`${context}/a.tar`, await tarOf([{ name: ".wh.gone" }, { name: ".wh.never" }]));
  await add("a.tar", "/o");
  expect(readdirSync(`${upper}/o`)).toEqual(["gone"]);
  expect(lstatSync(`${upper}/o/gone`)).toMatchObject({ rdev: 0 });
  expect(lstatSync(`${upper}/o/gone`).isCharacterDevice()).toBe(true);
});

test("the time of a folder is that of its entry, whatever is written into it later", async () => {
  writeFileSync(
    `${context}/a.tar`,
    await tarOf([
      { name: "d", type: "directory", mode: 0o755 },
      { name: "d/f", content: "f" },
    ]),
  );
  await add("a.tar", "/");
  expect(lstatSync(`${upper}/d`).mtimeMs).toBe(5_000_000);
});

test("a file beside an archive is copied", async () => {
  writeFileSync(`${context}/f`, "f");
  utimesSync(`${context}/f`, 1, 2);
  linkSync(`${context}/f`, `${context}/g`);
  await add("f", "/o/");
  expect(existsSync(`${upper}/o/f`)).toBe(true);
});
