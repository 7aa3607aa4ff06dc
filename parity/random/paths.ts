/** Where COPY and ADD take from and put to: links in sources and destinations, wildcards, ignore files, odd names. */
import fc from "fast-check";
import { contextTime, type Entry, type Tree } from "../../fixtures/parity/case.ts";
import type { Draft } from "./draft.ts";

const names = [
  "a",
  "b.md",
  ".hidden",
  "d/a",
  "d/b.md",
  "d/.h",
  "d/e/a",
  "d/e/f/a",
  "d/e/b.txt",
  "ä",
  "s p",
  "x[1]",
  "q?",
  "back\\slash",
  "*",
  "D/a",
  "n/n/n/a",
  "link",
  "d/link",
  "d/e/up",
] as const;
const targets = [
  "a",
  "d",
  "../a",
  "d/e",
  "/a",
  "/d/e",
  "nowhere",
  ".",
  "..",
  "link",
  "d/link",
  "../../..",
  "e/f",
  "/",
] as const;

const entry: fc.Arbitrary<string | Entry | undefined> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc
      .constantFrom(0o644, 0o755, 0o600, 0o4711, 0o2644, 0)
      .map((mode) => ({ text: "", mode, mtime: contextTime + mode })),
  },
  { weight: 2, arbitrary: fc.constantFrom(...targets).map((link) => ({ link })) },
  {
    weight: 1,
    arbitrary: fc
      .constantFrom(0o755, 0o700, 0o1777, 0o2770)
      .map((mode) => ({ kind: "folder" as const, mode, mtime: contextTime + mode })),
  },
  { weight: 2, arbitrary: fc.constant(undefined) },
);

const context = fc.array(entry, { minLength: names.length, maxLength: names.length }).map((entries): Tree => {
  const tree: Record<string, string | Entry> = { a: "a", "d/e/a": "a" };
  for (const [index, name] of names.entries()) {
    const made = entries[index];
    const isFolderOfOthers = names.some((other) => other.startsWith(`${name}/`));
    if (made !== undefined && !(name in tree) && !isFolderOfOthers) tree[name] = made;
  }
  return tree;
});

const piece = fc.constantFrom(
  "a",
  "d",
  "e",
  "b.md",
  "*",
  "?",
  "*.md",
  "[a-d]",
  "[^a]",
  "[[]*",
  ".*",
  "..",
  ".",
  "link",
  "n",
  "D",
  "*e*",
  "$v",
  "${w:-d}",
  "f",
  "up",
  "ä",
  "x[[]1]",
  "**",
);
const source = fc
  .tuple(
    fc.array(piece, { minLength: 1, maxLength: 3 }),
    fc.constantFrom("", "", "/", "./", "../"),
    fc.constantFrom("", "", "", "/", "/."),
  )
  .map(([pieces, start, end]) => start + pieces.join("/") + end);
const jsonSource = fc.oneof(source, fc.constantFrom("s p", "ä", "q?", "x[1]"));

const destination = fc.constantFrom(
  "/",
  "/o",
  "/o/",
  "/o/d",
  "/o/d/",
  "/o/a",
  "/o/l",
  "/o/l/",
  "/o/lf",
  "/o/dangling",
  "/o/dangling/",
  "/o/loop",
  "/o/up/x",
  "/o/abs/y/",
  ".",
  "./",
  "..",
  "rel",
  "rel/",
  "/o/../p",
  "/o/l/../q",
  "$v/",
  "/new/deep/er/",
  "/o/.",
  "/o//d/",
);

const flags = fc.constantFrom("", "", "", "--chown=7:8 ", "--chown=bob ", "--chown=bob: ", "--chown=33 ");

const line = fc.oneof(
  {
    weight: 4,
    arbitrary: fc
      .tuple(fc.constantFrom("COPY", "ADD"), flags, fc.array(source, { minLength: 1, maxLength: 3 }), destination)
      .map(([name, how, sources, to]) => `${name} ${how}${sources.join(" ")} ${folder(sources, to)}`),
  },
  {
    weight: 1,
    arbitrary: fc
      .tuple(flags, fc.array(jsonSource, { minLength: 1, maxLength: 2 }), destination)
      .map(([how, sources, to]) => `COPY ${how}${JSON.stringify([...sources, folder(sources, to)])}`),
  },
  {
    weight: 2,
    arbitrary: fc
      .tuple(
        flags,
        fc.constantFrom(
          "/o",
          "/o/*",
          "/o/d",
          "/o/l",
          "/o/l/",
          "/o/lf",
          "/o/?",
          "/o/d/a",
          "/o/abs",
          "/o/up",
          "/etc/*",
          ".",
        ),
        destination,
      )
      .map(([how, from, to]) => `COPY --from=one ${how}${from} ${folder([from], to)}`),
  },
  fc.constantFrom(
    "WORKDIR /w",
    "WORKDIR /o/l",
    "WORKDIR rel",
    "WORKDIR /o/d/../d",
    "USER bob",
    "ENV v=/o/d",
    "RUN rm -rf /o/d/a",
  ),
);

/** Several sources into what is no folder: the last one wins, and here and there another is the last. */
function folder(sources: readonly string[], to: string): string {
  return sources.length > 1 || /[*?[]/.test(sources[0] ?? "") ? to.replace(/\/?$/, "/") : to;
}

const prepared =
  "RUN mkdir -p /o/d /r/s && echo 1 > /o/d/a && echo 22 > /o/a && ln -s d /o/l && ln -s a /o/lf && ln -s none/x /o/dangling && ln -s loop /o/loop && ln -s ../r /o/up && ln -s /r/s /o/abs && chmod 711 /o/d";

const ignorePattern = fc.constantFrom(
  "a",
  "d",
  "d/e",
  "**/a",
  "*.md",
  "**/*.md",
  "d/*",
  "d/**",
  "?",
  "[a-d]",
  "[^d]",
  ".*",
  "link",
  "D",
  "n/n",
  "/a",
  "./d/e/",
  "d/../a",
  "#a",
  "**",
  "*/e",
  "s p",
  "x\\[1\\]",
  "d/**/a",
  "**/e/**",
  "\ta ",
);

/** Newer BuildKits read a negation below an excluded folder in another way, so these stand behind a `*` only. */
const ignore = fc.oneof(
  { weight: 2, arbitrary: fc.constant(undefined) },
  fc.array(ignorePattern, { minLength: 1, maxLength: 4 }).map((all) => all.join("\n")),
  fc
    .tuple(
      fc.array(ignorePattern, { maxLength: 2 }),
      fc.array(fc.constantFrom("!a", "!d", "!*.md", "! d", "!D"), { minLength: 1, maxLength: 3 }),
    )
    .map(([hidden, shown]) => ["*", ...hidden, ...shown].join("\n")),
);

export const paths: fc.Arbitrary<Draft> = fc
  .tuple(fc.constantFrom("b", "b", "scratch"), fc.array(line, { minLength: 1, maxLength: 3 }), context, ignore)
  .map(([base, lines, tree, hidden]) => ({
    dockerfile: [
      "FROM b AS one",
      prepared,
      `FROM ${base}`,
      ...(base === "b" ? [prepared] : []),
      "ENV v=d",
      ...lines.filter((each) => base === "b" || !each.startsWith("RUN")),
    ].join("\n"),
    context: tree,
    ...(hidden !== undefined && { ignore: hidden }),
  }));
