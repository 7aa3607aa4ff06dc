import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { bytePath } from "../../src/kernel/byte-path.ts";
import { sha256 } from "../../src/oci/digest.ts";
import { FileDigests } from "../../src/planner/file-digests.ts";
import { type FileToHash, hashFiles } from "../../src/planner/hash-files.ts";
import { memoStore, originOf, temporaryContext } from "./support/context.ts";

const signal = new AbortController().signal;

function manyFiles(folder: string, count: number): readonly FileToHash[] {
  mkdirSync(join(folder, "d"));
  return Array.from({ length: count }, (_, index) => {
    const hostPath = join(folder, `d/${index}`);
    writeFileSync(hostPath, `content ${index}`);
    return { hostPath, size: 10 };
  });
}

test.for([1, 500, 501, 1201])("%i files: digests in the order of the files, here or in threads", async (count) => {
  using context = temporaryContext({});
  const files = manyFiles(context.folder, count);
  expect(await hashFiles(files, signal)).toEqual(files.map((_, index) => sha256(`content ${index}`)));
});

test("a file whose name is no text is hashed in a thread too", async () => {
  using context = temporaryContext({});
  const files = [...manyFiles(context.folder, 600)];
  const hostPath = Buffer.concat([Buffer.from(`${context.folder}/d/`), Buffer.of(0xff)]);
  writeFileSync(hostPath, "bytes");
  expect((await hashFiles([...files, { hostPath, size: 5 }], signal)).at(-1)).toBe(sha256("bytes"));
});

test.for([3, 700])("of %i files one that is gone is named", async (count) => {
  using context = temporaryContext({});
  const files = [...manyFiles(context.folder, count)];
  files.splice(2, 0, { hostPath: join(context.folder, "gone"), size: 1 });
  await expect(hashFiles(files, signal)).rejects.toMatchObject({
    code: "SOURCE_NOT_FOUND",
    message: `cannot read ${context.folder}/gone: ENOENT`,
  });
});

test("aborting ends the threads", async () => {
  using context = temporaryContext({});
  const files = manyFiles(context.folder, 2000);
  const controller = new AbortController();
  const hashing = hashFiles(files, controller.signal);
  controller.abort("SIGINT");
  await expect(hashing).rejects.toBe("SIGINT");
});

test("a memo that is damaged counts as none", async () => {
  using context = temporaryContext({ f: "x" });
  for (const damage of ["9 f", "x y\n", "999999 f\n", "1 fshort"]) {
    const memo = memoStore();
    memo.set(`context-digests/1/${sha256(context.folder).slice(7, 39)}`, Buffer.from(damage));
    const node = originOf(context.folder).lookup(bytePath("f"));
    if (node === undefined) throw new Error("no file");
    expect(await new FileDigests(memo, damage, context.folder).of([node], signal)).toEqual([sha256("x")]);
  }
});

test("bytes of a small file are handed over, unless its size is another than it was", async () => {
  using context = temporaryContext({ same: "12345", grown: "123456", shrunk: "1234" });
  const files = ["same", "grown", "shrunk"].map((name) => ({ hostPath: join(context.folder, name), size: 5 }));
  const given = new Map<number, string>();
  await hashFiles(files, signal, (index, content) => given.set(index, content.toString()));
  expect([...given]).toEqual([[0, "12345"]]);
});
