/** `--squash`: fewer layers, and not a file of difference. */
import { execFileSync } from "node:child_process";
import { afterAll, beforeAll, expect } from "vitest";
import { needs } from "../support/needs.ts";
import { Workshop } from "./build-support.ts";

const test = needs("root", "busybox-static");
let workshop: Workshop;
let count = 0;

beforeAll(async () => {
  workshop = new Workshop();
  await workshop.importBase();
});
afterAll(() => workshop?.[Symbol.dispose]());

/** Every file of an image, with what tar says of it and its bytes. */
async function filesOf(name: string): Promise<string> {
  const tar = `${workshop.folder}/files${count++}.tar`;
  const built = await workshop.build(`FROM ${name}`, {}, ["-o", `type=tar,dest=${tar}`]);
  expect(built.code, built.stderr).toBe(0);
  const listing = execFileSync("tar", ["-tvf", tar, "--full-time", "--numeric-owner"], { encoding: "utf8" });
  const contents = execFileSync("tar", ["-xOf", tar], { maxBuffer: 1 << 28 });
  return `${listing}\n${execFileSync("sha256sum", { input: contents, encoding: "utf8" })}`;
}

const base =
  "FROM b⏎RUN mkdir -p /d/sub /replaced /gone && echo 1 >/d/a && echo 2 >/d/b && echo 3 >/replaced/f && " +
  "echo 4 >/gone/f && echo 5 >/file && ln /file /hard && echo 6 >/d/sub/x";

test.for([
  { what: "files that come and go", lines: "RUN echo 1 >/t; echo 2 >/k⏎RUN rm /t" },
  { what: "files of the base that go", lines: "RUN rm /d/a /gone/f⏎RUN rmdir /gone" },
  { what: "a folder of the base that goes and comes again", lines: "RUN rm -r /d⏎RUN mkdir -m 700 /d && echo n >/d/n" },
  {
    what: "a folder in place of a file, and a file in place of a folder",
    lines:
      "RUN rm /file && mkdir /file && echo 1 >/file/i⏎RUN rm -r /replaced && echo 1 >/replaced⏎RUN rm /replaced && mkdir /replaced",
  },
  {
    what: "links, nodes, modes, owners and times",
    lines:
      "RUN echo 1 >/x && ln /x /y && ln -s x /z && mkfifo /p && mknod /n c 1 3 && chown 7:8 /x && chmod 4755 /x && touch -d @1000 /x⏎RUN chmod 1777 /d && touch -d @2000 /d",
  },
  { what: "a link that is broken later", lines: "RUN echo 1 >/x && ln /x /y⏎RUN echo 2 >/y.new && mv /y.new /y" },
  {
    what: "a stage that others copy from",
    lines: "COPY --from=b /bin/busybox /d/sub/⏎WORKDIR /d/new/deep⏎RUN rm -r /d/sub",
  },
])("the image has the same files with one layer: $what", async ({ lines }) => {
  expect((await workshop.build(base, {}, ["-t", "squashbase"])).code).toBe(0);
  const text = `FROM squashbase⏎${lines}`;
  const plain = await workshop.build(text, {}, ["-t", "plain"]);
  const squashed = await workshop.build(text, {}, ["-t", "squashed", "--squash"]);
  const single = await workshop.build(text, {}, ["-t", "single", "--squash-all"]);
  expect(plain.image.layers.length).toBeGreaterThan(2);
  expect(squashed.image.layers).toHaveLength(3);
  expect(squashed.stderr).toMatch(/, 3 layers, /);
  expect(squashed.image.config.rootfs.diff_ids.slice(0, 2)).toEqual(plain.image.config.rootfs.diff_ids.slice(0, 2));
  expect(single.image.layers).toHaveLength(1);
  const files = await filesOf("plain");
  expect(await filesOf("squashed")).toBe(files);
  expect(await filesOf("single")).toBe(files);
});

test("the history keeps every step, and has one more; the same build is the same image", async () => {
  const text = "FROM b⏎RUN echo 1 >/one⏎ENV E=1⏎RUN rm /one; echo 2 >/two";
  const plain = await workshop.build(text, {}, ["-t", "history"]);
  const first = await workshop.build(text, {}, ["--squash"]);
  const again = await workshop.build(text, {}, ["--single-snapshot"]);
  expect(again.image.id).toBe(first.image.id);
  expect(first.image.layers.at(-1)).toEqual(["two"]);
  const own = first.image.config.history.slice(1);
  expect(own.map(({ created_by, empty_layer }) => [created_by?.slice(0, 3), empty_layer])).toEqual([
    ["RUN", true],
    ["ENV", true],
    ["RUN", true],
    [undefined, undefined],
  ]);
  expect(own.at(-1)?.comment).toMatch(new RegExp(`^merge ${plain.image.id} to sha256:[0-9a-f]{64}$`));
  expect(first.image.config.config.Env).toContain("E=1");
  const all = await workshop.build(text, {}, ["--squash-all"]);
  expect(all.image.config.history.at(-1)?.comment).toBe(`create new from ${plain.image.id}`);
  expect((await workshop.tsbuild(["system", "check"])).stdout).toContain("0 faults");
});

test("a build without layers of its own stays, and an inline cache is refused", async () => {
  const plain = await workshop.build("FROM b⏎ENV A=1");
  expect((await workshop.build("FROM b⏎ENV A=1", {}, ["--squash"])).image.id).toBe(plain.image.id);
  const refused = await workshop.build("FROM b", {}, ["--squash", "--cache-to", "type=inline"]);
  expect(refused).toMatchObject({ code: 2, stderr: expect.stringContaining("about its layers") });
});
