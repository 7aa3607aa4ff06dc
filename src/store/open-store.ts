/**
 * Opens a store: one folder with an OCI image layout (blobs), one SQLite file (what exists), and the trees of layers.
 * Nothing in it is believed to exist before its row does; nothing has its final name before it is complete.
 */
import { chmodSync, existsSync, mkdirSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { errnoOf } from "../errors.ts";
import { randomBytes } from "../kernel/random.ts";
import type { ImageId } from "../oci/digest.ts";
import { mediaTypes } from "../oci/media-types.ts";
import { blobStore } from "./blobs.ts";
import { cacheStore } from "./cache-records.ts";
import { collectGarbage, finishRemovals, forgetForms, hasFreshGarbage, keptForms } from "./collect.ts";
import { Database } from "./database.ts";
import { layerGone, notOurFolder, rootNotAFolder } from "./errors.ts";
import { explained, explainingRoot } from "./explain-root.ts";
import { imageStore } from "./images.ts";
import { Layers, pendingPrefix } from "./layers.ts";
import { forgetLost, type LostLayers } from "./lost-layers.ts";
import { ownLayout } from "./overlay-marks.ts";
import { deadProcesses } from "./process-presence.ts";
import { keepReserve, releaseReserve } from "./space-reserve.ts";
import type { Chain, CompressedForm, LayerId, Lease, MemoStore, Store, TemporaryFolder } from "./store.ts";
import { makeFolder, removeTree, StoreContext, type StorePaths, storePaths } from "./store-context.ts";

export interface OpenOptions {
  /** Works on a full disk, too: for who only looks, or gives space back. */
  readonly onFullDisk?: boolean | undefined;
  /** Told of layers that the machine had not written when it stopped; they are forgotten. */
  readonly onLost?: (lost: LostLayers) => void;
}

/**
 * Makes the store if the folder is absent or empty. `root` is absolute.
 * @throws {TsbuildError} `STORE_UNAVAILABLE`, `READ_ONLY`, `PERMISSION_DENIED`, `NO_SPACE`, `STORE_CORRUPT`
 */
export function openStore(root: string, options: OpenOptions = {}): Store {
  const paths = storePaths(root);
  try {
    prepareRoot(paths);
    if (options.onFullDisk === true) releaseReserve(root);
  } catch (error) {
    throw explained(root, error);
  }
  const db = new Database(root, paths.database);
  try {
    if (!existsSync(`${root}/oci-layout`)) lay(paths);
    // Not before: a folder with files and no database is somebody else's.
    keepReserve(root);
    const context = new StoreContext(paths, db, ownLayout());
    sweep(context);
    const store = new OpenStore(context);
    const lost = forgetLost(context, store.images);
    if (lost !== undefined) options.onLost?.(lost);
    return store;
  } catch (error) {
    db[Symbol.dispose]();
    throw explained(root, error);
  }
}

/** For the rooms of the store that look behind its interface. */
export function contextOf(store: Store): StoreContext {
  if (store instanceof OpenStore) return store.context;
  throw new Error("a store of another make");
}

/** Two processes may make it at once. */
function makeRoot(root: string): void {
  try {
    mkdirSync(root, { mode: 0o700 });
  } catch (error) {
    if (errnoOf(error) !== "EEXIST") throw error;
  }
}

function prepareRoot({ root, database }: StorePaths): void {
  const stat = statSync(root, { throwIfNoEntry: false });
  if (stat === undefined) {
    if (!existsSync(dirname(root))) mkdirSync(dirname(root), { recursive: true });
    // Not recursive: Node tries for ever where a file system answers ENOENT for a new name, as /proc does.
    makeRoot(root);
    return;
  }
  if (!stat.isDirectory()) throw rootNotAFolder(root);
  // Another folder's mode and content are not ours to change.
  if (!existsSync(database) && readdirSync(root).some((name) => name !== "lost+found")) {
    // Another process may have begun to make the store in between.
    if (!existsSync(database)) throw notOurFolder(root);
  }
  // Set-user-ID files of images lie in here: nobody else may walk in.
  if ((stat.mode & 0o7777) !== 0o700) chmodSync(root, 0o700);
}

/** The folders of a new store, and at last the file by which one knows that they are there. */
function lay(paths: StorePaths): void {
  explainingRoot(paths.root, () => {
    const { root, blobs, layers, tmp, containers, volumes, cacheMounts, failed } = paths;
    for (const folder of [blobs, layers, tmp, containers, volumes, cacheMounts, failed]) makeFolder(folder);
    const index = { schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests: [] };
    if (!existsSync(`${root}/index.json`)) writeFileSync(`${root}/index.json`, JSON.stringify(index), { mode: 0o600 });
    writeFileSync(`${root}/oci-layout`, JSON.stringify({ imageLayoutVersion: "1.0.0" }), { mode: 0o600 });
  });
}

/** Removes what dead processes left. Costs one readdir when there is none. */
function sweep(context: StoreContext): void {
  const { db, paths } = context;
  let hasGarbage = false;
  for (const dead of deadProcesses(paths.tmp, context.owner)) {
    using process = dead;
    // What it held and nothing refers to is what it did not finish.
    if (db.run("DELETE FROM holds WHERE owner = ?", process.owner) > 0) hasGarbage = true;
    for (const name of existsSync(process.folder) ? readdirSync(process.folder) : []) {
      if (!name.startsWith(pendingPrefix)) continue;
      const layer = name.slice(pendingPrefix.length);
      // Recorded ones are whole; whether something reaches them is the collector's question.
      if (db.get("SELECT 1 FROM layers WHERE id = ?", layer) === undefined) removeTree(`${paths.layers}/${layer}`);
    }
    removeTree(process.folder);
  }
  if (hasGarbage) collectGarbage(context);
  else if (db.get("SELECT 1 FROM removals LIMIT 1") !== undefined) finishRemovals(context);
}

class OpenStore implements Store {
  readonly root: string;
  readonly blobs: Store["blobs"];
  readonly layers: Layers;
  readonly images: Store["images"];
  readonly cache: Store["cache"];
  readonly memo: MemoStore;
  readonly volumesFolder: string;
  readonly cacheMountsFolder: string;
  readonly gitFolder: string;
  readonly runtimeFolder: string;
  readonly failedFolder: string;
  readonly context: StoreContext;

  constructor(context: StoreContext) {
    const { paths } = context;
    this.context = context;
    this.root = paths.root;
    this.blobs = blobStore(context);
    this.layers = new Layers(context, this.blobs);
    this.images = imageStore(context, this.blobs);
    this.cache = cacheStore(context);
    this.memo = memoStore(context);
    this.volumesFolder = paths.volumes;
    this.cacheMountsFolder = paths.cacheMounts;
    this.gitFolder = paths.git;
    this.runtimeFolder = paths.runtime;
    this.failedFolder = paths.failed;
  }

  lease(purpose: string): Lease {
    const { context } = this;
    const name = `${purpose}-${randomBytes(4).toString("hex")}`;
    return {
      addLayers(layers: Iterable<LayerId>): void {
        context.db.lossyTransaction(() => {
          for (const layer of layers) {
            const isRecorded = context.db.get("SELECT 1 FROM layers WHERE id = ?", layer) !== undefined;
            if (!isRecorded && !existsSync(`${context.paths.layers}/${layer}`)) throw layerGone(layer);
            context.hold(name, "layer", layer);
          }
        });
      },
      addImage(image: ImageId): void {
        context.db.lossyTransaction(() => context.hold(name, "image", image));
      },
      [Symbol.dispose](): void {
        context.db.lossyTransaction(() => context.releaseLease(name));
      },
    };
  }

  pin(owner: string, image: ImageId | undefined, layers: Chain): void {
    const { db } = this.context;
    db.transaction(() => {
      if (image !== undefined)
        db.run("INSERT OR IGNORE INTO pins (owner, kind, target) VALUES (?, 'image', ?)", owner, image);
      for (const layer of layers) {
        if (db.get("SELECT 1 FROM layers WHERE id = ?", layer) === undefined) throw layerGone(layer);
        db.run("INSERT OR IGNORE INTO pins (owner, kind, target) VALUES (?, 'layer', ?)", owner, layer);
      }
    });
  }

  unpin(owner: string): void {
    this.context.db.run("DELETE FROM pins WHERE owner = ?", owner);
  }

  pinnedBy(image: ImageId): readonly string[] {
    return this.context.db
      .all("SELECT owner FROM pins WHERE kind = 'image' AND target = ? ORDER BY owner", image)
      .map((row) => String(row["owner"]));
  }

  collect(): { readonly freedBytes: number; readonly layers: number; readonly blobs: number } {
    const { freedBytes, layers, blobs } = collectGarbage(this.context);
    return { freedBytes, layers: layers.length, blobs: blobs.length };
  }

  compressedForms(): readonly CompressedForm[] {
    return keptForms(this.context.db, this.root);
  }

  dropCompressedForms(): number {
    forgetForms(this.context);
    return collectGarbage(this.context).freedBytes;
  }

  temporaryFolder(purpose: string): TemporaryFolder {
    const path = this.context.temporaryPath(purpose);
    explainingRoot(this.root, () => mkdirSync(path, { mode: 0o700 }));
    return { path, [Symbol.dispose]: () => removeTree(path) };
  }

  containerFolder(id: string): string {
    return `${this.context.paths.containers}/${id}`;
  }

  [Symbol.dispose](): void {
    const { context } = this;
    // What this process made and nothing refers to: layers of steps that gave an old result, blobs of a broken pull.
    const hasGarbage = hasFreshGarbage(context);
    if (hasGarbage && context.owner !== undefined) {
      context.db.lossyTransaction(() => context.db.run("DELETE FROM holds WHERE owner = ?", context.owner ?? ""));
      collectGarbage(context);
    }
    context.close();
    context.db[Symbol.dispose]();
  }
}

const largeMemoBytes = 64 << 10;
/** Of a kind: folders that are built again and again, not those of every checkout there ever was. */
const keptLargeMemos = 32;

function memoStore({ db }: StoreContext): MemoStore {
  /** The kind of a memo is the part of its name up to the last slash. */
  const dropOldLarge = (name: string): void => {
    const kind = name.slice(0, name.lastIndexOf("/") + 1);
    db.run(
      `DELETE FROM memos WHERE name IN (
         SELECT name FROM memos WHERE substr(name, 1, ?) = ? AND length(value) > ? ORDER BY written_ms DESC LIMIT -1 OFFSET ?
       )`,
      kind.length,
      kind,
      largeMemoBytes,
      keptLargeMemos,
    );
  };
  return {
    get(name) {
      const value = db.get("SELECT value FROM memos WHERE name = ?", name)?.["value"];
      return value instanceof Uint8Array ? Buffer.from(value.buffer, value.byteOffset, value.byteLength) : undefined;
    },
    set(name, value) {
      db.lossyTransaction(() => {
        db.run("INSERT OR REPLACE INTO memos (name, value, written_ms) VALUES (?, ?, ?)", name, value, Date.now());
        if (value.length > largeMemoBytes) dropOldLarge(name);
      });
    },
  };
}
