/** info, system check, df and the prunes, and rmi beside containers, on stores of their own. */
import { appendFileSync, cpSync, existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { expect } from "vitest";
import { needs } from "../support/needs.ts";
import { temporaryTestFolder } from "../support/temporary-folder.ts";
import { type TsbuildResult, tsbuild } from "../support/tsbuild.ts";

const fixture = new URL("../../fixtures/hello", import.meta.url).pathname;

interface Shop extends Disposable {
  readonly context: string;
  readonly root: string;
  run(...args: readonly string[]): Promise<TsbuildResult>;
}

/** A store with the image `hello`, and the context it was built from. */
async function shop(): Promise<Shop> {
  const folder = temporaryTestFolder("system");
  const context = join(folder.path, "hello");
  const root = join(folder.path, "store");
  cpSync(fixture, context, { recursive: true });
  const run = (...args: readonly string[]) => tsbuild(["--root", root, ...args]);
  expect((await run("build", "-q", "-t", "hello", context)).code).toBe(0);
  return { context, root, run, [Symbol.dispose]: () => folder[Symbol.dispose]() };
}

needs("root")("system check passes a store that is whole, and names what was changed in it", async () => {
  using here = await shop();
  expect(await here.run("system", "check")).toEqual({
    code: 0,
    stdout: "ok: 1 image, 6 layers, 1 blob, 6 cache records, 0 faults\n",
    stderr: "",
  });
  const layers = join(here.root, "layers");
  const copies = readdirSync(layers).map((layer) => join(layers, layer, "tree/src/greeting.ts"));
  for (const copy of copies.filter((path) => existsSync(path))) appendFileSync(copy, "// changed\n");
  const { code, stdout } = await here.run("system", "check", "--json");
  expect(code).toBe(1);
  expect(JSON.parse(stdout).faults).toMatchObject([{ kind: "layer", message: expect.stringContaining("greeting.ts") }]);
});

needs("root")("system df adds up to what lies on the disk", async () => {
  using here = await shop();
  const { stdout } = await here.run("system", "df");
  const [head, ...rows] = stdout.split("\n");
  expect(head?.split(/ {2,}/)).toEqual(["TYPE", "TOTAL", "ACTIVE", "SIZE", "RECLAIMABLE"]);
  expect(rows.slice(0, 4).map((row) => row.split(/ {3,}/).slice(0, 3))).toEqual([
    ["Images", "1", "0"],
    ["Containers", "0", "0"],
    ["Local Volumes", "0", "0"],
    ["Build Cache", "6", "3"],
  ]);
  const megabytes = (text: string | undefined): number => Number(/([\d.]+)MB/.exec(text ?? "")?.[1]);
  expect(Math.abs(megabytes(rows[0]) - megabytes(rows.at(-2)))).toBeLessThan(1);
});

needs("root")("a container holds its image: rmi says which, and prune leaves it", async () => {
  using here = await shop();
  const container = (await here.run("create", "--name", "holder", "hello")).stdout.trim();
  const image = (await here.run("images", "-q")).stdout.trim();
  const short = container.slice(0, 12);
  expect(await here.run("rmi", "hello")).toMatchObject({
    code: 1,
    stdout: "",
    stderr: expect.stringContaining(
      `conflict: unable to remove repository reference "hello" (must force) - container ${short} is using its referenced image ${image}\n`,
    ),
  });
  expect(await here.run("rmi", image)).toMatchObject({
    code: 1,
    stderr: `error: conflict: unable to delete ${image} (must be forced) - image is being used by stopped container ${short}\n`,
  });
  expect((await here.run("image", "prune", "-af")).stdout).toBe("Total reclaimed space: 0B\n");
  expect(await here.run("container", "prune", "-f")).toMatchObject({
    code: 0,
    stdout: expect.stringMatching(new RegExp(`^Deleted Containers:\n${container}\n\nTotal reclaimed space: `)),
  });
  expect((await here.run("rmi", "hello")).stdout).toMatch(/^Untagged: hello:latest\nDeleted: sha256:/);
});

needs("root")("system prune asks, shows with --dry-run, and then takes what it showed", async () => {
  using here = await shop();
  const asked = await here.run("system", "prune");
  expect(asked).toMatchObject({ code: 2, stdout: "" });
  expect(asked.stderr).toContain("hint: say yes with -f");
  const shown = await here.run("system", "prune", "-a", "--dry-run");
  expect(shown.stdout).toContain("Deleted Images:\nuntagged: hello:latest\ndeleted: sha256:");
  expect(shown.stdout).toContain("COPY esbuild /bin/");
  const done = await here.run("system", "prune", "-a", "-f");
  expect(done.stdout.replace(/Total.*/, "")).toBe(shown.stdout.replace(/Total.*/, ""));
  expect((await here.run("images", "-aq")).stdout).toBe("");
  expect((await here.run("system", "check")).stdout).toBe(
    "ok: 0 images, 0 layers, 0 blobs, 0 cache records, 0 faults\n",
  );
});

needs("root")("info answers what scripts ask", async () => {
  using here = await shop();
  const template = "{{.Images}} {{.Containers}} {{.OSType}} {{.Driver}} {{.DockerRootDir}} {{len .SecurityOptions}}";
  expect((await here.run("info", "-f", template)).stdout).toBe(`1 0 linux overlay ${here.root} 1\n`);
  expect((await here.run("info", "-f", "{{.Imagse}}")).stderr).toContain("hint: did you mean .Images?");
});
