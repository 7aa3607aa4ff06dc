import { writeFileSync } from "node:fs";
import { expect } from "vitest";
import { cacheKeyOf, sha256 } from "../../src/oci/digest.ts";
import type { Chain, NewCacheRecord, Store } from "../../src/store/store.ts";
import { makeLayer } from "../support/layers.ts";
import { needs } from "../support/needs.ts";
import { temporaryStore } from "../support/temporary-store.ts";

const test = needs("root");

function record(chain: Chain, name: string, more: Partial<NewCacheRecord> = {}): NewCacheRecord {
  return {
    key: cacheKeyOf(sha256(name)),
    definition: sha256(`definition of ${name}`),
    parent: undefined,
    chain,
    kind: "run",
    site: "Dockerfile:1",
    instruction: `RUN ${name}`,
    input: JSON.stringify({ argv: [name] }),
    durationMs: 12.5,
    ...more,
  };
}

const layer = (store: Store): Promise<Chain> => makeLayer(store, [], (upper) => writeFileSync(`${upper}/f`, "f"));

test("a record is found by its key, with its whole input", async () => {
  using temporary = temporaryStore();
  const chain = await layer(temporary.store);
  const input = JSON.stringify({ files: "x".repeat(100_000) });
  temporary.store.cache.put(record(chain, "a", { input }));
  const { cache } = temporary.reopen();
  const found = cache.find(cacheKeyOf(sha256("a")));
  expect(found).toMatchObject({ chain, layer: chain[0], uses: 0, durationMs: 12.5, sizeBytes: 2048 });
  expect(found === undefined ? "" : cache.input(found)).toBe(input);
  expect(cache.find(cacheKeyOf(sha256("b")))).toBeUndefined();
  expect(cache.hasDefinition(sha256("definition of a"))).toBe(true);
  expect(cache.hasDefinition(sha256("definition of b"))).toBe(false);
});

test("a use is counted and dated", async () => {
  using temporary = temporaryStore();
  const { cache } = temporary.store;
  cache.put(record(await layer(temporary.store), "a"));
  const before = cache.find(cacheKeyOf(sha256("a")));
  cache.touch(cacheKeyOf(sha256("a")));
  const after = cache.find(cacheKeyOf(sha256("a")));
  expect(after?.uses).toBe(1);
  expect(after?.lastUsed.getTime()).toBeGreaterThanOrEqual(before?.lastUsed.getTime() ?? Number.NaN);
  expect(after?.created).toEqual(before?.created);
});

test("a record of the same key is replaced", async () => {
  using temporary = temporaryStore();
  const { cache } = temporary.store;
  const chain = await layer(temporary.store);
  cache.put(record(chain, "a"));
  cache.put(record(chain, "a", { instruction: "RUN again" }));
  expect(cache.list().map((one) => one.instruction)).toEqual(["RUN again"]);
});

test("candidates for a miss: the same site first, then the same kind, newest first, at most twenty", async () => {
  using temporary = temporaryStore();
  const { cache } = temporary.store;
  const chain = await layer(temporary.store);
  for (let i = 0; i < 25; i++) cache.put(record(chain, `elsewhere ${i}`, { site: "Other:1" }));
  cache.put(record(chain, "copy", { site: "Other:2", kind: "copy" }));
  for (let i = 0; i < 3; i++) cache.put(record(chain, `here ${i}`));
  const names = cache.nearest("Dockerfile:1", "run").map((one) => one.instruction);
  expect(names).toHaveLength(20);
  expect(names.slice(0, 4)).toEqual(["RUN here 2", "RUN here 1", "RUN here 0", "RUN elsewhere 24"]);
});

test("a removed record takes its layer and its input with it", async () => {
  using temporary = temporaryStore();
  temporary.store.cache.put(record(await layer(temporary.store), "a"));
  const { cache, layers } = temporary.reopen();
  const [{ chain, key } = { chain: [], key: cacheKeyOf(sha256("")) }] = cache.list();
  expect(cache.remove([key])).toBeGreaterThan(0);
  expect(cache.list()).toEqual([]);
  expect(() => layers.get(chain[0] as never)).toThrow(/not in the store/);
});

test("a small value is remembered", () => {
  using temporary = temporaryStore();
  temporary.store.memo.set("probe", Buffer.from([1, 2, 255]));
  const { memo } = temporary.reopen();
  expect(memo.get("probe")).toEqual(Buffer.from([1, 2, 255]));
  expect(memo.get("other")).toBeUndefined();
});

test("of large memos of a kind the newest stay; small ones and other kinds are not touched", () => {
  using temporary = temporaryStore();
  const { memo } = temporary.store;
  const large = Buffer.alloc(100_000);
  memo.set("other/0", large);
  memo.set("kind/small", Buffer.from("small"));
  for (let number = 0; number < 40; number += 1) memo.set(`kind/${number}`, large);
  const kept = Array.from({ length: 40 }, (_, number) => number).filter((number) => memo.get(`kind/${number}`));
  expect(kept).toHaveLength(32);
  expect(kept).toContain(39);
  expect([memo.get("other/0")?.length, memo.get("kind/small")?.toString()]).toEqual([100_000, "small"]);
});
