import {
  chmodSync,
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
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type CopyTask, copyTree } from "../../src/executor/copy-tree.ts";
import { setMtime } from "../../src/kernel/files.ts";
import type { SelectedSource } from "../../src/planner/selection.ts";
import { heredocOf, sourceOf } from "./selection-of.ts";

let folder: string;
let context: string;
let lower: string;
let upper: string;

beforeEach(() => {
  folder = mkdtempSync("/tmp/tsbuild-test-copy-");
  context = `${folder}/context`;
  lower = `${folder}/lower`;
  upper = `${folder}/upper`;
  for (const path of [context, lower, upper]) mkdirSync(path);
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function copy(destination: string, sources: readonly SelectedSource[], more: Partial<CopyTask> = {}): void {
  copyTree({
    upperdir: upper,
    lowerdirs: [lower],
    destination,
    sources,
    owner: undefined,
    chmod: undefined,
    parents: false,
    ...more,
  });
}

/** Makes files and folders (names ending in `/`), `a -> b` links. */
function make(root: string, ...names: readonly string[]): void {
  for (const name of names) {
    const [path = "", target] = name.split(" -> ");
    mkdirSync(`${root}/${path}/..`.replace(/\/[^/]+\/?\/\.\.$/, ""), { recursive: true });
    if (target !== undefined) symlinkSync(target, `${root}/${path}`);
    else if (path.endsWith("/")) mkdirSync(`${root}/${path}`, { recursive: true });
    else writeFileSync(`${root}/${path}`, `${path}\n`);
  }
}

/** What the upperdir holds: `path`, `path/`, `path -> target`, sorted. */
function written(root: string = upper, inside = ""): readonly string[] {
  return readdirSync(`${root}/${inside}`)
    .sort()
    .flatMap((name) => {
      const path = `${inside}${name}`;
      const stats = lstatSync(`${root}/${path}`);
      if (stats.isSymbolicLink()) return [`${path} -> ${readlinkSync(`${root}/${path}`)}`];
      return stats.isDirectory() ? [`${path}/`, ...written(root, `${path}/`)] : [path];
    });
}

const modeOf = (path: string): string => (lstatSync(`${upper}/${path}`).mode & 0o7777).toString(8);
const ownerOf = (path: string): string => `${lstatSync(`${upper}/${path}`).uid}:${lstatSync(`${upper}/${path}`).gid}`;

describe("what goes where", () => {
  test.for([
    { name: "a file to a missing name", below: [], to: "/d", from: ["f"], result: ["d"] },
    {
      name: "a file to a missing name in a missing folder",
      below: [],
      to: "/a/b/d",
      from: ["f"],
      result: ["a/", "a/b/", "a/b/d"],
    },
    { name: "a file over a file", below: ["d"], to: "/d", from: ["f"], result: ["d"] },
    { name: "a file into an existing folder", below: ["d/"], to: "/d", from: ["f"], result: ["d/", "d/f"] },
    { name: "a file to a name with a slash", below: [], to: "/d/", from: ["f"], result: ["d/", "d/f"] },
    { name: "a file to a name with a slash and a dot", below: [], to: "/d/.", from: ["f"], result: ["d/", "d/f"] },
    {
      name: "a folder to a missing name",
      below: [],
      to: "/d",
      from: ["t/x", "t/s/y"],
      result: ["d/", "d/s/", "d/s/y", "d/x"],
    },
    { name: "a folder into an existing folder", below: ["d/z"], to: "/d", from: ["t/x"], result: ["d/", "d/x"] },
    { name: "two files to one name: the last wins", below: [], to: "/d", from: ["a", "b"], result: ["d"] },
    { name: "two files to a folder", below: [], to: "/d/", from: ["a", "b"], result: ["d/", "d/a", "d/b"] },
    { name: "two folders to one name", below: [], to: "/d", from: ["s/x", "t/y"], result: ["d/", "d/x", "d/y"] },
    { name: "an empty folder", below: [], to: "/d", from: ["t/"], result: ["d/"] },
    { name: "to the root", below: [], to: "/", from: ["f"], result: ["f"] },
    { name: "a destination with ..", below: [], to: "/x/../y", from: ["f"], result: ["y"] },
    { name: "through a link to a folder", below: ["r/", "l -> r"], to: "/l/", from: ["f"], result: ["r/", "r/f"] },
    { name: "to a link to a folder", below: ["r/", "l -> /r"], to: "/l", from: ["f"], result: ["r/", "r/f"] },
    {
      name: "to a link to a file",
      below: ["real/file", "l -> /real/file"],
      to: "/l",
      from: ["f"],
      result: ["real/", "real/file"],
    },
    { name: "to a dangling link", below: ["l -> /no/where"], to: "/l", from: ["f"], result: ["no/", "no/where"] },
    { name: "through a link that climbs", below: ["l -> ../../../r"], to: "/l/", from: ["f"], result: ["r/", "r/f"] },
    {
      name: "to a name inside a folder that is a link there",
      below: ["r", "d/f -> /r"],
      to: "/d/",
      from: ["f"],
      result: ["d/", "d/f"],
    },
    {
      name: "a folder over a link that it brings itself",
      below: ["d/l -> /r"],
      to: "/d",
      from: ["t/l -> /q"],
      result: ["d/", "d/l -> /q"],
    },
  ])("$name", ({ below, to, from, result }) => {
    make(lower, ...below);
    make(context, ...from);
    const tops = [...new Set(from.map((name) => name.split(" -> ")[0]?.split("/")[0] ?? ""))];
    copy(
      to,
      tops.map((top) => sourceOf(`${context}/${top}`)),
    );
    expect(written()).toEqual(result);
  });

  test("of several files to one name the last one's bytes stay", () => {
    make(context, "a", "b");
    copy("/d", [sourceOf(`${context}/a`), sourceOf(`${context}/b`)]);
    expect(readFileSync(`${upper}/d`, "utf8")).toBe("b\n");
  });

  test.for([
    { name: "a folder to a file", below: ["d"], to: "/d", from: ["t/x"], says: "/d: it is not a directory" },
    { name: "a file to a file with a slash", below: ["d"], to: "/d/", from: ["f"], says: "/d is not a directory" },
    {
      name: "a file whose place is a folder",
      below: ["d/f/"],
      to: "/d",
      from: ["f"],
      says: "the directory /d/f with a file",
    },
    { name: "below a file", below: ["p"], to: "/p/q/", from: ["f"], says: "/p is not a directory" },
    {
      name: "a folder over a link to a folder inside",
      below: ["r/", "d/s -> /r"],
      to: "/d/",
      from: ["t/s/x"],
      says: "/d/s: it is not a directory",
    },
    {
      name: "a file over a folder inside",
      below: ["d/s/"],
      to: "/d/",
      from: ["t/s"],
      says: "the directory /d/s with a file",
    },
    {
      name: "a loop of links",
      below: ["a -> b", "b -> a"],
      to: "/a/",
      from: ["f"],
      says: "too many levels of symbolic links",
    },
  ])("$name fails and says where", ({ below, to, from, says }) => {
    make(lower, ...below);
    make(context, ...from);
    const top = from[0]?.split("/")[0] ?? "";
    expect(() => copy(to, [sourceOf(`${context}/${top}`)])).toThrow(
      expect.objectContaining({ code: "COPY_FAILED", message: expect.stringContaining(says) }),
    );
  });

  test("a symlink in the image never leads out of it", () => {
    make(lower, `l -> ${folder}/outside`, `up -> ../../../../../..${folder}/outside`);
    mkdirSync(`${folder}/outside`);
    make(context, "f");
    copy("/l/", [sourceOf(`${context}/f`)]);
    copy("/up/", [sourceOf(`${context}/f`)]);
    expect(readdirSync(`${folder}/outside`)).toEqual([]);
    expect(existsSync(`${upper}${folder}/outside/f`)).toBe(true);
  });

  test("a later COPY of the same step sees what an earlier source wrote", () => {
    make(context, "t/l -> /elsewhere", "f");
    copy("/d/", [sourceOf(`${context}/t`), sourceOf(`${context}/f`, { basename: "l" })]);
    expect(written()).toEqual(["d/", "d/l"]);
    expect(readFileSync(`${upper}/d/l`, "utf8")).toBe("f\n");
  });
});

describe("metadata", () => {
  test("of a file is kept, to the nanosecond, all twelve bits", () => {
    make(context, "f");
    chmodSync(`${context}/f`, 0o6754);
    copy("/f", [sourceOf(`${context}/f`)]);
    const from = lstatSync(`${context}/f`, { bigint: true });
    const to = lstatSync(`${upper}/f`, { bigint: true });
    expect({ mode: to.mode, mtime: to.mtimeNs }).toEqual({ mode: from.mode, mtime: from.mtimeNs });
  });

  test("of a file, a folder and a link from before 1970 keeps its time", () => {
    make(context, "t/f", "t/l -> f");
    const from1960 = BigInt(Date.UTC(1960, 0, 2, 3, 4, 5)) * 1_000_000n;
    for (const name of ["t/f", "t/l", "t"]) setMtime(`${context}/${name}`, from1960);
    copy("/d", [sourceOf(`${context}/t`)]);
    for (const name of ["d/f", "d/l", "d"])
      expect(lstatSync(`${upper}/${name}`, { bigint: true }).mtimeNs, name).toBe(from1960);
  });

  test("of a new destination folder is 0755 with the source's time; below it the source's own", () => {
    make(context, "t/s/x");
    chmodSync(`${context}/t`, 0o700);
    chmodSync(`${context}/t/s`, 0o711);
    utimesSync(`${context}/t/s`, 1000, 2000);
    utimesSync(`${context}/t`, 1000, 3000);
    copy("/d", [sourceOf(`${context}/t`)]);
    expect([modeOf("d"), modeOf("d/s")]).toEqual(["755", "711"]);
    expect([lstatSync(`${upper}/d`).mtimeMs, lstatSync(`${upper}/d/s`).mtimeMs]).toEqual([3_000_000, 2_000_000]);
  });

  test("of an existing destination folder stays, but for its time", () => {
    make(lower, "d/");
    chmodSync(`${lower}/d`, 0o1777);
    chownSync(`${lower}/d`, 3, 4);
    make(context, "t/x");
    utimesSync(`${context}/t`, 1000, 3000);
    copy("/d", [sourceOf(`${context}/t`)]);
    expect([modeOf("d"), ownerOf("d"), lstatSync(`${upper}/d`).mtimeMs]).toEqual(["1777", "3:4", 3_000_000]);
  });

  test("of an existing folder inside becomes the source's", () => {
    make(lower, "d/s/");
    chownSync(`${lower}/d/s`, 3, 4);
    make(context, "t/s/x");
    chmodSync(`${context}/t/s`, 0o711);
    copy("/d", [sourceOf(`${context}/t`)]);
    expect([modeOf("d/s"), ownerOf("d/s")]).toEqual(["711", "0:0"]);
  });

  test("of a folder copied up only to hold something deeper keeps its time", () => {
    make(lower, "usr/local/bin/");
    utimesSync(`${lower}/usr/local/bin`, 1, 4000);
    utimesSync(`${lower}/usr/local`, 1, 5000);
    make(context, "f");
    copy("/usr/local/bin/", [sourceOf(`${context}/f`)]);
    expect(lstatSync(`${upper}/usr/local`).mtimeMs).toBe(5_000_000);
    expect(lstatSync(`${upper}/usr/local/bin`).mtimeMs).toBeGreaterThan(1_000_000_000_000);
  });

  test("--chown reaches created parents, folders and files, and not what exists", () => {
    make(lower, "e/");
    make(context, "t/x");
    copy("/e/b", [sourceOf(`${context}/t`)], { owner: { uid: 7, gid: 8 } });
    expect([ownerOf("e"), ownerOf("e/b"), ownerOf("e/b/x")]).toEqual(["0:0", "7:8", "7:8"]);
  });

  test("an octal --chmod reaches created parents, a symbolic one only what is copied", () => {
    make(context, "f");
    copy("/a/", [sourceOf(`${context}/f`)], { chmod: { kind: "octal", mode: 0o640 } });
    copy("/b/", [sourceOf(`${context}/f`)], { chmod: { kind: "symbolic", text: "u=rwx,go=" } });
    expect([modeOf("a"), modeOf("a/f"), modeOf("b"), modeOf("b/f")]).toEqual(["640", "640", "755", "700"]);
  });

  test("owners from a stage are kept", () => {
    make(context, "t/x");
    chownSync(`${context}/t/x`, 11, 12);
    copy("/d", [sourceOf(`${context}/t`, { owners: true })]);
    expect(ownerOf("d/x")).toBe("11:12");
  });
});

test("hard links within one source stay hard links", () => {
  make(context, "t/a");
  linkSync(`${context}/t/a`, `${context}/t/b`);
  copy("/d", [sourceOf(`${context}/t`)]);
  expect(lstatSync(`${upper}/d/a`).ino).toBe(lstatSync(`${upper}/d/b`).ino);
});

test("a heredoc becomes a file", () => {
  copy("/d/", [heredocOf("a", "1\n"), heredocOf("a", "2\n")]);
  expect([written(), readFileSync(`${upper}/d/a`, "utf8"), modeOf("d/a")]).toEqual([["d/", "d/a"], "2\n", "644"]);
});

test("--parents keeps the folders above, with their own modes, below a folder", () => {
  make(context, "x");
  copy("/d", [sourceOf(`${context}/x`, { keptParents: ["a", "a/b"] })], { parents: true });
  expect([written(), modeOf("d"), modeOf("d/a/b")]).toEqual([["d/", "d/a/", "d/a/b/", "d/a/b/x"], "755", "711"]);
});

test("--parents that matches nothing makes the destination, a plain COPY that matches nothing does not", () => {
  copy("/d", [], { parents: true });
  copy("/e", []);
  expect(written()).toEqual(["d/"]);
});

test("names that are not UTF-8 come through byte for byte", () => {
  mkdirSync(`${context}/t`);
  writeFileSync(Buffer.from(`${context}/t/\xff\xe9`, "latin1"), "x");
  copy("/d", [sourceOf(`${context}/t`)]);
  expect(readdirSync(`${upper}/d`, "latin1")).toEqual(["\xff\xe9"]);
});

test("a file that changed after it was selected fails instead of landing under an old key", () => {
  make(context, "f");
  const source = sourceOf(`${context}/f`);
  writeFileSync(`${context}/f`, "other, longer\n");
  expect(() => copy("/f", [source])).toThrow(
    expect.objectContaining({ message: expect.stringContaining("changed while") }),
  );
});

test("a file larger than the buffer is copied whole", () => {
  writeFileSync(`${context}/big`, Buffer.alloc(3_000_001, 7));
  copy("/big", [sourceOf(`${context}/big`)]);
  expect(readFileSync(`${upper}/big`).equals(readFileSync(`${context}/big`))).toBe(true);
});
