/** A layer in the making: an upperdir, then a tree with its place, then (sealed) a layer. */
import {
  type BigIntStats,
  chmodSync,
  chownSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  renameSync,
  writeFileSync,
} from "node:fs";
import { setMtime } from "../kernel/files.ts";
import { explainingRoot } from "./explain-root.ts";
import { foldLayer } from "./folded-layer.ts";
import type { Layers } from "./layers.ts";
import type { Sealed } from "./seal-layer.ts";
import type { Chain, LayerId, LayerRecord, Snapshot, UnsealedLayer } from "./store.ts";
import { freshName, removeTree, type StoreContext } from "./store-context.ts";

const keptFailures = 5;
const foldedName = "folded";

export interface RootAttributes {
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly mtimeNs: bigint;
}

export function rootAttributes({ mode, uid, gid, mtimeNs }: BigIntStats): RootAttributes {
  return { mode: Number(mode) & 0o7777, uid: Number(uid), gid: Number(gid), mtimeNs };
}

/** Makes a folder look like that root. */
export function applyRoot(folder: string, { mode, uid, gid, mtimeNs }: RootAttributes): void {
  chownSync(folder, uid, gid);
  chmodSync(folder, mode);
  setMtime(folder, mtimeNs);
}

export interface SnapshotParts {
  readonly parents: Chain;
  readonly folder: string;
  readonly upperdir: string;
  readonly root: RootAttributes;
}

export class OpenSnapshot implements Snapshot {
  readonly parents: Chain;
  readonly upperdir: string;
  readonly scratchDir: string;
  readonly #context: StoreContext;
  readonly #layers: Layers;
  readonly #folder: string;
  readonly #root: RootAttributes;
  #workdirs = 0;
  #isOurs = true;
  #folded: Sealed | undefined;

  constructor(context: StoreContext, layers: Layers, { parents, folder, upperdir, root }: SnapshotParts) {
    this.#context = context;
    this.#layers = layers;
    this.parents = parents;
    this.upperdir = upperdir;
    this.scratchDir = `${folder}/scratch`;
    this.#folder = folder;
    this.#root = root;
  }

  /** A mount with `volatile` refuses a workdir that was used before. */
  newWorkdir(): string {
    this.#workdirs += 1;
    const workdir = `${this.#folder}/work${this.#workdirs}`;
    mkdirSync(workdir, { mode: 0o700 });
    return workdir;
  }

  *fold({ rootMtimeNs, ...contents }: Parameters<Snapshot["fold"]>[0]): Generator<void, void> {
    const root = { ...this.#root, mtimeNs: rootMtimeNs };
    this.#folded = yield* foldLayer(`${this.#folder}/${foldedName}`, { ...contents, root });
  }

  commit(): UnsealedLayer {
    return explainingRoot(this.#context.paths.root, () => {
      if (this.#folded !== undefined) return this.#commitFolded(this.#folded);
      // No tar of a layer of ours has an entry for the root, so what a step did to it must not be seen above either.
      const { mtimeNs, ...attributes } = rootAttributes(lstatSync(this.upperdir, { bigint: true }));
      const { mode, uid, gid } = this.#root;
      if (attributes.mode !== mode || attributes.uid !== uid || attributes.gid !== gid)
        applyRoot(this.upperdir, { ...this.#root, mtimeNs });
      const id = this.#layers.adoptUpper(this.upperdir);
      this.#isOurs = false;
      removeTree(this.#folder);
      return new CommittedLayer(this.#layers, id, this.parents);
    });
  }

  #commitFolded(sealed: Sealed): UnsealedLayer {
    const id = this.#layers.adoptTree(`${this.#folder}/${foldedName}`);
    this.#isOurs = false;
    removeTree(this.#folder);
    return new CommittedLayer(this.#layers, id, this.parents, sealed);
  }

  keepAsFailed(description: string): string {
    return explainingRoot(this.#context.paths.root, () => this.#keepAsFailed(description));
  }

  #keepAsFailed(description: string): string {
    const { failed } = this.#context.paths;
    // Sorts by age.
    const name = `${Date.now().toString(36).padStart(9, "0")}-${freshName().slice(0, 6)}`;
    const folder = `${failed}/${name}`;
    mkdirSync(folder, { mode: 0o700 });
    writeFileSync(`${folder}/description`, `${description}\n`, { mode: 0o600 });
    writeFileSync(`${folder}/parents`, JSON.stringify(this.parents), { mode: 0o600 });
    renameSync(this.upperdir, `${folder}/tree`);
    this.#isOurs = false;
    removeTree(this.#folder);
    for (const old of readdirSync(failed).sort().slice(0, -keptFailures)) removeTree(`${failed}/${old}`);
    return `${folder}/tree`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#isOurs) return;
    this.#isOurs = false;
    removeTree(this.#folder);
  }
}

class CommittedLayer implements UnsealedLayer {
  readonly id: LayerId;
  readonly parents: Chain;
  readonly #layers: Layers;
  /** Of a folded layer: known since it was written. */
  readonly #digests: Sealed | undefined;
  #sealed: Promise<LayerRecord> | undefined;
  #isRecorded = false;

  constructor(layers: Layers, id: LayerId, parents: Chain, digests?: Sealed) {
    this.#layers = layers;
    this.#digests = digests;
    this.id = id;
    this.parents = parents;
  }

  seal(signal: AbortSignal): Promise<LayerRecord> {
    this.#sealed ??= this.#layers.seal(this.id, this.parents, signal, this.#digests).then((record) => {
      this.#isRecorded = true;
      return record;
    });
    return this.#sealed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // A seal that is under way reads the tree.
    await this.#sealed?.catch(() => undefined);
    if (!this.#isRecorded) this.#layers.dropUnrecorded(this.id);
    this.#isRecorded = true;
  }
}
