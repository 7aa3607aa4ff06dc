import { execFileSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import fc from "fast-check";
import { expect } from "vitest";
import { bytePath } from "../../src/kernel/byte-path.ts";
import { type Found, layeredView } from "../../src/store/layered-view.ts";
import type { Chain } from "../../src/store/store.ts";
import { makeLayer, runLayer } from "../support/layers.ts";
import { needs } from "../support/needs.ts";
import { temporaryTestFolder } from "../support/temporary-folder.ts";
import { temporaryStore } from "../support/temporary-store.ts";

const test = needs("root");

function paths(found: readonly Found[]): readonly string[] {
  return found.map((one) => one.path);
}

const steps = [
  "mkdir -p a/b c; echo 1 > a/f; echo 2 > a/b/g; echo 3 > c/h",
  "rm -rf a; mkdir a; echo new > a/n",
  "rm -f a/f a/n c/h",
  "rm -rf c; ln -s a c",
  "mkdir -p a; rm -rf a/b; echo file > a/b",
  "mkdir -p a/b/deep/er 2>/dev/null && echo x > a/b/deep/er/x || true",
  "rm -rf c; mkdir -p c/d; chmod 711 c; ln -s ../a c/up; ln -s /a c/abs",
  "mv a/f a/moved 2>/dev/null || true",
];

const describeMount = `find . -mindepth 1 -printf '%P %y %m %s %l\\n' | LC_ALL=C sort`;

function describe(trees: readonly string[]): string {
  const view = layeredView(trees);
  const lines: string[] = [];
  const walk = (folder: Found): void => {
    for (const found of view.readdir(folder)) {
      const letter = { file: "f", dir: "d", symlink: "l" }[found.type as string] ?? "?";
      const size = found.type === "dir" ? "" : `${found.stat.size}`;
      const target =
        found.type === "symlink"
          ? execFileSync("readlink", [found.hostPath.toString()], { encoding: "utf8" }).trim()
          : "";
      lines.push(
        `${found.path} ${letter} ${Number(found.stat.mode & 0o7777n).toString(8)} ${size} ${target}`.trimEnd(),
      );
      if (found.type === "dir") walk(found);
    }
  };
  const top = view.lookup(bytePath(""));
  if (top !== undefined) walk(top);
  return lines.sort().join("\n");
}

test("after any steps, the view shows what a mount of the same layers shows", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.constantFrom(...steps), { minLength: 1, maxLength: 6 }), async (scripts) => {
      using temporary = temporaryStore();
      using out = temporaryTestFolder("files");
      const { store } = temporary;
      let chain: Chain = [];
      // Not every step fits what the ones before have left.
      for (const script of scripts) chain = await runLayer(store, chain, `(${script}) 2>/dev/null || true`);
      await runLayer(store, chain, `${describeMount} > ${out.path}/seen`);
      const seen = execFileSync("sed", ["-E", "s/^([^ ]+ d [0-7]+) [0-9]+ /\\1/; s/ +$//", `${out.path}/seen`], {
        encoding: "utf8",
      });
      expect(describe(store.layers.trees(chain))).toBe(seen.trimEnd().split("\n").sort().join("\n"));
    }),
    { numRuns: 12 },
  );
});

test.for([
  { path: "", found: "" },
  { path: "/", found: "" },
  { path: "..", found: "" },
  { path: "a/f", found: "a/f" },
  { path: "//a/./b/..//f", found: "a/f" },
  { path: "a/f/", found: undefined },
  { path: "a/f/x", found: undefined },
  { path: "a/none", found: undefined },
  { path: "abs/f", found: "a/f" },
  { path: "up/f", found: "a/f" },
  { path: "out/passwd", found: "etc/passwd" },
  { path: "chain/f", found: "a/f" },
  { path: "abs/../c", found: "c" },
  { path: "loop/x", found: undefined },
  { path: "dangling", found: undefined },
])("$path is found at $found", async ({ path, found }) => {
  using temporary = temporaryStore();
  const chain = await makeLayer(temporary.store, [], (upper) => {
    const script = `mkdir -p a/b c etc; echo 1 > a/f; echo x > etc/passwd; ln -s /a abs; ln -s ../../../a up;
      ln -s ../../../../etc out; ln -s abs chain; ln -s loop loop; ln -s none/x dangling`;
    execFileSync("sh", ["-ec", script], { cwd: upper });
  });
  expect(layeredView(temporary.store.layers.trees(chain)).lookup(bytePath(path))?.path).toBe(found);
});

test.for([
  { path: "new/x", to: "new/x" },
  { path: "a/new/../other", to: "a/other" },
  { path: "../../x", to: "x" },
  { path: "abs/x", to: "a/x" },
  { path: "dangling", to: "none/x" },
  { path: "dangling/y", to: "none/x/y" },
  { path: "/", to: "" },
])("$path leads to $to", async ({ path, to }) => {
  using temporary = temporaryStore();
  const chain = await makeLayer(temporary.store, [], (upper) => {
    execFileSync("sh", ["-ec", "mkdir a; ln -s /a abs; ln -s none/x dangling; ln -s loop loop"], { cwd: upper });
  });
  const view = layeredView(temporary.store.layers.trees(chain));
  expect(view.resolve(bytePath(path))).toBe(to);
  expect(() => view.resolve(bytePath("loop/x"))).toThrow(/too many levels/);
});

test("a file is read up to a limit, anything else is not", async () => {
  using temporary = temporaryStore();
  const chain = await makeLayer(temporary.store, [], (upper) => {
    mkdirSync(`${upper}/d`);
    writeFileSync(`${upper}/f`, "12345");
    execFileSync("mkfifo", [`${upper}/p`]);
    execFileSync("ln", ["-s", "/dev/zero", `${upper}/z`]);
  });
  const view = layeredView(temporary.store.layers.trees(chain));
  expect(view.readFile(bytePath("f"), 5)?.toString()).toBe("12345");
  for (const path of ["d", "p", "z", "none"]) expect(view.readFile(bytePath(path), 100)).toBeUndefined();
  expect(view.readFile(bytePath("f"), 4)).toBeUndefined();
});

test("the view of no layer is empty", () => {
  const view = layeredView([]);
  expect(view.lookup(bytePath("x"))).toBeUndefined();
  expect(view.resolve(bytePath("a/../b"))).toBe("b");
});

test("an upperdir that is being written is seen as it is", async () => {
  using temporary = temporaryStore();
  const { store } = temporary;
  const base = await makeLayer(store, [], (upper) => mkdirSync(`${upper}/d`));
  await using snapshot = store.layers.prepare(base);
  const view = layeredView([...store.layers.trees(base), snapshot.upperdir]);
  expect(view.lookup(bytePath("d/f"))).toBeUndefined();
  mkdirSync(`${snapshot.upperdir}/d`);
  writeFileSync(`${snapshot.upperdir}/d/f`, "x");
  const d = view.lookup(bytePath("d"));
  expect(d === undefined ? [] : paths(view.readdir(d))).toEqual(["d/f"]);
});
