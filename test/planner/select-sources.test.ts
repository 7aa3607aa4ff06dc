import { chmodSync, chownSync, mkdirSync, readFileSync, renameSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { TsbuildError } from "../../src/errors.ts";
import { textOfBytePath } from "../../src/kernel/byte-path.ts";
import { ContextOrigin } from "../../src/planner/context-origin.ts";
import { FileDigests } from "../../src/planner/file-digests.ts";
import { excludeRules } from "../../src/planner/ignore-rules.ts";
import { missingInContext } from "../../src/planner/missing-source.ts";
import { selectSources } from "../../src/planner/select-sources.ts";
import type { Selection } from "../../src/planner/selection.ts";
import { type Files, memoStore, originOf, temporaryContext, writeFiles } from "./support/context.ts";

interface Wanted {
  readonly sources: readonly string[];
  readonly ignore?: string;
  readonly exclude?: readonly string[];
  readonly parents?: boolean;
}

async function select(folder: string, { sources, ignore, exclude = [], parents = false }: Wanted): Promise<Selection> {
  const origin = originOf(folder, ignore);
  return selectSources(
    {
      origin,
      sources: sources.map((path) => ({ kind: "path", path })),
      parents,
      exclude,
      fetched: new Map(),
      unpackFetched: false,
      missing: (path) => missingInContext(origin, path, { kind: "path", path: "Dockerfile" }, undefined),
      now: 0,
    },
    new AbortController().signal,
  );
}

/** `basename: entry entry`, one a source; what is kept above it stands in front. */
function shown(selection: Selection): readonly string[] {
  return selection.sources.map(({ basename, entries, keptParents }) => {
    const above = keptParents.map((parent) => `${textOfBytePath(parent.path)}/`).join("");
    return `${above}${textOfBytePath(basename)}: ${entries.map((entry) => textOfBytePath(entry.path) || ".").join(" ")}`;
  });
}

interface Row extends Wanted {
  readonly name: string;
  readonly files: Files;
  readonly taken: readonly string[];
}

test.for<Row>([
  { name: "a file", files: { f: "x" }, sources: ["/f"], taken: ["f: ."] },
  {
    name: "a folder, parents first, bytes sorted",
    files: { "d/b": "", "d/a/x": "", "d/a.b": "" },
    sources: ["/d"],
    taken: ["d: . a a/x a.b b"],
  },
  { name: "the root", files: { a: "", "d/b": "" }, sources: ["/"], taken: [": . a d d/b"] },
  {
    name: "a link to a file, under its own name",
    files: { "r/f": "x", l: { link: "r/f" } },
    sources: ["/l"],
    taken: ["l: ."],
  },
  { name: "a link to a folder", files: { "r/f": "x", l: { link: "/r" } }, sources: ["/l"], taken: ["l: . f"] },
  { name: "a path through a link", files: { "r/s/f": "x", l: { link: "r/s" } }, sources: ["/l/f"], taken: ["f: ."] },
  {
    name: "a link that would lead out stops at the root",
    files: { f: "x", "d/l": { link: "../../../f" } },
    sources: ["/d/l"],
    taken: ["l: ."],
  },
  { name: "a wildcard", files: { "d/x": "", "d/sub/y": "", e: "" }, sources: ["/d/*"], taken: ["sub: . y", "x: ."] },
  { name: "a wildcard takes hidden names", files: { ".a": "", b: "" }, sources: ["/*"], taken: [".a: .", "b: ."] },
  { name: "no match takes nothing", files: { a: "" }, sources: ["/nope*"], taken: [] },
  { name: "no match below a file", files: { a: "" }, sources: ["/a/*"], taken: [] },
  {
    name: "a wildcard in the middle",
    files: { "a/1/f": "", "a/2/f": "", "a/3/g": "" },
    sources: ["/a/*/f"],
    taken: ["f: .", "f: ."],
  },
  {
    name: "links are not followed behind a wildcard",
    files: { "a/f": "", l: { link: "a" } },
    sources: ["/?/f"],
    taken: ["f: ."],
  },
  { name: "[[] for a bracket", files: { "[x]": "", y: "" }, sources: ["/[[]x]"], taken: ["[x]: ."] },
  { name: "a wildcard never means two stars", files: { "a/b/c": "" }, sources: ["/**/c"], taken: [] },
  { name: "several in order", files: { a: "", b: "" }, sources: ["/b", "/a", "/b"], taken: ["b: .", "a: .", "b: ."] },
  {
    name: "what is ignored is not there",
    files: { a: "", "d/x.md": "", "d/y": "" },
    ignore: "**/*.md",
    sources: ["/d"],
    taken: ["d: . y"],
  },
  {
    name: "an ignored folder with something kept",
    files: { "d/e/f": "", "d/g": "", x: "" },
    ignore: "*\n!d/e",
    sources: ["/"],
    taken: [": . d d/e d/e/f"],
  },
  {
    name: "an ignored folder with nothing kept",
    files: { "d/g": "", x: "" },
    ignore: "d\n!d/e",
    sources: ["/"],
    taken: [": . x"],
  },
  {
    name: "--exclude is relative to the folder",
    files: { "p/a": "", "p/b": "" },
    exclude: ["p/a"],
    sources: ["/p"],
    taken: ["p: . a b"],
  },
  {
    name: "--exclude of a name in it",
    files: { "p/a": "", "p/b": "" },
    exclude: ["a"],
    sources: ["/p"],
    taken: ["p: . b"],
  },
  {
    name: "--exclude never hides what the source names",
    files: { "p/x.md": "" },
    exclude: ["*.md"],
    sources: ["/p/*"],
    taken: ["x.md: ."],
  },
  {
    name: "--exclude with something taken back",
    files: { "p/d/a": "", "p/d/b": "", "p/e": "" },
    exclude: ["d", "!d/b"],
    sources: ["/p"],
    taken: ["p: . d d/b e"],
  },
  {
    name: "--parents",
    files: { "a/b/c.txt": "", "a/x": "" },
    parents: true,
    sources: ["/a/b/c.txt"],
    taken: ["a/a/b/c.txt: ."],
  },
  { name: "--parents with a pivot", files: { "x/a/f": "" }, parents: true, sources: ["/x/./a/f"], taken: ["a/f: ."] },
  {
    name: "--parents with a wildcard",
    files: { "a/1/f": "", "a/2/f": "" },
    parents: true,
    sources: ["/a/*/f"],
    taken: ["a/a/1/f: .", "a/a/2/f: ."],
  },
  {
    name: "--parents with two stars",
    files: { "a/f": "", "a/b/c/f": "", f: "" },
    parents: true,
    sources: ["/**/f"],
    taken: ["a/a/b/a/b/c/f: .", "a/f: .", "f: ."],
  },
  {
    name: "--parents of a link takes the link",
    files: { f: "", l: { link: "f" } },
    parents: true,
    sources: ["/l"],
    taken: ["l: ."],
  },
  { name: "--parents without a match takes nothing", files: { f: "" }, parents: true, sources: ["/x*"], taken: [] },
])("takes $name", async ({ files, taken, ...wanted }) => {
  using context = temporaryContext(files);
  expect(shown(await select(context.folder, wanted))).toEqual(taken);
});

test("entries carry what is copied, and belong to 0:0", async () => {
  using context = temporaryContext({ "d/f": "hello", "d/l": { link: "f" }, "d/x": { link: "/nowhere" } });
  chmodSync(join(context.folder, "d/f"), 0o4711);
  chownSync(join(context.folder, "d/f"), 5, 6);
  chmodSync(join(context.folder, "d/f"), 0o4711);
  utimesSync(join(context.folder, "d/f"), 1, 2);
  const [source] = (await select(context.folder, { sources: ["/d"] })).sources;
  expect(source?.entries[1]).toEqual({
    path: "f",
    type: "file",
    mode: 0o4711,
    uid: 0,
    gid: 0,
    mtimeNs: 2_000_000_000n,
    size: 5,
    digest: "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824",
    hostPath: join(context.folder, "d/f"),
    content: Buffer.from("hello"),
  });
  expect(source?.entries.slice(2)).toMatchObject([
    { path: "l", type: "symlink", target: "f" },
    { path: "x", type: "symlink", target: "/nowhere" },
  ]);
});

test("names that are not UTF-8 are taken as bytes", async () => {
  using context = temporaryContext({ d: null });
  writeFileSync(Buffer.concat([Buffer.from(`${context.folder}/d/`), Buffer.of(0xff, 0x61)]), "x");
  const [source] = (await select(context.folder, { sources: ["/d"] })).sources;
  expect(source?.entries[1]?.path).toBe("\xffa");
});

interface ChangeRow {
  readonly name: string;
  readonly same: boolean;
  readonly change: (folder: string) => void;
}

test.for<ChangeRow>([
  { name: "touch", same: true, change: (folder) => utimesSync(join(folder, "d/f"), 1, 1) },
  { name: "chown", same: true, change: (folder) => chownSync(join(folder, "d/f"), 7, 7) },
  { name: "a file elsewhere", same: true, change: (folder) => writeFileSync(join(folder, "other"), "") },
  { name: "chmod of a file", same: false, change: (folder) => chmodSync(join(folder, "d/f"), 0o600) },
  { name: "chmod of the folder", same: false, change: (folder) => chmodSync(join(folder, "d"), 0o700) },
  { name: "a new file in it", same: false, change: (folder) => writeFileSync(join(folder, "d/new"), "") },
  {
    name: "another target",
    same: false,
    change: (folder) => {
      renameSync(join(folder, "d/l"), join(folder, "gone"));
      writeFiles(folder, { "d/l": { link: "g" } });
    },
  },
  {
    name: "a link where two equal files were",
    same: false,
    change: (folder) => {
      renameSync(join(folder, "d/g"), join(folder, "gone"));
      writeFiles(folder, { "d/g": { hard: "d/f" } });
    },
  },
  {
    name: "other bytes of equal size and mtime",
    same: false,
    change: (folder) => {
      writeFileSync(join(folder, "d/f"), "SAME!");
      utimesSync(join(folder, "d/f"), 5, 5);
    },
  },
])("after $name the digest is the same: $same", async ({ same, change }) => {
  using context = temporaryContext({ "d/f": "same!", "d/g": "same!", "d/l": { link: "f" } });
  utimesSync(join(context.folder, "d/f"), 5, 5);
  const before = await select(context.folder, { sources: ["/d"] });
  change(context.folder);
  const after = await select(context.folder, { sources: ["/d"] });
  expect(after.digest === before.digest).toBe(same);
});

test("the folder that a source lies in does not count, its own name does", async () => {
  using context = temporaryContext({ "a/x": "1", "b/x": "1", "b/y": "1" });
  const digest = async (path: string): Promise<string> => (await select(context.folder, { sources: [path] })).digest;
  expect(await digest("/a/x")).toBe(await digest("/b/x"));
  expect(await digest("/b/x")).not.toBe(await digest("/b/y"));
});

test("the root's own mode does not count", async () => {
  using context = temporaryContext({ a: "1" });
  const before = await select(context.folder, { sources: ["/"] });
  chmodSync(context.folder, 0o700);
  expect((await select(context.folder, { sources: ["/"] })).digest).toBe(before.digest);
});

interface MissingRow extends Wanted {
  readonly files: Files;
  readonly what: string;
  readonly hint: string | undefined;
}

test.for<MissingRow>([
  { files: { a: "" }, sources: ["/src/app"], what: '"/src/app" not found in the context (1 file)', hint: undefined },
  {
    files: { "src/App": "", b: "" },
    sources: ["/src/app"],
    what: '"/src/app" not found in the context (2 files)',
    hint: 'did you mean "src/App"?',
  },
  {
    files: { "src/app": "" },
    ignore: "#\nsrc",
    sources: ["/src/app"],
    what: '"/src/app" not found in the context (0 files)',
    hint: '"src/app" is excluded by line 2 of .dockerignore: src',
  },
  { files: { l: { link: "gone" } }, sources: ["/l*"], what: '"/l" not found in the context (1 file)', hint: undefined },
  {
    files: { "l/x": "", k: { link: "l" } },
    parents: true,
    sources: ["/k/x"],
    what: '"/k/x" not found in the context (2 files)',
    hint: undefined,
  },
  {
    files: { a: { link: "b" }, b: { link: "a" } },
    sources: ["/a"],
    what: '"/a" not found in the context (2 files)',
    hint: undefined,
  },
])("missing: $what", async ({ files, what, hint, ...wanted }) => {
  using context = temporaryContext(files);
  const error = await select(context.folder, wanted).catch((caught: unknown) => caught);
  expect(error).toBeInstanceOf(TsbuildError);
  expect(error).toMatchObject({ code: "SOURCE_NOT_FOUND", message: what });
  if (hint !== undefined) expect(error).toMatchObject({ hint });
});

test("missing: it lies beside the context", async () => {
  using context = temporaryContext({ "inside/a": "", "shared/b": "" });
  await expect(select(join(context.folder, "inside"), { sources: ["/shared/b"] })).rejects.toMatchObject({
    hint: "it exists outside the context, at ../shared/b: build with the folder above as context",
  });
});

test("digests are remembered for files that are older than a tick of the clock", async () => {
  using context = temporaryContext({ d: null });
  for (let count = 0; count < 20; count++) writeFileSync(join(context.folder, `d/${count}`), `${count}`);
  const memo = memoStore();
  const nodesOf = (): Parameters<FileDigests["of"]>[0] => {
    const origin = originOf(context.folder);
    const folder = origin.lookup("d" as never);
    return folder === undefined ? [] : origin.readdir(folder);
  };
  const signal = new AbortController().signal;
  const old = Date.now() + 40;
  while (Date.now() < old); // the only way to become older than a tick
  const first = new FileDigests(memo, "one", context.folder);
  const digests = await first.of(nodesOf(), signal);
  first.save();
  // Bytes that the signature does not show: only a remembered digest is still the old one.
  const second = new FileDigests(memo, "another process", context.folder);
  const forged = nodesOf().map((node) => ({ ...node, hostPath: "/dev/null" }));
  expect(await second.of(forged, signal)).toEqual(digests);
});

test("10,000 unchanged files are validated without reading them", async () => {
  using context = temporaryContext({});
  const content = "x".repeat(1000);
  for (let folder = 0; folder < 100; folder++) {
    mkdirSync(join(context.folder, `d${folder}`));
    for (let file = 0; file < 100; file++) writeFileSync(join(context.folder, `d${folder}/f${file}`), content);
  }
  const old = Date.now() + 40;
  while (Date.now() < old); // the only way to become older than a tick
  const memo = memoStore();
  let process = 0;
  const run = async (): Promise<{ readonly digest: string; readonly bytesRead: number }> => {
    const before = bytesRead();
    const digests = new FileDigests(memo, `process ${process++}`, context.folder);
    const origin = new ContextOrigin(context.folder, excludeRules([]), digests);
    const selection = await selectSources(
      {
        origin,
        sources: [{ kind: "path", path: "/" }],
        parents: false,
        exclude: [],
        fetched: new Map(),
        unpackFetched: false,
        missing: (path) => new TsbuildError({ code: "SOURCE_NOT_FOUND", what: path }),
        now: 0,
      },
      new AbortController().signal,
    );
    digests.save();
    return { digest: selection.digest, bytesRead: bytesRead() - before };
  };
  const cold = await run();
  const warm = await run();
  expect(warm.digest).toBe(cold.digest);
  expect(cold.bytesRead).toBeGreaterThan(10_000_000);
  expect(warm.bytesRead).toBeLessThan(100_000);
});

/** Of this process, threads included. */
function bytesRead(): number {
  return Number(/^rchar: (\d+)$/m.exec(readFileSync("/proc/self/io", "utf8"))?.[1]);
}

test("a small file that had to be read brings its bytes, so that it is read once", async () => {
  using context = temporaryContext({ "d/a": "of a", "d/big": "x".repeat(100_000) });
  const selection = await select(context.folder, { sources: ["/d"] });
  const [, a, big] = selection.sources[0]?.entries ?? [];
  expect(Buffer.from(a?.content ?? []).toString()).toBe("of a");
  expect(big?.content).toBeUndefined();
});
