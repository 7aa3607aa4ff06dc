/**
 * Folders that bind mounts show of build contexts. In a context everything belongs to root, and what is ignored is not
 * there: where that is so on the host as well its own folder is shown, and where all belongs to one user it is shown as
 * root's; else a copy, made once a build.
 * Source: Dockerfile reference, "RUN --mount=type=bind"; BuildKit's local source, which has no owners.
 */
import { chmodSync, lstatSync, mkdirSync } from "node:fs";
import { bytePath } from "../kernel/byte-path.ts";
import type { Digest } from "../oci/digest.ts";
import type { BuildContexts } from "../planner/build-contexts.ts";
import type { Selection } from "../planner/selection.ts";
import type { Driver } from "../runtime/driver.ts";
import type { Store, TemporaryFolder } from "../store/store.ts";
import { copyTree } from "./copy-tree.ts";
import { mountSourceNotFound } from "./errors.ts";
import { asRoots, type BindOfContext, type ContextBind } from "./run-mounts.ts";

export class ContextFiles implements Disposable {
  readonly #contexts: BuildContexts;
  readonly #store: Store;
  readonly #copies = new Map<Digest, string>();
  #folder: TemporaryFolder | undefined;

  constructor(contexts: BuildContexts, store: Store) {
    this.#contexts = contexts;
    this.#store = store;
  }

  /**
   * The file or folder that a bind shows. If it is read-only, the driver may show another owner's files as root's.
   * @throws {TsbuildError} `SOURCE_NOT_FOUND`
   */
  async find(
    { name, source, readonly }: BindOfContext,
    selection: Selection | undefined,
    driver: Driver,
  ): Promise<ContextBind> {
    const origin = this.#contexts.origin(name);
    if (origin === undefined || selection === undefined) throw mountSourceNotFound(source, "the build context");
    const node = origin.rules.isEmpty ? origin.lookup(bytePath(source)) : undefined;
    // A name that is no text is no source of a mount.
    const path = typeof node?.hostPath === "string" ? node.hostPath : undefined;
    const owner = path === undefined ? undefined : onlyOwner(selection);
    if (path !== undefined && owner !== undefined) {
      if (owner.uid === 0 && owner.gid === 0) return { path };
      if (readonly && (await driver.canMapOwners?.(path, asRoots(owner))) === true) return { path, owner };
    }
    const known = this.#copies.get(selection.digest);
    if (known !== undefined) return { path: known };
    const copy = this.#copy(selection, source);
    this.#copies.set(selection.digest, copy);
    return { path: copy };
  }

  #copy(selection: Selection, source: string): string {
    this.#folder ??= this.#store.temporaryFolder("context");
    const folder = `${this.#folder.path}/${this.#copies.size}`;
    mkdirSync(folder);
    const [first] = selection.sources;
    if (first === undefined) throw mountSourceNotFound(source, "the build context");
    const isFolder = first.entries[0].type === "dir";
    copyTree({
      upperdir: folder,
      lowerdirs: [],
      destination: isFolder ? "/" : "/file",
      sources: selection.sources,
      owner: undefined,
      chmod: undefined,
      parents: false,
    });
    if (!isFolder) return `${folder}/file`;
    if (source !== "/") chmodSync(folder, first.entries[0].mode);
    return folder;
  }

  [Symbol.dispose](): void {
    this.#folder?.[Symbol.dispose]();
    this.#folder = undefined;
  }
}

/** Whom all of it belongs to on the host; undefined when there are several. */
function onlyOwner({ sources }: Selection): ContextBind["owner"] {
  let owner: ContextBind["owner"];
  for (const { entries } of sources)
    for (const { hostPath } of entries) {
      const stat = lstatSync(hostPath, { throwIfNoEntry: false });
      if (stat === undefined) continue;
      owner ??= { uid: stat.uid, gid: stat.gid };
      if (stat.uid !== owner.uid || stat.gid !== owner.gid) return undefined;
    }
  return owner;
}
