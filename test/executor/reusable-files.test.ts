import { chmodSync, lstatSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { afterEach, beforeEach, expect, test } from "vitest";
import { copyTree } from "../../src/executor/copy-tree.ts";
import { reusableFiles } from "../../src/executor/reusable-files.ts";
import { type BytePath, bytePath } from "../../src/kernel/byte-path.ts";
import { setMtime } from "../../src/kernel/files.ts";
import { sha256 } from "../../src/oci/digest.ts";
import type { LayerEntry } from "../../src/store/layer-entry.ts";
import { sourceOf } from "./selection-of.ts";

let folder: string;
let context: string;
let earlier: string;

beforeEach(() => {
  folder = mkdtempSync("/tmp/tsbuild-test-reuse-");
  context = `${folder}/context`;
  earlier = `${folder}/earlier`;
  for (const path of [context, earlier]) mkdirSync(path);
  writeFileSync(`${context}/f`, "hello");
  setMtime(`${context}/f`, 1_500_000_000_123_456_789n);
  copy("first", undefined);
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** Copies the context to `/d`; returns the copy's path and inode. */
function copy(name: string, index: readonly LayerEntry[] | undefined): { readonly path: string; readonly ino: bigint } {
  const upperdir = name === "first" ? earlier : `${folder}/${name}`;
  mkdirSync(upperdir, { recursive: true });
  copyTree({
    upperdir,
    lowerdirs: [],
    destination: "/d/",
    sources: [sourceOf(context)],
    owner: undefined,
    chmod: undefined,
    parents: false,
    reusable: index === undefined ? undefined : reusableFiles(earlier, index),
  });
  return { path: `${upperdir}/d/f`, ino: lstatSync(`${upperdir}/d/f`, { bigint: true }).ino };
}

function indexed(change: Partial<Extract<LayerEntry, { type: "file" }>> = {}): readonly LayerEntry[] {
  const digest = sha256("hello");
  const path: BytePath = bytePath("d/f");
  return [{ type: "file", path, mode: 0o644, uid: 0, gid: 0, mtime: 1_500_000_000, size: 5, digest, ...change }];
}

const earlierInode = (): bigint => lstatSync(`${earlier}/d/f`, { bigint: true }).ino;

test("a file that is what it was becomes a further name of the earlier one", () => {
  expect(copy("second", indexed()).ino).toBe(earlierInode());
});

test.for([
  ["other bytes", { digest: sha256("HELLO") }],
  ["another mode", { mode: 0o600 }],
  ["another owner", { uid: 7 }],
  ["another group", { gid: 7 }],
  ["a capability", { capability: "AQAAAg==" }],
  ["another path", { path: bytePath("d/g") }],
] as const)("an earlier file with %s is left alone and a new one written", ([, change]) => {
  const made = copy("second", indexed(change));
  expect(made.ino).not.toBe(earlierInode());
  expect(readFileSync(made.path, "utf8")).toBe("hello");
});

test("a time that differs by a nanosecond is kept by writing a new file", () => {
  setMtime(`${context}/f`, 1_500_000_000_123_456_790n);
  const made = copy("second", indexed());
  expect(made.ino).not.toBe(earlierInode());
  expect(lstatSync(made.path, { bigint: true }).mtimeNs).toBe(1_500_000_000_123_456_790n);
});

test("an earlier layer that has gone meanwhile is no error", () => {
  rmSync(`${earlier}/d`, { recursive: true });
  expect(readFileSync(copy("second", indexed()).path, "utf8")).toBe("hello");
});

test("a changed mode in the context is a new file, and the earlier one stays as it is", () => {
  chmodSync(`${context}/f`, 0o755);
  const made = copy("second", indexed());
  expect(lstatSync(made.path).mode & 0o777).toBe(0o755);
  expect(lstatSync(`${earlier}/d/f`).mode & 0o777).toBe(0o644);
});
