/** The commands about images, as the shipped program has them, on stores of their own. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { pack } from "tar-stream";
import { expect, test } from "vitest";
import { type TemporaryTestFolder, temporaryTestFolder } from "../support/temporary-folder.ts";
import { type TsbuildResult, tsbuild } from "../support/tsbuild.ts";

interface Shop extends Disposable {
  readonly folder: string;
  run(...args: readonly string[]): Promise<TsbuildResult>;
  /** Imports a tar with one file of this content. Returns the image's ID. */
  image(name: string, content: string, ...flags: readonly string[]): Promise<string>;
}

function shop(): Shop {
  const folder: TemporaryTestFolder = temporaryTestFolder("images");
  const run = (...args: readonly string[]) => tsbuild(["--root", join(folder.path, "store"), ...args]);
  return {
    folder: folder.path,
    run,
    async image(name, content, ...flags) {
      const tar = join(folder.path, "rootfs.tar");
      writeFileSync(tar, await tarOf(content));
      const { code, stdout, stderr } = await run("import", ...flags, tar, name);
      expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
      return stdout.trim();
    },
    [Symbol.dispose]: () => folder[Symbol.dispose](),
  };
}

async function tarOf(content: string): Promise<Buffer> {
  const tar = pack();
  tar.entry({ name: "file", mtime: new Date(1_000_000_000_000) }, content);
  tar.finalize();
  const chunks: Buffer[] = [];
  for await (const chunk of tar) chunks.push(Buffer.from(chunk as Uint8Array));
  return Buffer.concat(chunks);
}

const ok = (stdout: string): TsbuildResult => ({ code: 0, stdout, stderr: "" });

test("an empty store has an empty table", async () => {
  using here = shop();
  expect(await here.run("images")).toEqual(ok("REPOSITORY   TAG       IMAGE ID   CREATED   SIZE\n"));
  expect(await here.run("images", "-q")).toEqual(ok(""));
});

test("images has a row for each name, and -q an ID for each", async () => {
  using here = shop();
  const id = await here.image("a", "1");
  await here.run("tag", "a", "me/b:2");
  const short = id.slice(7, 19);
  const { stdout } = await here.run("images");
  const cells = stdout
    .trimEnd()
    .split("\n")
    .map((line) => line.split(/ {3,}/));
  expect(cells).toEqual([
    ["REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE"],
    ["a", "latest", short, expect.stringMatching(/ ago$/), expect.stringMatching(/B$/)],
    ["me/b", "2", short, expect.stringMatching(/ ago$/), expect.stringMatching(/B$/)],
  ]);
  expect(await here.run("images", "-q")).toEqual(ok(`${short}\n${short}\n`));
  expect(await here.run("images", "-q", "--no-trunc", "a")).toEqual(ok(`${id}\n`));
});

test("--format and --filter choose what is shown", async () => {
  using here = shop();
  await here.image("debian:12", "1");
  await here.image("me/debian:13", "2", "-c", "LABEL role=base");
  const list = async (...args: readonly string[]) =>
    (await here.run("images", "--format", "{{.Repository}}:{{.Tag}}", ...args)).stdout.trimEnd().split("\n").sort();
  expect(await list()).toEqual(["debian:12", "me/debian:13"]);
  expect(await list("-f", "reference=deb*")).toEqual(["debian:12"]);
  expect(await list("-f", "reference=*/deb*:13")).toEqual(["me/debian:13"]);
  expect(await list("-f", "label=role=base")).toEqual(["me/debian:13"]);
  expect(await list("-f", "label!=role")).toEqual(["debian:12"]);
  expect(await list("-f", "dangling=true")).toEqual([""]);
  expect(await list("-f", "before=me/debian:13")).toEqual(["debian:12"]);
  expect(await list("deb*")).toEqual(["debian:12"]);
  const json = JSON.parse((await here.run("images", "--format", "json", "debian")).stdout);
  expect(json).toMatchObject({ Repository: "debian", Tag: "12", ID: expect.stringMatching(/^[0-9a-f]{12}$/) });
});

test.for([
  [["-f", "nope=1"], 1, "error: invalid filter 'nope'\n   hint: there are "],
  [["-f", "danglin=1"], 1, "error: invalid filter 'danglin'\n   hint: did you mean dangling?\n"],
  [["-f", "dangling=perhaps"], 1, "error: invalid filter 'dangling=perhaps'\n"],
  [["-f", "dangling"], 2, 'tsbuild: invalid argument "dangling" for "-f, --filter" flag: '],
  [["-f", "before=nope"], 1, "error: No such image: nope:latest\n"],
] as const)("images %j is refused", async ([args, code, beginning]) => {
  using here = shop();
  const result = await here.run("images", ...args);
  expect(result).toMatchObject({ code, stdout: "" });
  expect(result.stderr.slice(0, beginning.length)).toBe(beginning);
});

test("an image whose name moved away is hidden, and there with -a", async () => {
  using here = shop();
  const first = await here.image("a", "1");
  const second = await here.image("a", "2");
  expect(await here.run("images", "-q", "--no-trunc")).toEqual(ok(`${second}\n`));
  const all = await here.run("images", "-a", "--no-trunc", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}");
  expect(all.stdout.trimEnd().split("\n").sort()).toEqual([`<none>:<none> ${first}`, `a:latest ${second}`]);
  expect(await here.run("images", "-q", "--no-trunc", "-f", "dangling=true")).toEqual(ok(`${first}\n`));
});

