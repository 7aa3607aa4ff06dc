/**
 * One scenario on a store, ended by SIGKILL in front of its N-th change: `node store-child.ts ROOT SCENARIO N`. Prints a
 * line for each thing the store has reported as done. The changes are counted in Node's own functions, so that the
 * store's code knows nothing of it.
 */
import fs from "node:fs";
import { syncBuiltinESMExports } from "node:module";
import { DatabaseSync } from "node:sqlite";
import { bytePath } from "../../src/kernel/byte-path.ts";
import { sha256 } from "../../src/oci/digest.ts";
import { parseReference } from "../../src/oci/reference.ts";
import type { LayerEntry } from "../../src/store/layer-entry.ts";
import type { FileContent } from "../../src/store/pack-layer.ts";
import type { LayerId, Store } from "../../src/store/store.ts";

const [, , root = "", scenario = "", pointText = ""] = process.argv;
const point = Number(pointText);
let count = 0;

function beforeChange(): void {
  count += 1;
  if (count === point) process.kill(process.pid, "SIGKILL");
}

function counting(owner: object, names: readonly string[]): void {
  for (const name of names) {
    const original: unknown = Reflect.get(owner, name);
    if (typeof original !== "function") throw new Error(`no function ${name}`);
    Reflect.set(owner, name, function (this: unknown, ...args: unknown[]): unknown {
      beforeChange();
      return Reflect.apply(original, this, args);
    });
  }
}

counting(fs, [
  "renameSync",
  "writeFileSync",
  "mkdirSync",
  "unlinkSync",
  "rmSync",
  "chmodSync",
  "fsyncSync",
  "utimesSync",
]);
syncBuiltinESMExports();
counting(DatabaseSync.prototype, ["exec"]);

const { openStore } = await import("../../src/store/open-store.ts");
const { descriptorOf, imageConfig, keep, makeLayer, never } = await import("../support/layers.ts");
const { rawTar } = await import("../support/raw-tar.ts");

const report = (line: string): void => {
  fs.writeSync(1, `${line}\n`);
};

async function seal(store: Store): Promise<void> {
  const chain = await makeLayer(store, [], (upper) => fs.writeFileSync(`${upper}/f`, "content"));
  keep(store, chain, "first");
  report("record first");
  const above = await makeLayer(store, chain, (upper) => fs.writeFileSync(`${upper}/g`, "more"));
  keep(store, above, "second");
  report("record second");
}

async function fold(store: Store): Promise<void> {
  const content = Buffer.from("content");
  const times = { mode: 0o755, uid: 0, gid: 0, mtime: 1 };
  const entries: readonly LayerEntry[] = [
    { type: "dir", path: bytePath("d"), ...times },
    { type: "file", path: bytePath("d/f"), ...times, size: content.length, digest: sha256(content) },
  ];
  let id: LayerId;
  {
    await using snapshot = store.layers.prepare([]);
    const contentOf = (): FileContent => ({ kind: "bytes", bytes: content });
    for (const _ of snapshot.fold({ entries, nanoseconds: [5, 6], contentOf, earlier: undefined, rootMtimeNs: 7n }));
    await using unsealed = snapshot.commit();
    ({ id } = await unsealed.seal(never));
  }
  keep(store, [id], "first");
  report("record first");
  store.layers.tree(id);
  report("record first");
}

async function add(store: Store): Promise<void> {
  using folder = store.temporaryFolder("pull");
  const file = `${folder.path}/blob`;
  fs.writeFileSync(file, rawTar([{ name: "f", type: "0", content: "pulled" }]));
  const descriptor = descriptorOf(file);
  const id = await store.layers.addBlob({ file, descriptor, diffId: undefined }, [], never);
  const config = imageConfig(store, [id]);
  const manifest = Buffer.from(
    JSON.stringify({ schemaVersion: 2, config: { digest: store.blobs.write(config) }, layers: [descriptor] }),
  );
  const reference = parseReference("app:1");
  const image = store.images.add({ config, chain: [id], manifest: { raw: manifest, reference } });
  report(`image ${image.id}`);
  store.images.tag(reference, image.id);
  report("tag app:1");
}

async function remove(store: Store): Promise<void> {
  for (const { id } of store.images.list()) store.images.remove(id);
  store.cache.remove(store.cache.list().map((record) => record.key));
  report("removed");
}

const scenarios: Readonly<Record<string, (store: Store) => Promise<void>>> = { seal, fold, add, remove };
{
  using store = openStore(root);
  await scenarios[scenario]?.(store);
}
report(`points ${count}`);
process.exit(0);
