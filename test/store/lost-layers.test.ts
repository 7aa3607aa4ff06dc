import { readdirSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import { expect } from "vitest";
import { cacheKeyOf, sha256 } from "../../src/oci/digest.ts";
import { parseReference } from "../../src/oci/reference.ts";
import { checkStore } from "../../src/store/check.ts";
import type { LostLayers } from "../../src/store/lost-layers.ts";
import { openStore } from "../../src/store/open-store.ts";
import type { Chain, LayerId, Store } from "../../src/store/store.ts";
import { imageConfig, keep, makeLayer, never } from "../support/layers.ts";
import { needs } from "../support/needs.ts";
import { temporaryTestFolder } from "../support/temporary-folder.ts";

const test = needs("root");

interface Built {
  readonly below: LayerId;
  readonly above: LayerId;
  readonly other: LayerId;
}

/** Two images: `lost` of two layers, `kept` of one. */
async function build(root: string): Promise<Built> {
  using store = openStore(root);
  const layer = (parents: Chain, name: string): Promise<Chain> =>
    makeLayer(store, parents, (upper) => writeFileSync(`${upper}/${name}`, `this is ${name}`));
  const below = await layer([], "below");
  const chain = await layer(below, "above");
  const other = await layer([], "other");
  for (const [name, each] of [
    ["lost", chain],
    ["kept", other],
  ] as const) {
    keep(store, each, name);
    store.images.tag(parseReference(name), store.images.add({ config: imageConfig(store, each), chain: each }).id);
  }
  return { below: below[0] as LayerId, above: chain[1] as LayerId, other: other[0] as LayerId };
}

/** As if the machine had started anew since. Returns how many layers are not known to be on the disk. */
function restart(root: string): number {
  const database = new DatabaseSync(`${root}/store.db`);
  const { changes } = database.prepare("UPDATE unsynced SET boot = 'an earlier one'").run();
  database.close();
  return Number(changes);
}

function reopen(root: string): { readonly store: Store; readonly lost: LostLayers | undefined } {
  let lost: LostLayers | undefined;
  const store = openStore(root, {
    onLost: (what) => {
      lost = what;
    },
  });
  return { store, lost };
}

test("after a restart, layers that are whole stay and are not read again", async () => {
  using folder = temporaryTestFolder("lost-layers");
  const root = `${folder.path}/store`;
  await build(root);
  expect(restart(root)).toBe(3);
  const { store, lost } = reopen(root);
  using _ = store;
  expect(lost).toBeUndefined();
  expect(store.images.list()).toHaveLength(2);
  expect(restart(root)).toBe(0);
});

const damages: readonly [string, (layer: string) => void][] = [
  ["a file without its content", (layer) => truncateSync(`${layer}/tree/above`, 0)],
  ["a file that is missing", (layer) => rmSync(`${layer}/tree/above`)],
  ["an empty index", (layer) => truncateSync(`${layer}/index`, 0)],
  ["no folder at all", (layer) => rmSync(layer, { recursive: true })],
];

for (const [name, damage] of damages) {
  test(`after a restart, a layer with ${name} goes, with what stands on it and nothing else`, async () => {
    using folder = temporaryTestFolder("lost-layers");
    const root = `${folder.path}/store`;
    const { below, above, other } = await build(root);
    damage(`${root}/layers/${above}`);
    restart(root);
    const { store, lost } = reopen(root);
    using _ = store;
    expect(lost).toEqual({ layers: 1, images: ["lost:latest"] });
    expect(store.images.list().flatMap((image) => image.references.map(({ path }) => path))).toEqual(["library/kept"]);
    expect(store.cache.find(cacheKeyOf(sha256("lost")))).toBeUndefined();
    expect(store.cache.find(cacheKeyOf(sha256("kept")))?.layer).toBe(other);
    // Whole, but nothing needs it any more.
    expect(readdirSync(`${root}/layers`)).toEqual([other]);
    expect(below).not.toBe(other);
    expect((await checkStore(store, { signal: never })).faults).toEqual([]);
  });
}

test("a container that stands on a lost layer does not keep it, and is told when it starts", async () => {
  using folder = temporaryTestFolder("lost-layers");
  const root = `${folder.path}/store`;
  const { below, above } = await build(root);
  {
    using store = openStore(root);
    store.pin("container", store.images.lookup("lost").id, [below, above]);
  }
  truncateSync(`${root}/layers/${below}/tree/below`, 0);
  restart(root);
  const { store, lost } = reopen(root);
  using _ = store;
  expect(lost?.images).toEqual(["lost:latest"]);
  expect(() => store.pin("container", undefined, [below, above])).toThrow(/layer/);
});

test("in the same boot nothing is read again", async () => {
  using folder = temporaryTestFolder("lost-layers");
  const root = `${folder.path}/store`;
  const { above } = await build(root);
  truncateSync(`${root}/layers/${above}/tree/above`, 0);
  const { store, lost } = reopen(root);
  using _ = store;
  expect(lost).toBeUndefined();
  expect(store.images.list()).toHaveLength(2);
});
