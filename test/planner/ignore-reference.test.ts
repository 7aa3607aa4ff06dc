/**
 * `.dockerignore` beside a real BuildKit: generated patterns over generated trees, one build for each, and what COPY takes
 * of them by its names.
 */
import { execFileSync } from "node:child_process";
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import type { BytePath } from "../../src/kernel/byte-path.ts";
import { textOfBytePath } from "../../src/kernel/byte-path.ts";
import type { Origin, OriginNode } from "../../src/planner/origin.ts";
import { lacksDocker, type RunningDocker, startDocker } from "../support/dockerd.ts";
import { originOf, temporaryContext, writeFiles } from "./support/context.ts";

const runs = 40;
const oddRuns = 60;
/** The same ones every time: a build is slow, and a difference must be seen again. */
const seed = 20_240_229;

const name = fc.constantFrom("a", "b", "ab", "a.md", ".x", "b c");
const file = fc.array(name, { minLength: 1, maxLength: 4 }).map((parts) => parts.join("/"));
const tree = fc.uniqueArray(file, { minLength: 3, maxLength: 12 }).map(withoutParents);

function withoutParents(paths: readonly string[]): readonly string[] {
  return paths.filter((one) => !paths.some((other) => other.startsWith(`${one}/`))).toSorted();
}

const glob = fc.constantFrom(
  "a",
  "b",
  "ab",
  ".x",
  "*",
  "**",
  "?",
  "a*",
  "*.md",
  "[ab]",
  "[^a]",
  "b c",
  "\\a",
  ".",
  "..",
);
const line = fc
  .tuple(
    fc.constantFrom("", "", "!", "! ", "/", "#", " "),
    fc.array(glob, { minLength: 1, maxLength: 3 }),
    fc.constantFrom("", "", "/"),
  )
  .map(([before, parts, after]) => `${before}${parts.join("/")}${after}`);
const lines = fc.array(line, { minLength: 1, maxLength: 5 });

/** Names that escapes, classes and repetitions of a regular expression may mean, or not. */
const oddName = fc.constantFrom(
  "a",
  "d",
  "1",
  "aa",
  "a1",
  "ad",
  "a{2}",
  "]",
  "[a]",
  "^",
  "a|d",
  "\\",
  "*",
  "-",
  "a.",
  "é",
);
const oddFile = fc.array(oddName, { minLength: 1, maxLength: 2 }).map((parts) => parts.join("/"));
const oddTree = fc.uniqueArray(oddFile, { minLength: 8, maxLength: 16 }).map(withoutParents);
const oddPiece = fc.constantFrom(
  ...["a", "d", "1", "*", "?", "**", ".", "é", "/", "{2}", "|", "^", "$", "]"],
  ...["\\d", "\\w", "\\a", "\\b", "\\\\", "\\*", "\\]", "\\[", "\\y", "\\-", "\\pL", "\\x61"],
  ...[
    "[ad]",
    "[^a]",
    "[a-d]",
    "[^/]",
    "[*]",
    "[?]",
    "[.]",
    "[\\d]",
    "[\\]]",
    "[\\^a]",
    "[]",
    "[a",
    "[d-a]",
    "[[:alpha:]]",
  ],
);
/** The reference makes an expression of every pattern, a newer one only of those with something in them that asks for it. */
const oddLine = fc
  .array(oddPiece, { minLength: 1, maxLength: 4 })
  .map((pieces) => pieces.join(""))
  .filter((one) => !/[|^{]/.test(one) || /[?[\\]/.test(one));

/** Every name that is there, folders with a slash behind them. */
function visible(origin: Origin): readonly string[] {
  const names: string[] = [];
  const visit = (folder: OriginNode): void => {
    for (const child of origin.readdir(folder)) {
      names.push(textOfBytePath(child.path) + (child.type === "dir" ? "/" : ""));
      if (child.type === "dir") visit(child);
    }
  };
  const root = origin.lookup("" as BytePath);
  if (root !== undefined) visit(root);
  return names.sort();
}

let reference: RunningDocker | undefined;

beforeAll(async () => {
  vi.stubEnv("DOCKER_BUILDKIT", "1");
  if (!lacksDocker()) reference = await startDocker();
}, 90_000);

afterAll(async () => {
  vi.unstubAllEnvs();
  await reference?.[Symbol.asyncDispose]();
}, 60_000);

test.skipIf(lacksDocker())(
  "the ignore matcher equals BuildKit's on generated trees (docker)",
  { timeout: 120_000 },
  () => {
    using context = temporaryContext({});
    const different: {
      readonly ignore: readonly string[];
      readonly ours: readonly string[];
      readonly theirs: readonly string[];
    }[] = [];
    for (const [files, ignore] of fc.sample(fc.tuple(tree, lines), { numRuns: runs, seed })) {
      rmSync(context.folder, { recursive: true });
      writeFiles(context.folder, { ".": null, ...Object.fromEntries(files.map((one) => [one, "x"])) });
      const text = `${ignore.join("\n")}\n`;
      const ours = visible(originOf(context.folder, text));
      writeFileSync(join(context.folder, ".dockerignore"), text);
      const theirs = taken(context.folder).filter((one) => one !== ".dockerignore");
      // BuildKit 0.8 also makes an excluded folder when a negation names something below, and nothing of that is kept.
      const extra = theirs.filter((one) => one.endsWith("/") && !ours.includes(one) && !holdsSome(one, theirs));
      const comparable = theirs.filter((one) => !extra.includes(one));
      if (JSON.stringify(ours) !== JSON.stringify(comparable)) different.push({ ignore, ours, theirs });
    }
    expect(different).toEqual([]);
  },
);

test.skipIf(lacksDocker())(
  "escapes, classes and repetitions mean what they do to BuildKit, and what it refuses is refused (docker)",
  { timeout: 120_000 },
  () => {
    using context = temporaryContext({});
    const different: unknown[] = [];
    for (const [files, ignore] of fc.sample(fc.tuple(oddTree, oddLine), { numRuns: oddRuns, seed })) {
      rmSync(context.folder, { recursive: true });
      writeFiles(context.folder, { ".": null, ...Object.fromEntries(files.map((one) => [one, "x"])) });
      const text = `${ignore}\n`;
      const ours = orRefused(() => visible(originOf(context.folder, text)));
      writeFileSync(join(context.folder, ".dockerignore"), text);
      const theirs = orRefused(() => taken(context.folder).filter((one) => one !== ".dockerignore"));
      if (JSON.stringify(ours) !== JSON.stringify(theirs)) different.push({ ignore, ours, theirs });
    }
    expect(different).toEqual([]);
  },
);

function orRefused(look: () => readonly string[]): readonly string[] | "refused" {
  try {
    return look();
  } catch {
    return "refused";
  }
}

function holdsSome(folder: string, names: readonly string[]): boolean {
  return names.some((one) => one.startsWith(folder) && !one.endsWith("/"));
}

function taken(folder: string): readonly string[] {
  const dockerfile = Buffer.from("FROM scratch\nCOPY . /\n");
  const tar = reference?.docker(["build", "--output", "type=tar,dest=-", "-f", "-", folder], dockerfile);
  return execFileSync("tar", ["-t", "--quoting-style=literal"], { input: tar, encoding: "utf8" })
    .split("\n")
    .filter((one) => one !== "")
    .sort();
}
