import { execFileSync } from "node:child_process";
import { chmodSync, lchownSync, linkSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import fc from "fast-check";
import { expect } from "vitest";
import { bytePathOfLatin1, fsPathBelow } from "../../src/kernel/byte-path.ts";
import { makeNode, setMtime } from "../../src/kernel/files.ts";
import { setXattr } from "../../src/kernel/xattr.ts";
import { checkStore } from "../../src/store/check.ts";
import type { LayerEntry } from "../../src/store/layer-entry.ts";
import { tarHeader } from "../../src/store/tar-headers.ts";
import { type TarHeader, TarReader } from "../../src/store/tar-reader.ts";
import { addTar, makeLayer, never } from "../support/layers.ts";
import { needs } from "../support/needs.ts";
import { temporaryStore } from "../support/temporary-store.ts";

const test = needs("root");

const nameBytes = fc
  .array(fc.oneof(fc.integer({ min: 1, max: 255 }), fc.constantFrom(0x61, 0x2d, 0x2e, 0x20)), {
    minLength: 1,
    maxLength: 120,
  })
  .map((bytes) => String.fromCharCode(...bytes).replaceAll("/", "s"))
  .filter((name) => name !== "." && name !== ".." && !name.startsWith(".wh."));

const path = fc.array(nameBytes, { minLength: 1, maxLength: 4 }).map((names) => bytePathOfLatin1(names.join("/")));
const id = fc.oneof(fc.nat(100_000), fc.integer({ min: 2_097_150, max: 0xffff_fffe }));
const attributes = {
  path,
  mode: fc.nat(0o7777),
  uid: id,
  gid: id,
  mtime: fc.oneof(
    fc.nat(2 ** 31),
    fc.integer({ min: -(2 ** 31), max: -1 }),
    fc.integer({ min: 8 ** 11 - 1, max: 8 ** 11 + 5 }),
  ),
};
const entry: fc.Arbitrary<LayerEntry> = fc.oneof(
  fc.record({ type: fc.constant("dir" as const), ...attributes }),
  fc.record({ type: fc.constant("fifo" as const), ...attributes }),
  fc.record({ type: fc.constantFrom("symlink" as const, "hardlink" as const), ...attributes, target: path }),
  fc.record({
    type: fc.constantFrom("char" as const, "block" as const),
    ...attributes,
    major: fc.nat(0xfff),
    minor: fc.nat(0xfffff),
  }),
);

function read(tar: Buffer, chunkSize: number): readonly TarHeader[] {
  const headers: TarHeader[] = [];
  const reader = new TarReader({
    begin: (header) => void headers.push(header),
    data: () => undefined,
    hole: () => undefined,
    end: () => undefined,
    skipped: () => undefined,
  });
  for (let at = 0; at < tar.length; at += chunkSize) reader.push(tar.subarray(at, at + chunkSize));
  reader.finish();
  return headers;
}

test("what is written is read, whatever the names, numbers and chunks", () => {
  fc.assert(
    fc.property(fc.array(entry, { maxLength: 5 }), fc.integer({ min: 1, max: 3000 }), (entries, chunkSize) => {
      const tar = Buffer.concat([...entries.map((one) => tarHeader(one, undefined)), Buffer.alloc(1024)]);
      const headers = read(tar, chunkSize);
      expect(
        headers.map(({ name, mode, uid, gid, type, mtimeNs }) => ({ name, mode, uid, gid, type, mtimeNs })),
      ).toEqual(
        entries.map(({ path: name, mode, uid, gid, type, mtime }) => ({
          name: type === "dir" ? `${name}/` : name,
          mode,
          uid,
          gid,
          type,
          mtimeNs: BigInt(mtime) * 1_000_000_000n,
        })),
      );
      for (const [at, one] of entries.entries()) {
        if (one.type === "symlink" || one.type === "hardlink") expect(headers[at]?.linkName).toBe(one.target);
        if (one.type === "char" || one.type === "block")
          expect(headers[at]).toMatchObject({ major: one.major, minor: one.minor });
      }
    }),
  );
});

test("a header's blocks, byte for byte as Go's archive/tar writes them", () => {
  const file: LayerEntry = {
    type: "file",
    path: bytePathOfLatin1(`${"d".repeat(99)}/f`),
    mode: 0o4755,
    uid: 3_000_000,
    gid: 5,
    mtime: 1000,
    size: 3,
    digest: "" as never,
  };
  const tar = tarHeader(file, undefined);
  expect(tar.length).toBe(3 * 512);
  expect(tar.toString("latin1", 512, 1024).replace(/\0+$/, "")).toBe(`111 path=${"d".repeat(99)}/f\n15 uid=3000000\n`);
  // The PAX header's own name is cut, the main name's slash in the last place is dropped, a uid that does not fit is 0.
  expect(tar.toString("latin1", 0, 100)).toBe(`${"d".repeat(99)}\0`);
  expect(tar.toString("latin1", 1024, 1124)).toBe(`${"d".repeat(99)}\0`);
  expect(tar.toString("latin1", 1124, 1172).split("\0")).toEqual([
    "0004755",
    "0000000",
    "0000005",
    "00000000003",
    "00000001750",
    "",
  ]);
});

test("random bytes never crash the reader", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 3000 }), fc.nat(2000), (noise, at) => {
      const good = Buffer.concat([
        tarHeader(
          { type: "dir", path: bytePathOfLatin1("d".repeat(150)), mode: 0, uid: 0, gid: 0, mtime: 0 },
          undefined,
        ),
        Buffer.alloc(1024),
      ]);
      const bytes = Buffer.concat([good.subarray(0, at), noise, good.subarray(at)]);
      try {
        read(bytes, 700);
      } catch (error) {
        expect(error).toMatchObject({ code: "ARCHIVE_INVALID" });
      }
    }),
  );
});

