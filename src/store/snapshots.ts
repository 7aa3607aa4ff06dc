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
  readonly upperdir: string;
  readonly root: RootAttributes;
}

interface Folded {
  readonly folder: string;
  readonly sealed: Sealed;
}

export class OpenSnapshot implements Snapshot {
  readonly parents: Chain;
  readonly upperdir: string;
  readonly #context: StoreContext;
  readonly #layers: Layers;
  readonly #root: RootAttributes;
  /** Beside the upperdir, of no use afterwards. */
  readonly #folders: string[] = [];
  #scratch: string | undefined;
  #isOurs = true;
  #folded: Folded | undefined;

  constructor(context: StoreContext, layers: Layers, { parents, upperdir, root }: SnapshotParts) {
    this.#context = context;
    this.#layers = layers;
    this.parents = parents;
    this.upperdir = upperdir;
    this.#root = root;
  }

  scratchDir(): string {
    this.#scratch ??= this.#newFolder("scratch");
    return this.#scratch;
  }

  /** A mount with `volatile` refuses a workdir that was used before. */
  newWorkdir(): string {
    return this.#newFolder("work");
  }

  #newFolder(purpose: string): string {
    const folder = this.#context.temporaryPath(purpose);
    mkdirSync(folder, { mode: 0o700 });
    this.#folders.push(folder);
    return folder;
  }

  *fold({ rootMtimeNs, ...contents }: Parameters<Snapshot["fold"]>[0]): Generator<void, void> {
    const root = { ...this.#root, mtimeNs: rootMtimeNs };
    const folder = this.#context.temporaryPath("folded");
    this.#folders.push(folder);
    this.#folded = { folder, sealed: yield* foldLayer(folder, { ...contents, root }) };
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
      return new CommittedLayer(this.#layers, {
        id,
        parents: this.parents,
        folders: this.#folders,
        digests: undefined,
      });
    });
  }

  #commitFolded({ folder, sealed: digests }: Folded): UnsealedLayer {
    const id = this.#layers.adoptTree(folder);
    this.#isOurs = false;
    const folders = [this.upperdir, ...this.#folders];
    return new CommittedLayer(this.#layers, { id, parents: this.parents, folders, digests });
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
    removeTrees(this.#folders);
    for (const old of readdirSync(failed).sort().slice(0, -keptFailures)) removeTree(`${failed}/${old}`);
    return `${folder}/tree`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#isOurs) return;
    this.#isOurs = false;
    removeTrees([this.upperdir, ...this.#folders]);
  }
}

function removeTrees(paths: readonly string[]): void {
  for (const path of paths) removeTree(path);
}

interface CommittedParts {
  readonly id: LayerId;
  readonly parents: Chain;
  readonly folders: readonly string[];
  readonly digests: Sealed | undefined;
}

class CommittedLayer implements UnsealedLayer {
  readonly id: LayerId;
  readonly parents: Chain;
  readonly #layers: Layers;
  /** Of a folded layer: known since it was written. */
  readonly #digests: Sealed | undefined;
  /** What the snapshot leaves: whoever has time for sealing has it for these, too. */
  #folders: readonly string[];
  #sealed: Promise<LayerRecord> | undefined;
  #isRecorded = false;

  constructor(layers: Layers, { id, parents, folders, digests }: CommittedParts) {
    this.#layers = layers;
    this.#digests = digests;
    this.id = id;
    this.parents = parents;
    this.#folders = folders;
  }

  seal(signal: AbortSignal): Promise<LayerRecord> {
    this.#removeFolders();
    this.#sealed ??= this.#layers.seal(this.id, this.parents, signal, this.#digests).then((record) => {
      this.#isRecorded = true;
      return record;
    });
    return this.#sealed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#removeFolders();
    // A seal that is under way reads the tree.
    await this.#sealed?.catch(() => undefined);
    if (!this.#isRecorded) this.#layers.dropUnrecorded(this.id);
    this.#isRecorded = true;
  }

  #removeFolders(): void {
    const folders = this.#folders;
    this.#folders = [];
    removeTrees(folders);
  }
}
