import { execFileSync } from "node:child_process";
import {
  appendFileSync,
  chmodSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  truncateSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { gzipSync } from "node:zlib";
import { expect } from "vitest";
import { removeXattr } from "../../src/kernel/xattr.ts";
import { hexOf } from "../../src/oci/digest.ts";
import { type CheckReport, checkStore } from "../../src/store/check.ts";
import { addTar, imageConfig, keep, makeLayer, never, runLayer, writeBytes } from "../support/layers.ts";
import { needs } from "../support/needs.ts";
import { rawTar } from "../support/raw-tar.ts";
import { temporaryStore } from "../support/temporary-store.ts";

const test = needs("root");

interface Places {
  readonly root: string;
  /** Tree of a layer that was made here. */
  readonly made: string;
  /** Tree of a layer that came as a blob. */
  readonly pulled: string;
  readonly blob: string;
  readonly config: string;
}

async function checkAfter(damage: (places: Places) => void, quick = false): Promise<CheckReport> {
  using temporary = temporaryStore();
  const { store } = temporary;
  const blob = writeBytes(
    `${temporary.folder}/blob`,
    gzipSync(
      rawTar([
        { name: "d", type: "5", mode: 0o755 },
        { name: "d/f", type: "0", content: "pulled" },
        { name: "e/.wh..wh..opq", type: "0" },
      ]),
    ),
  );
  const base = await addTar(store, blob, []);
  const chain = await makeLayer(store, [base], (upper) => {
    mkdirSync(`${upper}/d`);
    writeFileSync(`${upper}/d/f`, "made");
    writeFileSync(`${upper}/g`, "other");
    utimesSync(`${upper}/g`, 1000, 1000);
    execFileSync("ln", [`${upper}/g`, `${upper}/h`]);
  });
  const image = store.images.add({ config: imageConfig(store, chain), chain });
  keep(store, chain, "step");
  const made = store.layers.tree(chain.at(-1) ?? base);
  const digest = store.layers.get(base).blob?.digest ?? (undefined as never);
  damage({
    root: temporary.root,
    made,
    pulled: store.layers.tree(base),
    blob: store.blobs.path(digest),
    config: `${temporary.root}/blobs/sha256/${hexOf(image.id)}`,
  });
  return await checkStore(store, { signal: never, quick });
}

test("a sound store has no fault, and everything is counted", async () => {
  expect(await checkAfter(() => undefined)).toEqual({
    images: 1,
    layers: 2,
    blobs: 2,
    cacheRecords: 1,
    gitClones: 0,
    faults: [],
  });
});

test.for([
  {
    name: "a file's bytes",
    damage: ({ made }: Places) => writeFileSync(`${made}/d/f`, "edam"),
    kind: "layer",
    message: "/d/f: its content has changed",
  },
  {
    name: "bytes with the old time",
    damage: ({ made }: Places) =>
      execFileSync("sh", [
        "-c",
        `printf edam > ${made}/g; touch -d @1000 ${made}/g; truncate -s 5 ${made}/g; touch -d @1000 ${made}/g`,
      ]),
    kind: "layer",
    message: "/g: its content has changed",
  },
  {
    name: "a pulled file's bytes",
    damage: ({ pulled }: Places) =>
      execFileSync("sh", ["-c", `printf PULLED > ${pulled}/d/f; touch -d @0 ${pulled}/d/f`]),
    kind: "layer",
    message: "/d/f: its content has changed",
  },
  {
    name: "a size",
    damage: ({ made }: Places) => appendFileSync(`${made}/d/f`, "!"),
    kind: "layer",
    message: "/d/f has",
  },
  {
    name: "a mode",
    damage: ({ made }: Places) => chmodSync(`${made}/d`, 0o700),
    kind: "layer",
    message: "/d has mode 448 in place of 493",
  },
  {
    name: "a time",
    damage: ({ made }: Places) => utimesSync(`${made}/g`, 5, 5),
    kind: "layer",
    message: "/g has mtime 5 in place of 1000",
  },
  {
    name: "a missing file",
    damage: ({ made }: Places) => unlinkSync(`${made}/d/f`),
    kind: "layer",
    message: "/d/f is missing",
  },
  {
    name: "a further file",
    damage: ({ made }: Places) => writeFileSync(`${made}/d/new`, ""),
    kind: "layer",
    message: "/d/new is not in the index",
  },
  {
    name: "a broken link",
    damage: ({ made }: Places) => execFileSync("sh", ["-c", `cp -p ${made}/h ${made}/x; mv ${made}/x ${made}/h`]),
    kind: "layer",
    message: "/h is no link to /g",
  },
  {
    name: "an opaque mark",
    damage: ({ pulled }: Places) => removeXattr(`${pulled}/e`, "trusted.overlay.opaque"),
    kind: "layer",
    message: "/e is no longer opaque",
  },
  {
    name: "a missing tree",
    damage: ({ made }: Places) => rmSync(made, { recursive: true }),
    kind: "layer",
    message: "ENOENT",
  },
  {
    name: "a missing index",
    damage: ({ made }: Places) => unlinkSync(`${made}/../index`),
    kind: "layer",
    message: "index is missing or damaged",
  },
  {
    name: "another index",
    damage: ({ made, pulled }: Places) =>
      writeFileSync(`${made}/../index`, process.getBuiltinModule("node:fs").readFileSync(`${pulled}/../index`)),
    kind: "layer",
    message: "not the one that was recorded",
  },
  { name: "a blob cut short", damage: ({ blob }: Places) => truncateSync(blob, 50), kind: "blob", message: "" },
  { name: "a missing blob", damage: ({ blob }: Places) => unlinkSync(blob), kind: "layer", message: "is missing" },
  {
    name: "a changed config",
    damage: ({ config }: Places) => appendFileSync(config, " "),
    kind: "image",
    message: "its config is missing or damaged",
  },
  {
    name: "a missing config",
    damage: ({ config }: Places) => unlinkSync(config),
    kind: "image",
    message: "its config is missing or damaged",
  },
  {
    name: "a file among the blobs",
    damage: ({ root: at }: Places) => writeFileSync(`${at}/blobs/sha256/x`, ""),
    kind: "leftover",
    message: "is no blob",
  },
  {
    name: "a folder among the layers",
    damage: ({ root: at }: Places) => mkdirSync(`${at}/layers/stray`),
    kind: "leftover",
    message: "belongs to no layer",
  },
  {
    name: "a missing index.json",
    damage: ({ root: at }: Places) => renameSync(`${at}/index.json`, `${at}/gone`),
    kind: "reference",
    message: "missing or damaged",
  },
])("a fault in $name is found", async ({ damage, kind, message }) => {
  const { faults } = await checkAfter((places) => void damage(places));
  expect(faults).toContainEqual({ kind, subject: expect.any(String), message: expect.stringContaining(message) });
});

test("a quick check reads no tree", async () => {
  expect((await checkAfter(({ made }) => writeFileSync(`${made}/d/f`, "edam"), true)).faults).toEqual([]);
});

test("files that were copied up unchanged and hidden names of a replaced folder are no fault", async () => {
  using temporary = temporaryStore();
  const { store } = temporary;
  const base = await makeLayer(store, [], (upper) => {
    execFileSync("sh", ["-ec", "mkdir -p d/e; echo 1 > d/f; echo 2 > d/e/g; echo 3 > h"], { cwd: upper });
  });
  const chain = await runLayer(store, base, "exec 3<> h; rm -r d; mkdir -p d/e; echo new > d/e/n");
  expect(readdirSync(store.layers.tree(chain.at(-1) as never)).toSorted()).toEqual(["d", "h"]);
  expect((await checkStore(store, { signal: never })).faults).toEqual([]);
});
