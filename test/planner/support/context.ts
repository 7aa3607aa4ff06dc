/** Contexts on the disk, and a memo store of a test's own. */
import { chmodSync, linkSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { ContextOrigin } from "../../../src/planner/context-origin.ts";
import { FileDigests } from "../../../src/planner/file-digests.ts";
import { parseIgnoreFile } from "../../../src/planner/ignore-rules.ts";
import type { MemoStore } from "../../../src/store/store.ts";

export interface TestContext extends Disposable {
  readonly folder: string;
}

export type Files = Readonly<Record<string, string | { readonly link: string } | { readonly hard: string } | null>>;

/** Text = a file, `link` = a symlink, `hard` = a further name, null = a folder. */
export function temporaryContext(files: Files): TestContext {
  const folder = mkdtempSync("/tmp/tsbuild-test-context-");
  writeFiles(folder, files);
  return { folder, [Symbol.dispose]: () => rmSync(folder, { recursive: true, force: true }) };
}

export function writeFiles(folder: string, files: Files): void {
  for (const [path, content] of Object.entries(files)) {
    const place = join(folder, path);
    mkdirSync(dirname(place), { recursive: true });
    if (content === null) mkdirSync(place, { recursive: true });
    else if (typeof content === "string") {
      writeFileSync(place, content);
      chmodSync(place, 0o644);
    } else if ("link" in content) symlinkSync(content.link, place);
    else linkSync(join(folder, content.hard), place);
  }
}

export function memoStore(): MemoStore {
  const values = new Map<string, Buffer>();
  return { get: (name) => values.get(name), set: (name, value) => values.set(name, Buffer.from(value)) };
}

let stores = 0;

export function originOf(folder: string, ignore = "", memo: MemoStore = memoStore()): ContextOrigin {
  const digests = new FileDigests(memo, `store-${stores++}`, folder);
  return new ContextOrigin(folder, parseIgnoreFile(ignore, ".dockerignore"), digests);
}
