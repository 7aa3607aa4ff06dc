import { execFileSync } from "node:child_process";
import { lstatSync, mkdirSync, readlinkSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import fc from "fast-check";
import { expect, test } from "vitest";
import { UpperTree } from "../../src/executor/upper-tree.ts";
import { bytePath } from "../../src/kernel/byte-path.ts";
import { needs } from "../support/needs.ts";
import { temporaryTestFolder } from "../support/temporary-folder.ts";

type Change =
  | { readonly kind: "folder" | "file" | "remove"; readonly path: string }
  | { readonly kind: "link"; readonly path: string; readonly target: string };

const name = fc.constantFrom("a", "b", "c");
const path = fc.array(name, { minLength: 1, maxLength: 3 }).map((names) => names.join("/"));
const change: fc.Arbitrary<Change> = fc.oneof(
  fc.record({ kind: fc.constantFrom("folder", "file", "remove"), path }),
  fc.record({ kind: fc.constant("link"), path, target: path.map((target) => `/${target}`) }),
);
const layers = fc.array(fc.array(change, { maxLength: 12 }), { minLength: 1, maxLength: 4 });

/** As a command in a container would; what cannot be done is left undone. */
function apply(root: string, changed: Change): void {
  const at = `${root}/${changed.path}`;
  try {
    // A link to an absolute path would lead out of the mount: nothing is written through one.
    if (changed.path.split("/").some((_, depth, parts) => isLink(`${root}/${parts.slice(0, depth).join("/")}`))) return;
    rmSync(at, { recursive: true, force: true });
    if (changed.kind === "folder") mkdirSync(at);
    else if (changed.kind === "file") writeFileSync(at, "x");
    else if (changed.kind === "link") symlinkSync(changed.target, at);
  } catch {
    // Its parent is missing, or a file.
  }
}

function isLink(at: string): boolean {
  try {
    return lstatSync(at).isSymbolicLink();
  } catch {
    return false; // nothing there, or below a file
  }
}

const everyPath = ["a", "b", "c"].flatMap((one) => [
  one,
  ...["a", "b", "c"].flatMap((two) => [`${one}/${two}`, ...["a", "b", "c"].map((three) => `${one}/${two}/${three}`)]),
]);

/** What stands at a path whose parents are no links. */
function seen(root: string, inside: string): string {
  const parents = inside.split("/").slice(0, -1);
  if (parents.some((_, depth) => isLink(`${root}/${parents.slice(0, depth + 1).join("/")}`))) return "through a link";
  let stats: ReturnType<typeof lstatSync>;
  try {
    stats = lstatSync(`${root}/${inside}`);
  } catch {
    return "nothing";
  }
  if (stats.isDirectory()) return "dir";
  return stats.isSymbolicLink() ? `link ${readlinkSync(`${root}/${inside}`)}` : "file";
}

needs("root", "mount")("every path of real overlay layers is found as the kernel finds it", () => {
  fc.assert(
    fc.property(layers, (contents) => {
      using folder = temporaryTestFolder("upper");
      const merged = `${folder.path}/merged`;
      const lowers: string[] = [`${folder.path}/empty`];
      for (const path of [merged, lowers[0] ?? ""]) mkdirSync(path);
      let expected: readonly string[] = [];
      for (const [n, changes] of contents.entries()) {
        const [upper, work] = [`${folder.path}/upper${n}`, `${folder.path}/work${n}`];
        mkdirSync(upper);
        mkdirSync(work);
        const options = `lowerdir=${lowers.toReversed().join(":")},upperdir=${upper},workdir=${work}`;
        execFileSync("mount", ["-t", "overlay", "-o", options, "tsbuild-test", merged]);
        try {
          for (const each of changes) apply(merged, each);
          expected = everyPath.map((inside) => seen(merged, inside));
        } finally {
          execFileSync("umount", [merged]);
        }
        lowers.push(upper);
      }
      const tree = new UpperTree(lowers.at(-1) ?? "", lowers.slice(0, -1));
      const found = everyPath.map((inside, at) => {
        if (expected[at] === "through a link") return "through a link";
        const node = tree.find(bytePath(inside));
        if (node === undefined) return "nothing";
        return node.type === "symlink" ? `link ${readlinkSync(node.hostPath)}` : node.type;
      });
      expect(found).toEqual(expected);
    }),
    { numRuns: 25 },
  );
});

test.for([
  { name: "a relative link", links: { l: "d" }, from: "l/x", to: "d/x" },
  { name: "an absolute link", links: { "d/l": "/d" }, from: "d/l/x", to: "d/x" },
  { name: "a link that climbs out", links: { l: "../../../d" }, from: "l/x", to: "d/x" },
  { name: "dots", links: {}, from: "/./d/../d//x/", to: "d/x" },
  { name: "a dangling link", links: { l: "no/where" }, from: "l/x", to: "no/where/x" },
  { name: "a link to the root", links: { l: "/" }, from: "l/d", to: "d" },
] as const)("resolve: $name", ({ links, from, to }) => {
  using folder = temporaryTestFolder("upper");
  const [lower, upper] = [`${folder.path}/lower`, `${folder.path}/upper`];
  mkdirSync(`${lower}/d`, { recursive: true });
  mkdirSync(upper);
  for (const [link, target] of Object.entries(links)) symlinkSync(target, `${lower}/${link}`);
  expect(new UpperTree(upper, [lower]).resolve(bytePath(from)).path).toBe(to);
});
