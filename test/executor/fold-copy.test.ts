import { execFileSync } from "node:child_process";
import {
  chmodSync,
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import fc from "fast-check";
import { expect } from "vitest";
import { type CopyTask, copyTree } from "../../src/executor/copy-tree.ts";
import { foldedCopy } from "../../src/executor/fold-copy.ts";
import { setMtime } from "../../src/kernel/files.ts";
import { checkStore } from "../../src/store/check.ts";
import type { Chain, LayerId, Store } from "../../src/store/store.ts";
import { caught } from "../support/caught.ts";
import { keep, makeLayer, never } from "../support/layers.ts";
import { needs } from "../support/needs.ts";
import { type TemporaryStore, temporaryStore } from "../support/temporary-store.ts";
import { sourceOf } from "./selection-of.ts";

const test = needs("root");

type Wanted = Pick<CopyTask, "destination" | "sources"> & Partial<CopyTask>;

const now = 1_700_000_000_123;

function taskOf(store: Store, chain: Chain, upperdir: string, wanted: Wanted): CopyTask {
  return {
    upperdir,
    lowerdirs: store.layers.trees(chain),
    owner: undefined,
    chmod: undefined,
    parents: false,
    ...wanted,
  };
}

/** The layer as one tar; undefined when that is refused. */
async function fold(store: Store, chain: Chain, wanted: Wanted, earlier?: LayerId): Promise<LayerId | undefined> {
  await using snapshot = store.layers.prepare(chain);
  const tar = earlier === undefined ? undefined : store.layers.foldedTar(earlier, 1 << 30);
  const folded = foldedCopy(taskOf(store, chain, snapshot.upperdir, wanted), tar, now);
  if (folded === undefined) return undefined;
  for (const _ of snapshot.fold(folded));
  await using unsealed = snapshot.commit();
  const { id } = await unsealed.seal(never);
  keep(store, [...chain, id]);
  return id;
}

/** The same, made on the disk. */
async function copy(store: Store, chain: Chain, wanted: Wanted): Promise<LayerId | undefined> {
  const layers = await makeLayer(store, chain, (upperdir) => copyTree(taskOf(store, chain, upperdir, wanted)));
  return layers.at(-1);
}

/** Every name of a tree with all that stat says but inode numbers, and each file's bytes. Times of `new` folders are not compared. */
function treeOf(root: string, inside = ""): readonly string[] {
  const format = "%n %f %u:%g %h %y";
  return readdirSync(`${root}${inside}`)
    .sort()
    .flatMap((name) => {
      const path = `${inside}/${name}`;
      const line = execFileSync("stat", ["-c", format, `${root}${path}`], { encoding: "utf8" })
        .replace(root, "")
        .trim();
      if (/ 4[0-9a-f]{3} /.test(line)) return [line.replace(/ \d+ [^ ]+ [^ ]+ [^ ]+$/, ""), ...treeOf(root, path)];
      return [/ 8[0-9a-f]{3} /.test(line) ? `${line} ${readFileSync(`${root}${path}`, "hex")}` : line];
    });
}

/** Folders that no source gives a time have that of the copy: all times of folders are left out. */
function entriesOf(store: Store, id: LayerId | undefined): readonly unknown[] {
  if (id === undefined) return [];
  return store.layers.index(id).map((entry) => (entry.type === "dir" ? { ...entry, mtime: 0 } : entry));
}

function fillContext(temporary: TemporaryStore): string {
  const context = `${temporary.folder}/context`;
  mkdirSync(`${context}/src/deep/er`, { recursive: true });
  mkdirSync(`${context}/src/empty`);
  writeFileSync(`${context}/src/a`, "a\n");
  writeFileSync(`${context}/src/deep/b`, Buffer.alloc(70_000, "b"), { mode: 0o4755 });
  writeFileSync(`${context}/src/deep/er/none`, "");
  linkSync(`${context}/src/a`, `${context}/src/deep/again`);
  symlinkSync("../a", `${context}/src/deep/link`);
  writeFileSync(`${context}/src/${"long".repeat(30)}`, "x");
  writeFileSync(`${context}/one`, "one");
  setMtime(`${context}/src/a`, 1_600_000_000_987_654_321n);
  return context;
}

test.for([
  { name: "to a folder that is not there", destination: "/app/" },
  { name: "to one that is there", destination: "/usr/share" },
  { name: "to the root", destination: "/" },
  { name: "through a link of the image", destination: "/lnk/x" },
  {
    name: "with an owner and a mode",
    destination: "/app",
    owner: { uid: 5, gid: 6 },
    chmod: { kind: "octal", mode: 0o640 },
  },
  { name: "with the folders above", destination: "/app", parents: true },
] satisfies (Partial<CopyTask> & { name: string })[])(
  "a folded COPY $name has the layer, and unfolded the tree, that a COPY makes",
  async ({ name: _, ...wanted }) => {
    using temporary = temporaryStore();
    const { store } = temporary;
    const context = fillContext(temporary);
    const base = await makeLayer(store, [], (upper) => {
      mkdirSync(`${upper}/usr/share`, { recursive: true });
      mkdirSync(`${upper}/lib64`);
      symlinkSync("lib64", `${upper}/lnk`);
      writeFileSync(`${upper}/usr/share/other`, "other");
    });
    const task = { ...wanted, sources: [sourceOf(`${context}/src`)] };
    const folded = await fold(store, base, task);
    const made = await copy(store, base, task);
    if (folded === undefined || made === undefined) throw new Error("no layer");
    expect(entriesOf(store, folded)).toEqual(entriesOf(store, made));
    expect(store.layers.isFolded(folded)).toBe(true);
    expect((await checkStore(store, { signal: never })).faults).toEqual([]);
    const before = await tarOf(temporary, folded);

    expect(treeOf(store.layers.tree(folded))).toEqual(treeOf(store.layers.tree(made)));
    expect(readdirSync(`${temporary.root}/layers/${folded}`).sort()).toEqual(["index", "tree"]);
    expect((await checkStore(store, { signal: never })).faults).toEqual([]);
    expect((await tarOf(temporary, folded)).equals(before)).toBe(true);
  },
);

async function tarOf({ store, folder }: TemporaryStore, id: LayerId): Promise<Buffer> {
  await store.layers.writeTar(id, `${folder}/tar`, never);
  return readFileSync(`${folder}/tar`);
}

test("a COPY to the name of a whiteout is not folded", async () => {
  using temporary = temporaryStore();
  const sources = [sourceOf(`${fillContext(temporary)}/one`)];
  expect(await fold(temporary.store, [], { destination: "/d/.wh.one", sources })).toBeUndefined();
});

test("over files of the layers below, a folded COPY has those that differ", async () => {
  using temporary = temporaryStore();
  const { store } = temporary;
  const context = `${temporary.folder}/context`;
  mkdirSync(`${context}/d`, { recursive: true });
  const base = await makeLayer(store, [], (upper) => {
    mkdirSync(`${upper}/d`);
    for (const [name, below, above] of [
      ["same", "1", "1"],
      ["content", "1", "2"],
      ["size", "1", "12"],
      ["time", "1", "1"],
      ["mode", "1", "1"],
    ] as const) {
      for (const [root, content] of [
        [upper, below],
        [context, above],
      ] as const) {
        writeFileSync(`${root}/d/${name}`, content);
        setMtime(`${root}/d/${name}`, 1_000_000_000n);
      }
    }
    setMtime(`${context}/d/time`, 1_000_000_001n);
    chmodSync(`${context}/d/mode`, 0o600);
  });
  const task = { destination: "/d", sources: [sourceOf(`${context}/d`)] };
  const folded = await fold(store, base, task);
  expect(entriesOf(store, folded)).toEqual(entriesOf(store, await copy(store, base, task)));
  if (folded === undefined) throw new Error("not folded");
  expect(store.layers.index(folded).map(({ path }) => path)).toEqual(["d", "d/content", "d/mode", "d/size", "d/time"]);
});

test("a file that changed since it was looked at ends the copy, and nothing of the layer stays", async () => {
  using temporary = temporaryStore();
  const { store, root } = temporary;
  const context = fillContext(temporary);
  const sources = [sourceOf(`${context}/src`)];
  writeFileSync(`${context}/src/deep/b`, "other");
  await expect(fold(store, [], { destination: "/", sources })).rejects.toMatchObject({ code: "COPY_FAILED" });
  temporary.reopen();
  expect([readdirSync(`${root}/layers`), readdirSync(`${root}/tmp`)]).toEqual([[], []]);
});

test("with an earlier layer at hand, what did not change is not read again", async () => {
  using temporary = temporaryStore();
  const { store } = temporary;
  const context = fillContext(temporary);
  const earlier = await fold(store, [], { destination: "/", sources: [sourceOf(`${context}/src`)] });
  writeFileSync(`${context}/src/a`, "now\n");
  const sources = [sourceOf(`${context}/src`)];
  const fresh = await fold(store, [], { destination: "/", sources });
  // Of this file nothing is left but what the earlier layer has.
  writeFileSync(`${context}/src/deep/b`, "");
  const folded = await fold(store, [], { destination: "/", sources }, earlier);
  if (folded === undefined || fresh === undefined) throw new Error("not folded");
  expect(store.layers.index(folded)).toEqual(store.layers.index(fresh));
  expect(store.layers.get(folded).diffId).toBe(store.layers.get(fresh).diffId);
});

test("a folded layer whose tar is damaged is a fault of the store, and no tree is made of it", async () => {
  using temporary = temporaryStore();
  const { store, root } = temporary;
  const context = fillContext(temporary);
  const folded = await fold(store, [], { destination: "/", sources: [sourceOf(`${context}/src`)] });
  if (folded === undefined) throw new Error("not folded");
  const tar = readFileSync(`${root}/layers/${folded}/tar`);
  writeFileSync(`${root}/layers/${folded}/tar`, tar.subarray(0, 2000));
  expect((await checkStore(store, { signal: never })).faults).toEqual([
    { kind: "layer", subject: folded, message: "its tar is damaged" },
  ]);
  expect(caught(() => store.layers.tree(folded))).toMatchObject({ code: "STORE_CORRUPT" });
  expect(existsSync(`${root}/layers/${folded}/tree`)).toBe(false);
});

/** Names of a small alphabet, so that they meet. */
const nameOf = fc.constantFrom("a", "b", "c.d", "c", "é");
const pathOf = fc.array(nameOf, { minLength: 1, maxLength: 3 }).map((names) => names.join("/"));

test("any two trees, one copied over the other: folded, the same layer or a refusal", { timeout: 60_000 }, async () => {
  using temporary = temporaryStore();
  const { store, folder } = temporary;
  let run = 0;
  let folds = 0;
  await fc.assert(
    fc.asyncProperty(
      fc.array(pathOf, { maxLength: 4 }),
      fc.array(pathOf, { minLength: 1, maxLength: 6 }),
      fc.constantFrom("/", "/a", "/a/b/"),
      fc.constantFrom("of its own", "of all"),
      async (below, above, destination, time) => {
        const context = `${folder}/random-${run++}`;
        mkdirSync(context);
        for (const path of above) makeFile(context, path, time);
        const base = await makeLayer(store, [], (upper) => {
          for (const path of below) makeFile(upper, path, time);
        });
        const task = { destination, sources: [sourceOf(context)] };
        let made: LayerId | undefined;
        try {
          made = await copy(store, base, task);
        } catch (error) {
          // Refused before it comes to that, or the same error.
          const outcome = await fold(store, base, task).catch((folding: Error) => folding.message);
          expect([undefined, (error as Error).message]).toContain(outcome);
          return;
        }
        const folded = await fold(store, base, task);
        if (folded === undefined) return;
        folds += 1;
        expect(entriesOf(store, folded)).toEqual(entriesOf(store, made));
      },
    ),
    { numRuns: 100 },
  );
  expect(folds).toBeGreaterThan(20);
});

/** Nothing where a file is in the way. */
function makeFile(root: string, path: string, time: "of its own" | "of all"): void {
  try {
    mkdirSync(`${root}/${path}`.replace(/\/[^/]*$/, ""), { recursive: true });
    writeFileSync(`${root}/${path}`, path);
    if (time === "of all") setMtime(`${root}/${path}`, 1_000_000_000n);
  } catch {
    // a file where a folder should be, or the other way round
  }
}
