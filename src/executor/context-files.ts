/**
 * Folders that bind mounts show of build contexts. In a context everything belongs to root, and what is ignored is not
 * there: where that is so on the host as well its own folder is shown, else a copy, made once a build.
 * Source: Dockerfile reference, "RUN --mount=type=bind"; BuildKit's local source, which has no owners.
 */
import { chmodSync, lstatSync, mkdirSync } from "node:fs";
import { bytePath } from "../kernel/byte-path.ts";
import type { Digest } from "../oci/digest.ts";
import type { BuildContexts } from "../planner/build-contexts.ts";
import type { Selection } from "../planner/selection.ts";
import type { Store, TemporaryFolder } from "../store/store.ts";
import { copyTree } from "./copy-tree.ts";
import { mountSourceNotFound } from "./errors.ts";

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
   * The file or folder at `source`: absolute, to be read only. `name`: of the context; the main one has none.
   * @throws {TsbuildError} `SOURCE_NOT_FOUND`
   */
  pathOf(name: string | undefined, source: string, selection: Selection | undefined): string {
    const origin = this.#contexts.origin(name);
    if (origin === undefined || selection === undefined) throw mountSourceNotFound(source, "the build context");
    const node = origin.rules.isEmpty ? origin.lookup(bytePath(source)) : undefined;
    if (node !== undefined && belongsToRoot(selection)) return String(node.hostPath);
    const known = this.#copies.get(selection.digest);
    if (known !== undefined) return known;
    const copy = this.#copy(selection, source);
    this.#copies.set(selection.digest, copy);
    return copy;
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

function belongsToRoot({ sources }: Selection): boolean {
  return sources.every(({ entries }) =>
    entries.every(({ hostPath }) => {
      const stat = lstatSync(hostPath, { throwIfNoEntry: false });
      return stat === undefined || (stat.uid === 0 && stat.gid === 0);
    }),
  );
}