interface Node {
  readonly name: string;
  readonly kind: "file" | "dir" | "symlink" | "fifo" | "hardlink" | "char";
  readonly content: Uint8Array;
  readonly mode: number;
  readonly owner: readonly [number, number];
  readonly mtime: number;
  readonly capability: boolean;
}

const node: fc.Arbitrary<Node> = fc.record({
  name: nameBytes,
  kind: fc.constantFrom("file", "file", "dir", "symlink", "fifo", "hardlink", "char"),
  content: fc.uint8Array({ maxLength: 2000 }),
  mode: fc.nat(0o7777),
  owner: fc.tuple(id, id),
  mtime: fc.nat(2 ** 31),
  capability: fc.boolean(),
});

/** Each node goes into the folder made last with probability one half; names that are taken are left out. */
function grow(upper: string, nodes: readonly Node[]): void {
  let folder = "";
  let lastFile: string | undefined;
  const taken = new Set<string>();
  const times: [string | Buffer, number][] = [];
  for (const one of nodes) {
    const at = one.mode % 2 === 0 || folder.length > 500 ? one.name : `${folder}${one.name}`;
    if (taken.has(at)) continue;
    const host = fsPathBelow(upper, bytePathOfLatin1(at));
    if (one.kind === "hardlink" && lastFile === undefined) continue;
    taken.add(at);
    if (one.kind === "hardlink") {
      linkSync(fsPathBelow(upper, bytePathOfLatin1(lastFile ?? "")), host);
      continue;
    }
    if (one.kind === "file") writeFileSync(host, one.content);
    else if (one.kind === "dir") mkdirSync(host);
    else if (one.kind === "symlink") symlinkSync(Buffer.from(`x${one.name}`, "latin1"), host);
    else if (one.kind === "fifo") makeNode(host, { type: "fifo" }, 0o600);
    else makeNode(host, { type: "char", device: { major: 1, minor: one.mode } }, 0o600);
    lchownSync(host, ...one.owner);
    if (one.kind !== "symlink") chmodSync(host, one.mode);
    if (one.kind === "file" && one.capability) setXattr(host, "security.capability", capability);
    if (one.kind === "file") lastFile = at;
    if (one.kind === "dir") folder = `${at}/`;
    times.push([host, one.mtime]);
  }
  for (const [host, mtime] of times.reverse()) setMtime(host, BigInt(mtime) * 1_000_000_000n + 5n);
}

const capability = Buffer.from("0100000200040000000000000000000000000000", "hex");

test("a random tree: its tar, unpacked by us into another store, is the same layer; GNU tar reads it, too", async () => {
  using first = temporaryStore();
  using second = temporaryStore();
  let run = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(node, { maxLength: 25 }), async (nodes) => {
      run += 1;
      const [layer] = await makeLayer(first.store, [], (upper) => grow(upper, nodes));
      if (layer === undefined) throw new Error("no layer");
      const tar = `${first.folder}/${run}.tar`;
      await first.store.layers.writeTar(layer, tar, never);
      const gnu = `${first.folder}/gnu-${run}`;
      mkdirSync(gnu);
      execFileSync("tar", ["--warning=no-timestamp", "--xattrs", "--xattrs-include=*", "-C", gnu, "-xpf", tar]);
      // What GNU tar unpacked, sealed again as it lies there.
      const [again] = await makeLayer(first.store, [], (upper) => {
        execFileSync("cp", ["-a", `${gnu}/.`, upper]);
      });
      const bytes = readFileSync(tar);
      const added = await addTar(second.store, tar, []);
      const sealed = first.store.layers.get(layer);
      const unpacked = second.store.layers.get(added);
      expect(second.store.layers.index(added)).toEqual(first.store.layers.index(layer));
      expect(unpacked.diffId).toBe(sealed.diffId);
      expect(unpacked.contentDigest).toBe(sealed.contentDigest);
      expect(unpacked.sizeBytes).toBe(bytes.length);
      expect(first.store.layers.get(again ?? layer).diffId).toBe(sealed.diffId);
    }),
    { numRuns: 25 },
  );
  for (const { store } of [first, second]) expect((await checkStore(store, { signal: never })).faults).toEqual([]);
});
