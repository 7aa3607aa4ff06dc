import { lstatSync, mkdirSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { expect } from "vitest";
import { bytePath } from "../../src/kernel/byte-path.ts";
import { setMtime } from "../../src/kernel/files.ts";
import { cacheKeyOf, hexOf, sha256 } from "../../src/oci/digest.ts";
import { layeredView } from "../../src/store/layered-view.ts";
import type { Chain, Store } from "../../src/store/store.ts";
import { descriptorOf, never } from "../support/layers.ts";
import { needs } from "../support/needs.ts";
import { temporaryStore } from "../support/temporary-store.ts";

const test = needs("root");

const signal = new AbortController().signal;

async function layer(store: Store, parents: Chain, write: (upperdir: string) => void): Promise<Chain> {
  await using snapshot = store.layers.prepare(parents);
  write(snapshot.upperdir);
  await using unsealed = snapshot.commit();
  const { id } = await unsealed.seal(signal);
  return [...parents, id];
}

/** What keeps a chain from being collected when the store is closed. */
function record(store: Store, chain: Chain): void {
  const key = cacheKeyOf(sha256(chain.join()));
  const definition = sha256("definition");
  const step = { kind: "run", site: "Dockerfile:1", instruction: "RUN x", input: "{}", durationMs: 1 };
  store.cache.put({ key, definition, parent: undefined, chain, ...step });
}

test("a layer of no change is the empty tar", async () => {
  using temporary = temporaryStore();
  const chain = await layer(temporary.store, [], () => undefined);
  const record = temporary.store.layers.get(chain[0] ?? (undefined as never));
  expect(record).toMatchObject({
    diffId: "sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef",
    sizeBytes: 1024,
  });
});

test("a layer outlives its process when a record refers to it, and goes with the process when nothing does", async () => {
  using temporary = temporaryStore();
  const kept = await layer(temporary.store, [], (upper) => writeFileSync(`${upper}/a`, "a"));
  const dropped = await layer(temporary.store, [], (upper) => writeFileSync(`${upper}/b`, "b"));
  record(temporary.store, kept);
  const store = temporary.reopen();
  expect(store.layers.index(kept[0] ?? (undefined as never)).map((entry) => entry.path)).toEqual(["a"]);
  expect(() => store.layers.get(dropped[0] ?? (undefined as never))).toThrow(/not in the store/);
  expect(readdirSync(`${temporary.root}/layers`)).toEqual(kept);
});

test("a snapshot that is disposed leaves nothing", async () => {
  using temporary = temporaryStore();
  {
    await using snapshot = temporary.store.layers.prepare([]);
    writeFileSync(`${snapshot.upperdir}/a`, "a");
    await using unsealed = snapshot.commit();
    expect(statSync(`${temporary.store.layers.tree(unsealed.id)}/a`).size).toBe(1);
  }
  expect(readdirSync(`${temporary.root}/layers`)).toEqual([]);
});

test("a fresh upperdir has the mode of the root below, and a step cannot change it", async () => {
  using temporary = temporaryStore();
  const base = await layer(temporary.store, [], (upper) => mkdirSync(`${upper}/d`));
  await using snapshot = temporary.store.layers.prepare(base);
  expect(lstatSync(snapshot.upperdir).mode & 0o7777).toBe(0o755);
});

test("a fresh upperdir has the time of the root below, also from before 1970", async () => {
  using temporary = temporaryStore();
  const base = await layer(temporary.store, [], (upper) => setMtime(upper, -1_500_000_000n));
  await using snapshot = temporary.store.layers.prepare(base);
  const [tree] = temporary.store.layers.trees(base);
  const times = [tree ?? "", snapshot.upperdir].map((path) => lstatSync(path, { bigint: true }).mtimeNs);
  expect(times[1]).toBe(times[0]);
  expect(times[1]).toBeLessThan(0n);
});

test("equal files made at different times are different layers with an equal result", async () => {
  using temporary = temporaryStore();
  const { store } = temporary;
  const [a, b] = [
    await layer(store, [], (upper) => writeFileSync(`${upper}/f`, "same")),
    await layer(store, [], (upper) => {
      writeFileSync(`${upper}/f`, "same");
      // Whole seconds are in the tar.
      const { utimesSync } = process.getBuiltinModule("node:fs");
      utimesSync(`${upper}/f`, 1000, 1000);
    }),
  ];
  expect(store.layers.chainId(a)).not.toBe(store.layers.chainId(b));
  expect(store.layers.resultId(a)).toBe(store.layers.resultId(b));
  expect(store.layers.findByResult(store.layers.resultId(a) ?? (undefined as never))).toEqual(a);
  expect(store.layers.findByChainId(store.layers.chainId(a) ?? (undefined as never))).toEqual(a);
});

test("a view follows symlinks inside the root only", async () => {
  using temporary = temporaryStore();
  const { store } = temporary;
  const chain = await layer(store, [], (upper) => {
    const { symlinkSync } = process.getBuiltinModule("node:fs");
    mkdirSync(`${upper}/etc`);
    writeFileSync(`${upper}/etc/passwd`, "root");
    symlinkSync("/../../etc", `${upper}/up`);
    symlinkSync("loop", `${upper}/loop`);
  });
  const view = layeredView(store.layers.trees(chain));
  expect(view.lookup(bytePath("up/passwd"))?.path).toBe("etc/passwd");
  expect(view.readFile(bytePath("/up/../up/passwd"), 100)?.toString()).toBe("root");
  expect(view.resolve(bytePath("up/new/../other/x"))).toBe("etc/other/x");
  expect(view.lookup(bytePath("loop"))).toBeUndefined();
  expect(view.lookup(bytePath("loop"), { followLast: false })?.type).toBe("symlink");
});

test("a layer of an image that cannot be read is named", async () => {
  using temporary = temporaryStore();
  const { store } = temporary;
  using folder = store.temporaryFolder("test");
  const file = `${folder.path}/blob`;
  writeFileSync(file, "x".repeat(1000));
  const descriptor = descriptorOf(file);
  await expect(store.layers.addBlob({ file, descriptor, diffId: undefined }, [], never)).rejects.toMatchObject({
    code: "ARCHIVE_INVALID",
    message: `layer ${hexOf(descriptor.digest).slice(0, 12)}: this is no tar archive`,
  });
});
