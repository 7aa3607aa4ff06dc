/** An export into a folder: beside the thread that asked for it, and ended in the middle. */
import { mkdirSync, readdirSync, readFileSync, truncateSync, writeFileSync } from "node:fs";
import { setImmediate as nextEvents } from "node:timers/promises";
import { afterEach, beforeEach, expect, test } from "vitest";
import { exportToFolderInThread } from "../../src/executor/export-folder-thread.ts";
import { exportToTar } from "../../src/executor/export-tar.ts";
import { type TemporaryTestFolder, temporaryTestFolder } from "../support/temporary-folder.ts";

let place: TemporaryTestFolder;
let tree: string;
let out: string;

beforeEach(() => {
  place = temporaryTestFolder("export");
  tree = `${place.path}/tree`;
  out = `${place.path}/out`;
  mkdirSync(tree);
});
afterEach(() => place[Symbol.dispose]());

const options = () => ({ trees: [tree], mtime: undefined, folder: out, removesOthers: false });

/** Counts how often events get their turn until `work` is over. */
async function turnsDuring(work: Promise<unknown>): Promise<number> {
  let turns = 0;
  let over = false;
  const ended = work.finally(() => {
    over = true;
  });
  for (; !over; turns++) await nextEvents();
  await ended;
  return turns;
}

test("files come out while the caller goes on with its own", async () => {
  for (let i = 0; i < 300; i++) writeFileSync(`${tree}/${i}`, `${i}`);
  const turns = await turnsDuring(exportToFolderInThread(options(), new AbortController().signal));
  expect(turns).toBeGreaterThan(10);
  expect(readdirSync(out)).toHaveLength(300);
  expect(readFileSync(`${out}/7`, "utf8")).toBe("7");
});

test("an abort ends it within a second, and no half file stays", async () => {
  for (let i = 0; i < 3000; i++) writeFileSync(`${tree}/${i}`, "x".repeat(20_000));
  const controller = new AbortController();
  const exported = exportToFolderInThread(options(), controller.signal);
  exported.catch(() => undefined);
  const deadline = performance.now() + 20_000;
  while (performance.now() < deadline && names().length < 5) await nextEvents();
  const started = performance.now();
  controller.abort("SIGINT");
  await expect(exported).rejects.toBe("SIGINT");
  expect(performance.now() - started).toBeLessThan(1000);
  const written = names();
  expect(written.length).toBeLessThan(3000);
  expect(written.filter((name) => name.endsWith(".tsbuild"))).toEqual([]);
  for (const name of written) expect(readFileSync(`${out}/${name}`)).toHaveLength(20_000);
});

function names(): readonly string[] {
  try {
    return readdirSync(out);
  } catch {
    return []; // not made yet
  }
}

test("what cannot be written is an error with the folder's name", async () => {
  writeFileSync(`${tree}/f`, "");
  writeFileSync(out, "a file");
  await expect(exportToFolderInThread(options(), new AbortController().signal)).rejects.toMatchObject({
    message: expect.stringContaining(`cannot write the result to ${out}`),
  });
});

test("a tar lets events in, and an abort between two pieces of one file", async () => {
  writeFileSync(`${tree}/large`, "");
  truncateSync(`${tree}/large`, 1 << 30);
  let written = 0;
  const controller = new AbortController();
  const checkAbort = (): void => controller.signal.throwIfAborted();
  const exported = exportToTar({ trees: [tree], mtime: undefined, prefix: undefined, checkAbort }, (bytes) => {
    written += bytes.length;
  });
  exported.catch(() => undefined);
  while (written < 1 << 20) await nextEvents();
  controller.abort("SIGINT");
  await expect(exported).rejects.toBe("SIGINT");
  expect(written).toBeLessThan(1 << 30);
});
