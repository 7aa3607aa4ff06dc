/** A store of its own for one test, in a folder that is removed with everything in it. */
import { mkdtempSync, rmSync } from "node:fs";
import { openStore } from "../../src/store/open-store.ts";
import type { Store } from "../../src/store/store.ts";

export interface TemporaryStore extends Disposable {
  readonly store: Store;
  readonly root: string;
  /** A folder beside the store, for the test's own files. */
  readonly folder: string;
  /** Closes and opens it again, as a next process would. */
  reopen(): Store;
}

export function temporaryStore(): TemporaryStore {
  const folder = mkdtempSync("/tmp/tsbuild-test-store-");
  const root = `${folder}/root`;
  let store = openStore(root);
  return {
    get store() {
      return store;
    },
    root,
    folder,
    reopen() {
      store[Symbol.dispose]();
      store = openStore(root);
      return store;
    },
    [Symbol.dispose]() {
      store[Symbol.dispose]();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
