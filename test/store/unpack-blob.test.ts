import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { existsSync, lstatSync, mkdirSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from "node:fs";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { expect } from "vitest";
import { bytePath } from "../../src/kernel/byte-path.ts";
import { getXattr, listXattrs } from "../../src/kernel/xattr.ts";
import type { DiffId, Digest } from "../../src/oci/digest.ts";
import { checkStore } from "../../src/store/check.ts";
import { layeredView } from "../../src/store/layered-view.ts";
import type { Chain } from "../../src/store/store.ts";
import { addTar, descriptorOf, listing, makeLayer, never, runLayer, writeBytes } from "../support/layers.ts";
import { needs } from "../support/needs.ts";
import { type RawEntry, rawTar } from "../support/raw-tar.ts";
import { type TemporaryStore, temporaryStore } from "../support/temporary-store.ts";

const test = needs("root");

async function unpack(temporary: TemporaryStore, entries: readonly RawEntry[], parents: Chain = []): Promise<Chain> {
  const file = writeBytes(`${temporary.folder}/in.tar`, rawTar(entries));
  return [...parents, await addTar(temporary.store, file, parents)];
}

const dir = (name: string, more: Partial<RawEntry> = {}): RawEntry => ({ name, type: "5", mode: 0o755, ...more });
const file = (name: string, content = "x", more: Partial<RawEntry> = {}): RawEntry => ({
  name,
  type: "0",
  content,
  ...more,
});
const symlink = (name: string, linkName: string): RawEntry => ({ name, type: "2", linkName });
const link = (name: string, linkName: string): RawEntry => ({ name, type: "1", linkName });

test.for([
  { name: "a name with ..", entries: [file("../x")], message: /with \.\./ },
  { name: ".. in the middle", entries: [dir("a"), file("a/../../x")], message: /with \.\./ },
  { name: "a link to ..", entries: [link("x", "../../etc/passwd")], message: /with \.\./ },
  { name: "a NUL in a name", entries: [{ name: "x", type: "0", content: "", pax: { path: "a\0b" } }], message: /NUL/ },
  {
    name: "an over-long name",
    entries: [{ name: "x", type: "0", pax: { path: `${"a/".repeat(3000)}b` } }],
    message: /too long/,
  },
  {
    name: "an over-long component",
    entries: [{ name: "x", type: "0", pax: { path: "a".repeat(256) } }],
    message: /component/,
  },
  { name: "something below a file", entries: [file("a"), file("a/b")], message: /below \/?a/ },
  {
    name: "something below a symlink that leads nowhere",
    entries: [symlink("a", "nowhere"), file("a/b")],
    message: /no directory/,
  },
  { name: "something below a loop", entries: [symlink("a", "a"), file("a/b")], message: /no directory/ },
  { name: "a hard link to nothing", entries: [link("a", "nothing")], message: /nowhere/ },
  { name: "a hard link to a folder", entries: [dir("d"), link("a", "d")], message: /directory/ },
  {
    name: "a hard link through a symlink that leads out",
    entries: [symlink("out", "/etc"), link("a", "out/passwd")],
    message: /nowhere/,
  },
  { name: "the device that overlayfs takes for a whiteout", entries: [{ name: "c", type: "3" }], message: /0\/0/ },
  { name: "a whiteout of nothing", entries: [file(".wh.", "")], message: /no name/ },
  { name: "a whiteout of the folder itself", entries: [file(".wh..", "")], message: /no name/ },
  { name: "a whiteout of the folder above", entries: [file("d/.wh...", "")], message: /no name/ },
  { name: "an owner out of range", entries: [file("x", "", { pax: { uid: "4294967296" } })], message: /out of range/ },
  { name: "a negative size", entries: [file("x", "", { pax: { size: "-1" } })], message: /no number/ },
  { name: "a symlink without a target", entries: [symlink("x", "")], message: /target/ },
  { name: "a root that is a file", entries: [file("./", "")], message: /root/ },
  { name: "a huge PAX header", entries: [{ name: "x", type: "x", declaredSize: 2 ** 30 }], message: /too long/ },
] satisfies { name: string; entries: readonly RawEntry[]; message: RegExp }[])(
  "an archive with $name is refused, and nothing of it stays",
  async ({ entries, message }) => {
    using temporary = temporaryStore();
    await expect(unpack(temporary, entries)).rejects.toMatchObject({
      code: "ARCHIVE_INVALID",
      message: expect.stringMatching(message),
    });
    const store = temporary.reopen();
    expect(readdirSync(`${temporary.root}/layers`)).toEqual([]);
    expect(readdirSync(`${temporary.root}/blobs/sha256`)).toEqual([]);
    expect(readdirSync(`${temporary.root}/tmp`)).toEqual([]);
    expect((await checkStore(store, { signal: never })).faults).toEqual([]);
  },
);

test.for([
  { name: "an absolute name", entries: [file("/etc/x")], expected: ["dir etc 755 0:0", "file etc/x 644 0:0 1"] },
  { name: "dots and doubled slashes", entries: [file("./a//./b")], expected: ["dir a 755 0:0", "file a/b 644 0:0 1"] },
  { name: "a backslash", entries: [file("a\\..\\b")], expected: ["file a\\..\\b 644 0:0 1"] },
  {
    name: "a file through a symlink of the same archive",
    entries: [dir("usr"), dir("usr/lib"), symlink("lib", "usr/lib"), file("lib/x")],
    expected: ["symlink lib 777 0:0 -> usr/lib", "dir usr 755 0:0", "dir usr/lib 755 0:0", "file usr/lib/x 644 0:0 1"],
  },
  {
    name: "a file through an absolute symlink, which stays inside",
    entries: [dir("tmp"), symlink("a", "/tmp"), file("a/x")],
    expected: ["symlink a 777 0:0 -> /tmp", "dir tmp 755 0:0", "file tmp/x 644 0:0 1"],
  },
  {
    name: "a symlink that is replaced by a folder",
    entries: [dir("t"), symlink("a", "/t"), dir("a"), file("a/x")],
    expected: ["dir a 755 0:0", "file a/x 644 0:0 1", "dir t 755 0:0"],
  },
  {
    name: "a folder that is replaced by a symlink in the middle",
    entries: [dir("t"), dir("a"), file("a/1"), symlink("a", "t"), file("a/2")],
    expected: ["symlink a 777 0:0 -> t", "dir t 755 0:0", "file t/2 644 0:0 1"],
  },
  {
    name: "a folder replaced by a file and made again",
    entries: [dir("a"), dir("a/b"), file("a/b/c"), file("a"), dir("a"), file("a/z")],
    expected: ["dir a 755 0:0", "file a/z 644 0:0 1"],
  },
  { name: "a name twice", entries: [file("a", "old"), file("a", "newer")], expected: ["file a 644 0:0 5"] },
  {
    name: "a folder twice",
    entries: [dir("a"), file("a/x"), dir("a", { mode: 0o700 })],
    expected: ["dir a 700 0:0", "file a/x 644 0:0 1"],
  },
  {
    name: "a file written again after a link to it was made",
    entries: [file("a", "1"), link("b", "a"), file("a", "22")],
    expected: ["file a 644 0:0 2", "file b 644 0:0 1"],
  },
  {
    name: "links in another order than names",
    entries: [file("z", "1"), link("a", "z")],
    expected: ["file a 644 0:0 1", "hardlink z 644 0:0 -> a"],
  },
  {
    name: "a hard link to a symlink",
    entries: [symlink("s", "x"), link("t", "s")],
    expected: ["symlink s 777 0:0 -> x", "symlink t 777 0:0 -> x"],
  },
  { name: "an old tar's folder", entries: [{ name: "d/", type: "\0", mode: 0o755 }], expected: ["dir d 755 0:0"] },
  { name: "kinds nobody knows", entries: [{ name: "v", type: "V" }, file("a")], expected: ["file a 644 0:0 1"] },
  {
    name: "aufs's own files",
    entries: [file(".wh..wh.aufs", ""), dir(".wh..wh.plnk"), file("a")],
    expected: ["file a 644 0:0 1"],
  },
  { name: "whiteouts of nothing", entries: [file("d/.wh.x", "")], expected: ["dir d 755 0:0", "whiteout d/x"] },
  { name: "a whiteout behind what it names", entries: [file("x"), file(".wh.x", "")], expected: ["file x 644 0:0 1"] },
  { name: "a whiteout before what it names", entries: [file(".wh.x", ""), file("x")], expected: ["file x 644 0:0 1"] },
  {
    name: "a whiteout before a folder",
    entries: [file(".wh.d", ""), dir("d")],
    expected: ["dir d 755 0:0", "opaque d"],
  },
  {
    name: "a whiteout before what lies in the folder that has no entry",
    entries: [file(".wh.d", ""), file("d/x")],
    expected: ["dir d 755 0:0", "opaque d", "file d/x 644 0:0 1"],
  },
  {
    name: "a whiteout behind a folder",
    entries: [dir("d"), file("d/x"), file(".wh.d", "")],
    expected: ["dir d 755 0:0", "opaque d", "file d/x 644 0:0 1"],
  },
  {
    name: "an opaque marker behind content",
    entries: [dir("d"), file("d/x"), file("d/.wh..wh..opq", "")],
    expected: ["dir d 755 0:0", "opaque d", "file d/x 644 0:0 1"],
  },
  {
    name: "devices",
    entries: [
      { name: "c", type: "3", major: 1, minor: 3 },
      { name: "b", type: "4", major: 259, minor: 70000 },
    ],
    expected: ["block b 644 0:0 259,70000", "char c 644 0:0 1,3"],
  },
  {
    name: "set-user-ID with an owner",
    entries: [file("s", "x", { mode: 0o4755, uid: 1000, gid: 50 })],
    expected: ["file s 4755 1000:50 1"],
  },
  {
    name: "large owners",
    entries: [file("s", "x", { pax: { uid: "3000000", gid: "2147483647" } })],
    expected: ["file s 644 3000000:2147483647 1"],
  },
] satisfies { name: string; entries: readonly RawEntry[]; expected: readonly string[] }[])(
  "an archive with $name gives $expected",
  async ({ entries, expected }) => {
    using temporary = temporaryStore();
    const chain = await unpack(temporary, entries);
    expect(listing(temporary.store, chain[0])).toEqual(expected);
    expect((await checkStore(temporary.store, { signal: never })).faults).toEqual([]);
  },
);

test("what is below a parent that the archive has no entry for keeps its mode and owner", async () => {
  using temporary = temporaryStore();
  const base = await unpack(temporary, [dir("var", { mode: 0o700, uid: 5, gid: 6 })]);
  const chain = await unpack(temporary, [file("var/new/x")], base);
  expect(listing(temporary.store, chain[1])).toEqual([
    "dir var 700 5:6",
    "dir var/new 755 0:0",
    "file var/new/x 644 0:0 1",
  ]);
});

test("whiteouts and opaque folders hide what lies below, in a view and in a mount", async () => {
  using temporary = temporaryStore();
  const { store } = temporary;
  const base = await unpack(temporary, [dir("d"), file("d/a"), file("d/b"), dir("e"), file("e/a"), file("f")]);
  const chain = await unpack(
    temporary,
    [dir("d"), file("d/.wh..wh..opq", ""), file("d/n"), file("e/.wh.a", ""), file(".wh.f", "")],
    base,
  );
  const view = layeredView(store.layers.trees(chain));
  const top = view.lookup(bytePath("/"));
  const d = view.lookup(bytePath("d"));
  const names = (found: typeof top): readonly string[] =>
    found === undefined ? [] : view.readdir(found).map((one) => one.path);
  expect([names(top), names(d), names(view.lookup(bytePath("e")))]).toEqual([["d", "e"], ["d/n"], []]);
  const seen = await runLayer(
    store,
    chain,
    "find . | sort > /dev/shm/tsbuild-test-seen-$PPID; cat /dev/shm/tsbuild-test-seen-$PPID > listing; rm /dev/shm/tsbuild-test-seen-$PPID",
  );
  expect(readFileSync(`${store.layers.tree(seen.at(-1) as never)}/listing`, "utf8")).toBe(".\n./d\n./d/n\n./e\n");
});

test("an opaque root hides every name below", async () => {
  using temporary = temporaryStore();
  const base = await unpack(temporary, [file("a"), dir("d"), file("d/x")]);
  const chain = await unpack(temporary, [file(".wh..wh..opq", ""), dir("d"), file("n")], base);
  expect(listing(temporary.store, chain[1])).toEqual(["whiteout a", "dir d 755 0:0", "opaque d", "file n 644 0:0 1"]);
});

test("a hard link to a file of a layer below is a copy of it", async () => {
  using temporary = temporaryStore();
  const base = await unpack(temporary, [file("a", "content", { mode: 0o640, uid: 3 })]);
  const chain = await unpack(temporary, [link("b", "a")], base);
  expect(listing(temporary.store, chain[1])).toEqual(["file b 640 3:0 7"]);
});

test("of the attributes only capabilities and harmless ones are kept", async () => {
  using temporary = temporaryStore();
  const capability = "\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00";
  const pax = {
    "SCHILY.xattr.security.capability": capability,
    "SCHILY.xattr.user.mine": "kept",
    "SCHILY.xattr.user.overlay.opaque": "y",
    "SCHILY.xattr.trusted.overlay.redirect": "/etc",
    "SCHILY.xattr.trusted.overlay.metacopy": "",
    "SCHILY.xattr.security.selinux": "label",
  };
  const chain = await unpack(temporary, [
    file("f", "x", { pax }),
    dir("d", { pax: { "SCHILY.xattr.trusted.overlay.opaque": "y" } }),
  ]);
  const tree = temporary.store.layers.tree(chain[0] as never);
  expect(listXattrs(`${tree}/f`).toSorted()).toEqual(["security.capability", "user.mine"]);
  expect(listXattrs(`${tree}/d`)).toEqual([]);
  expect(getXattr(`${tree}/f`, "security.capability")?.toString("latin1")).toBe(capability);
  expect(temporary.store.layers.index(chain[0] as never).find((entry) => entry.path === "f")).toMatchObject({
    capability: Buffer.from(capability, "latin1").toString("base64"),
  });
});

test("names that are not UTF-8 come through, and go again", async () => {
  using temporary = temporaryStore();
  const name = "caf\xe9\xff/\x80";
  const chain = await unpack(temporary, [{ name, type: "0", content: "x" }]);
  const { store } = temporary;
  expect(store.layers.index(chain[0] as never).map((entry) => entry.path)).toEqual(["caf\xe9\xff", name]);
  const out = `${temporary.folder}/again.tar`;
  await store.layers.writeTar(chain[0] as never, out, never);
  expect(readFileSync(out)).toEqual(rawTar([{ name, type: "0", content: "x" }]));
  temporary.reopen();
  expect(readdirSync(`${temporary.root}/layers`)).toEqual([]);
});

test("a file keeps its group in a folder that passes on its own", async () => {
  using temporary = temporaryStore();
  const [layer] = await unpack(temporary, [dir("g", { mode: 0o2775, gid: 50 }), file("g/x"), file("g/new/y")]);
  const tree = temporary.store.layers.tree(layer as never);
  expect(["g", "g/x", "g/new", "g/new/y"].map((path) => lstatSync(`${tree}/${path}`).gid)).toEqual([50, 0, 0, 0]);
  expect((await checkStore(temporary.store, { signal: never })).faults).toEqual([]);
});

test("the root's own entry gives the root its mode and owner", async () => {
  using temporary = temporaryStore();
  const chain = await unpack(temporary, [dir("./", { mode: 0o711 }), file("a")]);
  expect(lstatSync(temporary.store.layers.tree(chain[0] as never)).mode & 0o7777).toBe(0o711);
  await using snapshot = temporary.store.layers.prepare(chain);
  expect(lstatSync(snapshot.upperdir).mode & 0o7777).toBe(0o711);
});

test.for([
  { name: "plain", compress: (bytes: Buffer) => bytes },
  { name: "gzip", compress: gzipSync },
  {
    name: "gzip in two members",
    compress: (bytes: Buffer) => Buffer.concat([gzipSync(bytes.subarray(0, 700)), gzipSync(bytes.subarray(700))]),
  },
  { name: "zstd", compress: zstdCompressSync },
  {
    name: "zstd in two frames",
    compress: (bytes: Buffer) =>
      Buffer.concat([zstdCompressSync(bytes.subarray(0, 700)), zstdCompressSync(bytes.subarray(700))]),
  },
  {
    name: "zstd with skippable frames",
    compress: (bytes: Buffer) => {
      const skippable = Buffer.from([0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3]);
      const halves = [bytes.subarray(0, 3000), bytes.subarray(3000)].map((half) => zstdCompressSync(half));
      return Buffer.concat(halves.flatMap((half) => [half, skippable]));
    },
  },
])("a $name blob is unpacked, and its bytes are kept", async ({ compress }) => {
  using temporary = temporaryStore();
  const tar = rawTar([file("a", "content"), file("b", "y".repeat(5000))]);
  const blob = writeBytes(`${temporary.folder}/blob`, compress(tar));
  const descriptor = descriptorOf(blob);
  const bytes = readFileSync(blob);
  const id = await addTar(temporary.store, blob, []);
  expect(listing(temporary.store, id)).toEqual(["file a 644 0:0 7", "file b 644 0:0 5000"]);
  expect(temporary.store.blobs.read(descriptor.digest)).toEqual(bytes);
  expect(existsSync(blob)).toBe(false);
  const out = `${temporary.folder}/again.tar`;
  await temporary.store.layers.writeTar(id, out, never);
  expect(readFileSync(out)).toEqual(tar);
});

test.for([
  { name: "cut in a header", cut: 300 },
  { name: "cut in the content", cut: 600 },
])("an archive that is $name is refused", async ({ cut }) => {
  using temporary = temporaryStore();
  const blob = writeBytes(`${temporary.folder}/blob`, rawTar([file("a", "c".repeat(2000))]).subarray(0, cut));
  await expect(addTar(temporary.store, blob, [])).rejects.toMatchObject({
    code: "ARCHIVE_INVALID",
    message: /cut short/,
  });
});

/** Header, content, padding, a long name's header, its name, header, content, padding; blocks of zeros. */
const twoFiles = rawTar([file("a", "c".repeat(700)), { name: "././@LongLink", type: "L", content: "n" }, file("b")]);

test.for([
  { name: "in a header", end: 700, refused: "always" },
  { name: "in the content", end: 1100, refused: "always" },
  { name: "before the padding", end: 512 + 700, refused: "without a digest" },
  { name: "in the padding", end: 1500, refused: "without a digest" },
  { name: "behind an entry", end: 1536, refused: "never" },
  { name: "behind the header of a long name", end: 2048, refused: "always" },
  { name: "behind a long name", end: 2560, refused: "always" },
  { name: "behind a header", end: 3072, refused: "always" },
  { name: "before the blocks of zeros", end: 3584, refused: "never" },
  { name: "between the blocks of zeros", end: 4096, refused: "never" },
])("an archive that ends $name is refused $refused", async ({ end, refused }) => {
  for (const pack of [(bytes: Buffer) => bytes, gzipSync]) {
    using temporary = temporaryStore();
    const blob = writeBytes(`${temporary.folder}/blob`, pack(twoFiles.subarray(0, end)));
    const layers = (): readonly string[] => readdirSync(`${temporary.store.root}/layers`);
    for (const isVouchedFor of [false, true]) {
      const descriptor = isVouchedFor ? descriptorOf(blob) : undefined;
      const added = temporary.store.layers.addBlob({ file: blob, descriptor, diffId: undefined }, [], never);
      if (refused === "always" || (refused === "without a digest" && !isVouchedFor)) {
        await expect(added).rejects.toMatchObject({ code: "ARCHIVE_INVALID", message: /cut short/ });
        expect(layers()).toEqual([]);
      } else {
        await added;
        expect(layers()).toHaveLength(1);
        break; // the blob is in the store now
      }
    }
  }
});

test("bytes that are no tar are refused as such", async () => {
  using temporary = temporaryStore();
  const blob = writeBytes(`${temporary.folder}/blob`, Buffer.alloc(4096, "noise"));
  await expect(addTar(temporary.store, blob, [])).rejects.toMatchObject({
    code: "ARCHIVE_INVALID",
    message: /no tar archive/,
  });
});

test.for([
  { name: "gzip", compress: gzipSync },
  { name: "zstd", compress: zstdCompressSync },
])("a $name stream that is cut short is refused as such", async ({ compress }) => {
  using temporary = temporaryStore();
  const bytes = compress(rawTar([file("a", randomBytes(20_000).toString("latin1"))]));
  const blob = writeBytes(`${temporary.folder}/blob`, bytes.subarray(0, bytes.length - 100));
  await expect(addTar(temporary.store, blob, [])).rejects.toMatchObject({ code: "ARCHIVE_INVALID" });
});

test("a damaged gzip stream is refused as such", async () => {
  using temporary = temporaryStore();
  const bytes = gzipSync(rawTar([file("a", "content")]));
  const blob = writeBytes(`${temporary.folder}/blob`, bytes.fill(0, 30, 40));
  await expect(addTar(temporary.store, blob, [])).rejects.toMatchObject({ code: "ARCHIVE_INVALID" });
});

test.for([
  { name: "digest", change: { digest: `sha256:${"0".repeat(64)}` as string as Digest } },
  { name: "size", change: { size: 3 } },
])("a blob with another $name than its descriptor is refused", async ({ change }) => {
  using temporary = temporaryStore();
  const blob = writeBytes(`${temporary.folder}/blob`, rawTar([file("a")]));
  const descriptor = { ...descriptorOf(blob), ...change };
  const added = temporary.store.layers.addBlob({ file: blob, descriptor, diffId: undefined }, [], never);
  await expect(added).rejects.toMatchObject({ code: "ARCHIVE_INVALID", message: /descriptor says/ });
});

test("a layer with another diffID than its image says is refused", async () => {
  using temporary = temporaryStore();
  const blob = writeBytes(`${temporary.folder}/blob`, rawTar([file("a")]));
  await expect(addTar(temporary.store, blob, [], `sha256:${"1".repeat(64)}` as string as DiffId)).rejects.toMatchObject(
    {
      code: "ARCHIVE_INVALID",
      message: /the image says/,
    },
  );
});

test("a known diffID is shared, and its blob is verified all the same", async () => {
  using temporary = temporaryStore();
  const { store } = temporary;
  const tar = rawTar([file("a", "content")]);
  const first = await addTar(store, writeBytes(`${temporary.folder}/1`, tar), []);
  const { diffId } = store.layers.get(first);
  const second = await addTar(store, writeBytes(`${temporary.folder}/2`, gzipSync(tar)), [], diffId);
  expect(second).toBe(first);
  const forged = addTar(store, writeBytes(`${temporary.folder}/3`, gzipSync(rawTar([file("b")]))), [], diffId);
  await expect(forged).rejects.toMatchObject({ code: "ARCHIVE_INVALID" });
  // A blob that is here, but as another layer's.
  const other = rawTar([file("other")]);
  await addTar(store, writeBytes(`${temporary.folder}/4`, other), []);
  await expect(addTar(store, writeBytes(`${temporary.folder}/5`, other), [], diffId)).rejects.toMatchObject({
    code: "ARCHIVE_INVALID",
  });
});

test.for(["0.0", "0.1", "1.0", "old"])("a sparse file in GNU's form %s comes through", async (form) => {
  using temporary = temporaryStore();
  const folder = `${temporary.folder}/sparse`;
  mkdirSync(folder);
  execFileSync(
    "sh",
    [
      "-ec",
      "truncate -s 5M s; printf start | dd of=s conv=notrunc 2>/dev/null; printf end | dd of=s bs=1 seek=3000000 conv=notrunc 2>/dev/null",
    ],
    { cwd: folder },
  );
  const tar = `${temporary.folder}/sparse.tar`;
  const format = form === "old" ? ["--format=gnu"] : ["--format=pax", `--sparse-version=${form}`];
  execFileSync("tar", ["--sparse", ...format, "-C", folder, "-cf", tar, "s"]);
  const id = await addTar(temporary.store, tar, []);
  const tree = temporary.store.layers.tree(id);
  expect(readFileSync(`${tree}/s`).equals(readFileSync(`${folder}/s`))).toBe(true);
  expect(lstatSync(`${tree}/s`).blocks).toBeLessThan(1000);
  expect((await checkStore(temporary.store, { signal: never })).faults).toEqual([]);
});

test("a small blob of many zeros is unpacked", async () => {
  using temporary = temporaryStore();
  const tar = rawTar([file("zeros", "\0".repeat(50_000_000))]);
  const blob = writeBytes(`${temporary.folder}/blob`, gzipSync(tar));
  const id = await addTar(temporary.store, blob, []);
  expect(lstatSync(`${temporary.store.layers.tree(id)}/zeros`).size).toBe(50_000_000);
});

test("a deep tree is unpacked", async () => {
  using temporary = temporaryStore();
  const name = "d/".repeat(1500);
  const chain = await unpack(temporary, [{ name: "x", type: "5", mode: 0o755, pax: { path: name } }]);
  expect(temporary.store.layers.index(chain[0] as never)).toHaveLength(1500);
});

test("a full disk is one clear error and leaves the store whole", async () => {
  using temporary = temporaryStore();
  const small = `${temporary.folder}/small`;
  mkdirSync(small);
  execFileSync("mount", ["-t", "tmpfs", "-o", "size=2m", "tmpfs", small]);
  try {
    const { openStore } = await import("../../src/store/open-store.ts");
    const store = openStore(small);
    const blob = writeBytes(`${temporary.folder}/blob`, gzipSync(rawTar([file("big", "z".repeat(5_000_000))])));
    await expect(addTar(store, blob, [])).rejects.toMatchObject({ code: "NO_SPACE" });
    await expect(
      makeLayer(store, [], (upper) => {
        writeFileSync(`${upper}/x`, "small");
      }),
    ).resolves.toHaveLength(1);
    expect((await checkStore(store, { signal: never })).faults).toEqual([]);
    store[Symbol.dispose]();
  } finally {
    execFileSync("umount", [small]);
  }
});

test("an aborted unpacking rejects with the signal's reason and leaves nothing", async () => {
  using temporary = temporaryStore();
  const many = Array.from({ length: 4000 }, (_, i) => file(`f${i}`, "x".repeat(1000)));
  const blob = writeBytes(`${temporary.folder}/blob`, gzipSync(rawTar(many)));
  const controller = new AbortController();
  const adding = temporary.store.layers.addBlob(
    { file: blob, descriptor: descriptorOf(blob), diffId: undefined },
    [],
    controller.signal,
  );
  controller.abort(new Error("enough"));
  await expect(adding).rejects.toThrow("enough");
  temporary.reopen();
  for (const folder of ["layers", "blobs/sha256", "tmp"])
    expect(readdirSync(`${temporary.root}/${folder}`)).toEqual([]);
});

test("a time that no file system stores is the nearest that one does", async () => {
  using temporary = temporaryStore();
  const far = file("far", "x", { pax: { mtime: "999999999999" } });
  const chain = await unpack(temporary, [far, file("early", "x", { pax: { mtime: "-9999999999.5" } })]);
  expect(temporary.store.layers.index(chain[0] as never).map((entry) => entry.mtime)).toEqual([
    -2147483648, 15032385535,
  ]);
  expect((await checkStore(temporary.store, { signal: never })).faults).toEqual([]);
});

test("a symlink keeps its target's bytes", async () => {
  using temporary = temporaryStore();
  const chain = await unpack(temporary, [symlink("l", "../../\xff/etc")]);
  expect(readlinkSync(`${temporary.store.layers.tree(chain[0] as never)}/l`, { encoding: "latin1" })).toBe(
    "../../\xff/etc",
  );
});
