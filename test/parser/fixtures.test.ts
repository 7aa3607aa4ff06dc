// Folders of whole files: what a valid one means, and what is said about an invalid one, word for word.
import { readdirSync, readFileSync } from "node:fs";
import { PassThrough } from "node:stream";
import { expect, test } from "vitest";
import { diagnosticLines } from "../../src/cli/render/diagnostic.ts";
import { parseText } from "./parsed.ts";

const fixtures = new URL("../../fixtures/dockerfiles/", import.meta.url);
const cases = (folder: string) =>
  readdirSync(new URL(folder, fixtures)).map((name) => new URL(`${folder}/${name}/`, fixtures));
const nameOf = (folder: URL) => folder.pathname.split("/").at(-2) ?? "";

test.for(cases("valid").map((folder) => ({ name: nameOf(folder), folder })))("valid/$name", async ({ folder }) => {
  const { dockerfile, diagnostics } = parseText(readFileSync(new URL("Dockerfile", folder), "utf8"));
  expect(diagnostics.filter((diagnostic) => diagnostic.severity === "error")).toEqual([]);
  const { text: _text, ...tree } = dockerfile;
  await expect(`${JSON.stringify(tree, undefined, 1)}\n`).toMatchFileSnapshot(new URL("ast.json", folder).pathname);
});

test.for(cases("invalid").map((folder) => ({ name: nameOf(folder), folder })))("invalid/$name", async ({ folder }) => {
  const { dockerfile, diagnostics } = parseText(readFileSync(new URL("Dockerfile", folder), "utf8"));
  expect(diagnostics.some((diagnostic) => diagnostic.severity === "error")).toBe(true);
  const lines = diagnosticLines(dockerfile, diagnostics, new PassThrough());
  await expect(`${lines.join("\n")}\n`).toMatchFileSnapshot(new URL("diagnostics.txt", folder).pathname);
});
