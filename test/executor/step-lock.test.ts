import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { setTimeout as wait } from "node:timers/promises";
import { expect, test } from "vitest";
import { lockStep } from "../../src/executor/step-lock.ts";
import { sha256 } from "../../src/oci/digest.ts";
import { temporaryTestFolder } from "../support/temporary-folder.ts";

const signal = new AbortController().signal;

test("eight that want one step have it one after the other, and no file stays", async () => {
  using folder = temporaryTestFolder("lock");
  let inside = 0;
  let most = 0;
  const one = async (): Promise<void> => {
    using _ = await lockStep(folder.path, sha256("step"), signal);
    inside++;
    most = Math.max(most, inside);
    await wait(5);
    inside--;
  };
  await Promise.all(Array.from({ length: 8 }, one));
  expect([most, readdirSync(`${folder.path}/locks`)]).toEqual([1, []]);
});

test("two steps do not wait for each other", async () => {
  using folder = temporaryTestFolder("lock");
  using _first = await lockStep(folder.path, sha256("one"), signal);
  using _second = await lockStep(folder.path, sha256("two"), signal);
  expect(readdirSync(`${folder.path}/locks`)).toHaveLength(2);
});

test("what a killed build left is taken away", async () => {
  using folder = temporaryTestFolder("lock");
  mkdirSync(`${folder.path}/locks`);
  writeFileSync(`${folder.path}/locks/step-of-a-dead-one`, "");
  {
    using _ = await lockStep(folder.path, sha256("step"), signal);
    expect(readdirSync(`${folder.path}/locks`)).toHaveLength(1);
  }
  expect(readdirSync(`${folder.path}/locks`)).toEqual([]);
});

test("waiting ends with the signal", async () => {
  using folder = temporaryTestFolder("lock");
  using _ = await lockStep(folder.path, sha256("step"), signal);
  const stop = new AbortController();
  const waiting = lockStep(folder.path, sha256("step"), stop.signal);
  stop.abort(new Error("stopped"));
  await expect(waiting).rejects.toThrow("stopped");
});
