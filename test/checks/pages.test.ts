// Every check has a page, and what the page calls bad and good is so.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { rules } from "../../src/checks/rules.ts";
import { namesOf } from "./findings.ts";

const folder = new URL("../../docs/checks/", import.meta.url);

interface Page {
  readonly text: string;
  readonly bad: string | undefined;
  readonly good: string | undefined;
  readonly ignore: string | undefined;
}

function pageOf(name: string): Page {
  const text = readFileSync(new URL(`${name}.md`, folder), "utf8");
  const fence = (language: string, heading: string): string | undefined => {
    const section = text.slice(text.indexOf(`## ${heading}\n`)).split(/^## /m)[1] ?? "";
    return new RegExp(`\`\`\`${language}\n([^]*?)\n\`\`\``).exec(section)?.[1];
  };
  return {
    text,
    bad: fence("dockerfile", "Bad"),
    good: fence("dockerfile", "Good"),
    ignore: fence("dockerignore", "Bad"),
  };
}

/** Every base of the examples is here; of one the page says that it is for another machine. */
const images = { "only-for-arm:1": {}, "debian:12": {}, "node:24": {}, debian: {} };

test.for([...rules.values()])("$name: its bad example is found and its good one is not", async ({ name }) => {
  const { text, bad, good, ignore } = pageOf(name);
  expect(text).toMatch(new RegExp(`^# ${name}\n`));
  const request = { own: true, ...(ignore !== undefined && { ignore }) };
  const found = async (example: string | undefined): Promise<readonly string[]> => {
    expect(example).toBeDefined();
    const architecture = example?.includes("only-for-arm") ? "arm64" : "amd64";
    const names = await namesOf(example ?? "", { ...request, images, architecture });
    return names.map((line) => line.replace(/^\d+ /, ""));
  };
  expect(await found(bad)).toContain(name);
  expect(await found(good)).not.toContain(name);
});

test("there is no page without a check, and the list has them all", () => {
  const names = readdirSync(folder).filter((name) => name !== "README.md");
  expect(names.sort()).toEqual([...rules.keys()].map((name) => `${name}.md`).sort());
  const list = readFileSync(new URL("README.md", folder), "utf8");
  expect([...rules.keys()].filter((name) => !list.includes(`[${name}](${name}.md)`))).toEqual([]);
});

test("links between pages lead somewhere", () => {
  for (const name of readdirSync(folder)) {
    const text = readFileSync(new URL(name, folder), "utf8");
    for (const [, target = ""] of text.matchAll(/\]\(([^)#]+)\)/g))
      expect(existsSync(new URL(target, folder)), `${name} -> ${target}`).toBe(true);
  }
});