test("history shows where an image comes from", async () => {
  using here = shop();
  const id = await here.image("a", "1", "-m", "made by hand");
  const row = "{{.ID}} {{.CreatedSince}} {{.Comment}}";
  expect((await here.run("history", "--format", row, "a")).stdout).toMatch(
    new RegExp(`^${id.slice(7, 19)} (Less than a second|\\d+ seconds?) ago made by hand\n$`),
  );
  const { stdout } = await here.run(
    "history",
    "--human=false",
    "--no-trunc",
    "--format",
    "{{.CreatedAt}} {{.Size}}",
    "a",
  );
  expect(stdout).toMatch(/^\d{4}-\d\d-\d\dT[\d:.]+Z \d+\n$/);
});

test("tag gives a further name, and moves one that exists without a word", async () => {
  using here = shop();
  const first = await here.image("a", "1");
  const second = await here.image("b", "2");
  expect(await here.run("tag", first.slice(7, 15), "c")).toEqual(ok(""));
  expect(await here.run("tag", "b:latest", "c")).toEqual(ok(""));
  expect(await here.run("inspect", "-f", "{{.Id}}", "c", "a")).toEqual(ok(`${second}\n${first}\n`));
});

test.for([
  [["nope", "x"], "error: No such image: nope:latest\n"],
  [
    ["a", "UP"],
    'error: error parsing reference: "UP" is not a valid repository/tag: invalid reference format: repository name (UP) must be lowercase\n',
  ],
  [
    ["a", `b@sha256:${"0".repeat(64)}`],
    "is not a valid repository/tag: refusing to create a tag with a digest reference\n",
  ],
  [["a", "-"], "tsbuild"],
] as const)("tag %j is refused and changes nothing", async ([args, words]) => {
  using here = shop();
  await here.image("a", "1");
  const before = await here.run("images", "--format", "json");
  const result = await here.run("tag", ...args);
  expect(result.code).not.toBe(0);
  expect(result.stdout).toBe("");
  if (words !== "tsbuild") expect(result.stderr).toContain(words);
  expect((await here.run("images", "--format", "{{.ID}}")).stdout).toBe(`${JSON.parse(before.stdout).ID}\n`);
});

test("rmi by name takes the name, and the image with its last one", async () => {
  using here = shop();
  const id = await here.image("a", "1");
  await here.run("tag", "a", "b");
  expect(await here.run("rmi", "a")).toEqual(ok("Untagged: a:latest\n"));
  expect(await here.run("rmi", "b")).toEqual(ok(`Untagged: b:latest\nDeleted: ${id}\n`));
  expect(await here.run("images", "-aq")).toEqual(ok(""));
});

test("rmi by ID takes an image with one name, refuses one with several, and obeys -f", async () => {
  using here = shop();
  const one = await here.image("one", "1");
  const two = await here.image("two", "2");
  await here.run("tag", "two", "deux");
  expect(await here.run("rmi", one.slice(7, 19))).toEqual(ok(`Untagged: one:latest\nDeleted: ${one}\n`));
  const short = two.slice(7, 19);
  expect(await here.run("rmi", short)).toEqual({
    code: 1,
    stdout: "",
    stderr: `error: conflict: unable to delete ${short} (must be forced) - image is referenced in multiple repositories\n`,
  });
  expect((await here.run("images", "-q")).stdout).toBe(`${short}\n${short}\n`);
  const forced = await here.run("rmi", "-f", two);
  expect(forced.stdout.split("\n").sort()).toEqual([
    "",
    `Deleted: ${two}`,
    "Untagged: deux:latest",
    "Untagged: two:latest",
  ]);
});

test("rmi of several goes on after one that is not there", async () => {
  using here = shop();
  await here.image("a", "1");
  const { code, stdout, stderr } = await here.run("rmi", "nope", "a");
  expect(code).toBe(1);
  expect(stdout).toMatch(/^Untagged: a:latest\nDeleted: sha256:/);
  expect(stderr).toMatch(/^error: No such image: nope:latest\n/);
});

test("inspect prints an array of what it found and names what it did not", async () => {
  using here = shop();
  const id = await here.image("a", "1", "-c", "ENV A=1");
  const result = await here.run("inspect", "nope", "a");
  expect(JSON.parse(result.stdout)).toMatchObject([
    { Id: id, RepoTags: ["a:latest"], Os: "linux", RootFS: { Type: "layers" }, Config: { Env: [expect.anything()] } },
  ]);
  expect({ code: result.code, stderr: result.stderr }).toEqual({ code: 1, stderr: "error: no such object: nope\n" });
  expect(await here.run("inspect", "nope")).toMatchObject({ code: 1, stdout: "[]\n" });
  expect(await here.run("image", "inspect", "-f", "{{len .RootFS.Layers}}", "a")).toEqual(ok("1\n"));
  expect(await here.run("inspect", "--type", "imgae", "a")).toMatchObject({ code: 2 });
});
