import { chmodSync, lstatSync, mkdirSync, renameSync, rmSync, symlinkSync, utimesSync, writeFileSync } from "node:fs";
import { setTimeout } from "node:timers/promises";
import { expect, test } from "vitest";
import type { MemoStore, Store } from "../../src/store/store.ts";
import { temporaryTestFolder } from "../support/temporary-folder.ts";
import { temporaryStore } from "../support/temporary-store.ts";
import { type BuildRequest, firstDefinition } from "./support/build.ts";

const marker = `sha256:${"0".repeat(64)}`;
const text = "FROM b⏎COPY src /src";

function fill(folder: string): void {
  for (let outer = 0; outer < 3; outer += 1) {
    mkdirSync(`${folder}/src/d${outer}`, { recursive: true });
    for (let inner = 0; inner < 100; inner += 1)
      writeFileSync(`${folder}/src/d${outer}/f${inner}`, `${outer} ${inner}`);
  }
  mkdirSync(`${folder}/src/hidden`);
  writeFileSync(`${folder}/src/hidden/secret`, "");
  writeFileSync(`${folder}/src/ü`, "bytes");
  symlinkSync("d0/f1", `${folder}/src/link`);
  writeFileSync(`${folder}/beside`, "");
}

/** What changed a moment ago could change again without a trace, and is not remembered. */
async function settle(path: string): Promise<void> {
  const { ctimeMs } = lstatSync(path);
  for (const end = Date.now() + 5000; Date.now() < ctimeMs + 40; await setTimeout(5))
    if (Date.now() > end) throw new Error("the clock stands still");
}

/** The store, with what it remembers of definitions at hand. */
function withMemos(store: Store, memos: Map<string, Buffer>, onRead: () => void = () => undefined): Store {
  const memo: MemoStore = {
    get: (name) => {
      onRead();
      return memos.get(name) ?? store.memo.get(name);
    },
    set: (name, value) => {
      if (name.startsWith("context-definitions/")) memos.set(name, Buffer.from(value));
      else store.memo.set(name, value);
    },
  };
  return Object.create(store, { memo: { value: memo } }) as Store;
}

function rewritten(src: string): void {
  const { atime, mtime } = lstatSync(`${src}/d1/f7`);
  writeFileSync(`${src}/d1/f7`, "7 1");
  utimesSync(`${src}/d1/f7`, atime, mtime);
}

function relinked(src: string): void {
  rmSync(`${src}/link`);
  symlinkSync("d0/f2", `${src}/link`);
}

function replaced(src: string): void {
  rmSync(`${src}/d1`, { recursive: true });
  writeFileSync(`${src}/d1`, "");
}

interface Row {
  readonly name: string;
  readonly change: (src: string) => void;
  /** Is the remembered digest still believed? */
  readonly believed: boolean;
}

test.for<Row>([
  { name: "nothing", change: () => undefined, believed: true },
  { name: "a file beside the source", change: (src) => writeFileSync(`${src}/../beside`, "other"), believed: true },
  {
    name: "what is in an ignored folder",
    change: (src) => writeFileSync(`${src}/hidden/secret`, "other"),
    believed: true,
  },
  { name: "a file's content, time and size kept", change: rewritten, believed: false },
  { name: "a file's mode", change: (src) => chmodSync(`${src}/d1/f7`, 0o755), believed: false },
  { name: "a file's time", change: (src) => utimesSync(`${src}/d1/f7`, 1, 1), believed: false },
  { name: "a new name", change: (src) => writeFileSync(`${src}/d2/new`, ""), believed: false },
  { name: "a name that is gone", change: (src) => rmSync(`${src}/d2/f9`), believed: false },
  { name: "another name", change: (src) => renameSync(`${src}/d2/f9`, `${src}/d2/g9`), believed: false },
  { name: "a folder's mode", change: (src) => chmodSync(`${src}/d1`, 0o700), believed: false },
  { name: "another target of a link", change: relinked, believed: false },
  { name: "a file in place of a folder", change: replaced, believed: false },
  { name: "a name of more than ASCII", change: (src) => writeFileSync(`${src}/ü`, "other"), believed: false },
])(
  "after a change of $name: the remembered definition is believed = $believed, and right",
  async ({ change, believed }) => {
    using temporary = temporaryStore();
    using context = temporaryTestFolder("context");
    const memos = new Map<string, Buffer>();
    const store = withMemos(temporary.store, memos);
    fill(context.path);
    await settle(`${context.path}/src/link`);
    const request = { folder: context.path, ignore: "**/hidden" };
    const first = await firstDefinition(store, text, request);
    expect(first.known.digest).toBe(first.fresh.digest);
    expect(memos.size).toBe(1);
    // A digest that nothing could give but the memory.
    for (const memo of memos.values()) memo.write(marker, 0, "latin1");

    change(`${context.path}/src`);
    const { known, fresh } = await firstDefinition(store, text, request);
    expect(known.digest).toBe(believed ? marker : fresh.digest);
    expect((await known.whole()).input).toBe(fresh.input);
  },
);

test.for([
  { name: "other ignored files", again: { ignore: "**/d1" } },
  { name: "another destination", again: { text: "FROM b⏎COPY src /elsewhere" } },
  { name: "--no-cache", again: { options: { noCache: true } } },
])("a definition is not believed to be that of $name", async ({ again: { text: line = text, ...again } }: Again) => {
  using temporary = temporaryStore();
  using context = temporaryTestFolder("context");
  const memos = new Map<string, Buffer>();
  const store = withMemos(temporary.store, memos);
  fill(context.path);
  await settle(`${context.path}/src/link`);
  await firstDefinition(store, text, { folder: context.path });
  for (const memo of memos.values()) memo.write(marker, 0, "latin1");
  const { known, fresh } = await firstDefinition(store, line, { folder: context.path, ...again });
  expect(known.digest).toBe(fresh.digest);
});

interface Again {
  readonly again: { readonly text?: string } & Partial<BuildRequest>;
}

test("files that changed a moment ago are not remembered", async () => {
  using temporary = temporaryStore();
  using context = temporaryTestFolder("context");
  const memos = new Map<string, Buffer>();
  fill(context.path);
  await settle(`${context.path}/src/link`);
  const touch = (): void => utimesSync(`${context.path}/src/d0/f0`, 1, 1);
  await firstDefinition(withMemos(temporary.store, memos, touch), text, { folder: context.path });
  expect(memos.size).toBe(0);
});

test.for([
  { name: "cut short", damage: (memo: Buffer) => memo.subarray(0, 100) },
  { name: "empty", damage: () => Buffer.alloc(0) },
  { name: "with fewer names", damage: (memo: Buffer) => memo.subarray(0, -20) },
])("a memo that is $name counts as none", async ({ damage }) => {
  using temporary = temporaryStore();
  using context = temporaryTestFolder("context");
  const memos = new Map<string, Buffer>();
  const store = withMemos(temporary.store, memos);
  fill(context.path);
  await settle(`${context.path}/src/link`);
  await firstDefinition(store, text, { folder: context.path });
  for (const [name, memo] of memos) memos.set(name, Buffer.from(damage(memo)));
  const { known, fresh } = await firstDefinition(store, text, { folder: context.path });
  expect(known.digest).toBe(fresh.digest);
});
