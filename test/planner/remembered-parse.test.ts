import { readdirSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { parse } from "../../src/parser/parse.ts";
import { parseRemembered } from "../../src/planner/remembered-parse.ts";
import type { MemoStore } from "../../src/store/store.ts";

const valid = new URL("../../fixtures/dockerfiles/valid/", import.meta.url);

function memory(): MemoStore & { readonly values: Map<string, Buffer> } {
  const values = new Map<string, Buffer>();
  return { values, get: (name) => values.get(name), set: (name, value) => void values.set(name, Buffer.from(value)) };
}

test.for(readdirSync(valid))("what is remembered of %s is what the parser says", async (name) => {
  const text = readFileSync(new URL(`${name}/Dockerfile`, valid), "utf8");
  const memo = memory();
  const source = { text, file: "Dockerfile" };
  await parseRemembered(source, memo, "one");
  expect(memo.values.size).toBe(1);
  expect(await parseRemembered(source, memo, "one")).toEqual(parse(text, { file: "Dockerfile" }));
});

test("another text, another name and another parser are asked anew", async () => {
  const memo = memory();
  const source = { text: "FROM scratch\n", file: "Dockerfile" };
  await parseRemembered(source, memo, "one");
  await parseRemembered({ ...source, text: "FROM scratch AS a\n" }, memo, "one");
  await parseRemembered({ ...source, file: "other" }, memo, "one");
  await parseRemembered(source, memo, "two");
  expect(memo.values.size).toBe(4);
});

test("a file with an error is not remembered, and neither is anything without a bundle", async () => {
  const memo = memory();
  await parseRemembered({ text: "FORM scratch\n", file: "Dockerfile" }, memo, "one");
  await parseRemembered({ text: "FROM scratch\n", file: "Dockerfile" }, memo);
  expect(memo.values.size).toBe(0);
});
