/** Imports run one way. Each line that breaks a rule is named, with the rule. */
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { expect, test } from "vitest";

const source = new URL("../src", import.meta.url).pathname;

/** What a room may import besides itself and what is open to all. `errors` is src/errors.ts, `index` src/index.ts. */
const allowed: Readonly<Record<string, readonly string[]>> = {
  errors: [],
  "nearest-word": [],
  "program-file": [],
  "web-dispatcher": ["errors"],
  oci: ["errors"],
  kernel: ["errors", "oci"],
  parser: ["errors"],
  store: ["errors", "kernel", "oci"],
  registry: ["errors", "kernel", "oci", "store"],
  archive: ["errors", "kernel", "oci", "store"],
  runtime: ["errors", "kernel", "oci", "store"],
  planner: ["errors", "kernel", "oci", "parser", "store"],
  checks: ["errors", "kernel", "oci", "parser", "planner", "store"],
  executor: ["checks", "errors", "kernel", "oci", "parser", "planner", "runtime", "store"],
  cli: [
    "archive",
    "checks",
    "errors",
    "executor",
    "kernel",
    "oci",
    "parser",
    "planner",
    "registry",
    "runtime",
    "store",
  ],
  index: [
    "archive",
    "checks",
    "errors",
    "executor",
    "kernel",
    "oci",
    "parser",
    "planner",
    "registry",
    "runtime",
    "store",
  ],
};

const openToAll: readonly string[] = ["nearest-word", "program-file", "web-dispatcher"];

/** Packages that only one room may know. */
const owners: Readonly<Record<string, readonly string[]>> = {
  chevrotain: ["parser"],
  commander: ["cli"],
  koffi: ["kernel"],
  undici: ["planner", "registry", "web-dispatcher"],
};

interface ImportLine {
  readonly file: string;
  readonly line: number;
  readonly text: string;
  readonly room: string;
  readonly target: string;
}

function* importLines(): Generator<ImportLine> {
  for (const entry of readdirSync(source, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile() || !entry.name.endsWith(".ts")) continue;
    const path = join(entry.parentPath, entry.name);
    const text = readFileSync(path, "utf8");
    for (const match of text.matchAll(/(?:\bfrom|\bimport|\bimport\()\s*"([^"]+)"/g)) {
      const target = match[1] ?? "";
      const before = text.slice(0, match.index);
      yield {
        file: relative(source, path),
        line: before.split("\n").length,
        text: match[0],
        room: roomOf(path),
        target: target.startsWith(".") ? resolve(dirname(path), target) : target,
      };
    }
  }
}

function roomOf(path: string): string {
  return (relative(source, path).split("/")[0] ?? "").replace(/\.ts$/, "");
}

test("imports run one way between the rooms", () => {
  const broken: string[] = [];
  for (const { file, line, text, room, target } of importLines()) {
    const rule = allowed[room];
    if (rule === undefined) broken.push(`${file}: src/${room} is no room of the house`);
    if (!target.startsWith("/")) continue;
    const to = roomOf(target);
    if (to !== room && !openToAll.includes(to) && rule?.includes(to) === false) {
      broken.push(`${file}:${line}: ${text}: ${room} may import ${[room, ...rule].join(", ")}`);
    }
  }
  expect(broken).toEqual([]);
});

test("relative imports name the file, with .ts", () => {
  const broken = [...importLines()].filter(({ target }) => target.startsWith("/") && !/\.(?:ts|json)$/.test(target));
  expect(broken.map(({ file, line, text }) => `${file}:${line}: ${text}`)).toEqual([]);
});

test("a package is known to its own room only, Node's modules have their prefix", () => {
  const broken = [...importLines()].filter(({ room, target }) => {
    if (target.startsWith("/") || target.startsWith("node:")) return false;
    const name = target.split("/")[0] ?? "";
    return owners[name]?.includes(room) === false || /^(?:fs|path|os|crypto|stream|util|events)$/.test(name);
  });
  expect(broken.map(({ file, line, text }) => `${file}:${line}: ${text}`)).toEqual([]);
});
