import { rmSync } from "node:fs";
import fc from "fast-check";
import { expect, test } from "vitest";
import { TsbuildError } from "../../src/errors.ts";
import { textOfBytePath } from "../../src/kernel/byte-path.ts";
import { type FolderMatches, type IgnoreRules, parseIgnoreFile } from "../../src/planner/ignore-rules.ts";
import { selectSources } from "../../src/planner/select-sources.ts";
import { originOf, temporaryContext, writeFiles } from "./support/context.ts";

const name = fc.constantFrom("a", "b", "c");
const path = fc.array(name, { minLength: 1, maxLength: 4 }).map((parts) => parts.join("/"));
const glob = fc.constantFrom("a", "b", "*", "**", "?", "[ab]");
const line = fc
  .tuple(fc.boolean(), fc.array(glob, { minLength: 1, maxLength: 3 }))
  .map(([negated, parts]) => (negated ? "!" : "") + parts.join("/"));

/** Files only; a path that runs through a file of the list is left out. */
function files(paths: readonly string[]): readonly string[] {
  const unique = [...new Set(paths)].sort();
  return unique.filter((one) => !unique.some((other) => other !== one && other.startsWith(`${one}/`)));
}

/** Without any shortcut: every path is judged, and folders are there for what is in them. */
function expected(all: readonly string[], rules: IgnoreRules): readonly string[] {
  const kept = new Set<string>();
  for (const file of all) {
    const parts = file.split("/");
    let folder: FolderMatches | undefined;
    for (let count = 1; count <= parts.length; count++) {
      const here = parts.slice(0, count).join("/");
      const { excluded, matches } = rules.match(here, folder);
      folder = matches;
      if (excluded) continue;
      for (let above = 1; above <= count; above++) kept.add(parts.slice(0, above).join("/"));
    }
  }
  return [...kept].sort();
}

test("COPY . takes what judging every path by itself takes", async () => {
  using context = temporaryContext({});
  await fc.assert(
    fc.asyncProperty(fc.array(path, { maxLength: 8 }), fc.array(line, { maxLength: 4 }), async (paths, lines) => {
      const all = files(paths);
      rmSync(context.folder, { recursive: true });
      writeFiles(context.folder, { ".": null, ...Object.fromEntries(all.map((file) => [file, "x"])) });
      const selection = await selectSources(
        {
          origin: originOf(context.folder, lines.join("\n")),
          sources: [{ kind: "path", path: "/" }],
          parents: false,
          exclude: [],
          fetched: new Map(),
          unpackFetched: false,
          missing: (missing) => new TsbuildError({ code: "SOURCE_NOT_FOUND", what: missing }),
          now: 0,
        },
        new AbortController().signal,
      );
      const taken = selection.sources.flatMap(({ entries }) => entries.slice(1).map((one) => textOfBytePath(one.path)));
      expect(taken.sort()).toEqual(expected(all, parseIgnoreFile(lines.join("\n"), "x")));
    }),
    { numRuns: 150 },
  );
});
