/** SOURCE_DATE_EPOCH: the times it sets, those it leaves, and two builds with one digest. */
import { execFileSync } from "node:child_process";
import { lstatSync, mkdirSync, utimesSync, writeFileSync } from "node:fs";
import { afterAll, beforeAll, expect } from "vitest";
import { openStore } from "../../src/store/open-store.ts";
import { needs } from "../support/needs.ts";
import { Workshop } from "./build-support.ts";

const test = needs("root", "busybox-static");
let workshop: Workshop;

beforeAll(async () => {
  workshop = new Workshop();
  await workshop.importBase();
});
afterAll(() => workshop?.[Symbol.dispose]());

const epoch = 1_000_000_000;
const stamp = "2001-09-09T01:46:40Z";

test.for([
  { how: "a build-arg", text: "FROM b", args: ["--build-arg", `SOURCE_DATE_EPOCH=${epoch}`] },
  { how: "a global ARG", text: `ARG SOURCE_DATE_EPOCH=${epoch}⏎FROM b`, args: [] },
  { how: "a flag", text: "FROM b", args: ["--source-date-epoch", `${epoch}`] },
  { how: "the output", text: "FROM b", args: ["-o", `type=image,source-date-epoch=${epoch}`] },
])("by $how: history and created are no later, the base keeps its times", async ({ text, args }) => {
  const { image } = await workshop.build(`${text}⏎WORKDIR /new⏎ENV x=1⏎RUN echo 1 >/f`, {}, args);
  const [base, ...own] = image.config.history;
  expect(image.config.created).toBe(stamp);
  expect(own.map(({ created }) => created)).toEqual([stamp, stamp, stamp]);
  expect(Date.parse(base?.created ?? "")).toBeGreaterThan(epoch * 1000);
});

test("an earlier time stays", async () => {
  const late = `${4_000_000_000}`;
  const { image } = await workshop.build("FROM b⏎RUN echo 2 >/f", {}, ["--source-date-epoch", late]);
  expect(Date.parse(image.config.created ?? "")).toBeLessThan(4_000_000_000_000);
});

test("WORKDIR's new folders have it, other files only with rewrite-timestamp", async () => {
  const text = "FROM b⏎WORKDIR /new/deep⏎RUN echo 3 >/f";
  const times = (id: string): Readonly<Record<string, number>> => {
    using store = openStore(workshop.root);
    const { chain } = store.images.lookup(id);
    return Object.fromEntries(
      chain.slice(1).flatMap((layer) => store.layers.index(layer).map((e) => [e.path, e.mtime])),
    );
  };
  const plain = await workshop.build(text, {}, ["--source-date-epoch", `${epoch}`]);
  expect(times(plain.image.id)).toMatchObject({ new: epoch, "new/deep": epoch });
  expect(times(plain.image.id)["f"]).toBeGreaterThan(epoch);
  const rewritten = await workshop.build(text, {}, [
    "--source-date-epoch",
    `${epoch}`,
    "-o",
    "type=image,rewrite-timestamp=true",
  ]);
  expect(times(rewritten.image.id)).toEqual({ new: epoch, "new/deep": epoch, f: epoch });
});

test("two builds that run every step give one image and one archive", async () => {
  const text = "FROM b⏎WORKDIR /w⏎COPY c /w/⏎RUN echo 4 >f; mkdir d; ln f d/h";
  const archives: string[] = [];
  const ids: string[] = [];
  for (const at of [1, 2]) {
    const context = workshop.context({ c: "c" });
    utimesSync(`${context}/c`, 1_700_000_000 + at, 1_700_000_000 + at);
    const archive = `${workshop.folder}/rebuilt${at}.tar`;
    const args = ["--no-cache", "--timestamp", `${epoch}`, "-o", "type=image", "-o", `type=oci,dest=${archive}`];
    ids.push((await workshop.buildIn(context, text, args)).image.id);
    archives.push(execFileSync("sha256sum", [archive], { encoding: "utf8" }).split(" ")[0] ?? "");
  }
  expect(ids[0]).toBe(ids[1]);
  expect(archives[0]).toBe(archives[1]);
  expect((await workshop.tsbuild(["system", "check"])).stdout).toContain("0 faults");
});

test("local and tar outputs have it on every file", async () => {
  const out = `${workshop.folder}/epoch-out`;
  mkdirSync(out);
  writeFileSync(`${out}/before`, "");
  await workshop.build("FROM scratch⏎COPY a/b /d/b", { "a/b": "b" }, ["--source-date-epoch", `${epoch}`, "-o", out]);
  expect(lstatSync(`${out}/d`).mtimeMs).toBe(epoch * 1000);
  expect(lstatSync(`${out}/d/b`).mtimeMs).toBe(epoch * 1000);
});

test.for([
  { args: ["--build-arg", "SOURCE_DATE_EPOCH=nope"], code: 1, what: "invalid SOURCE_DATE_EPOCH: nope" },
  { args: ["--source-date-epoch", "x"], code: 2, what: "not seconds since 1970" },
  { args: ["-o", "type=image,rewrite-timestamp=true"], code: 2, what: "rewrite-timestamp needs SOURCE_DATE_EPOCH" },
])("$args is refused", async ({ args, code, what }) => {
  const built = await workshop.build("FROM scratch⏎COPY f /", { f: "" }, args);
  expect(built).toMatchObject({ code, stderr: expect.stringContaining(what) });
});

test("a step that makes the same files takes the layer that is there, unless it gave them a time of their own", async () => {
  const timeOf = (id: string): number | undefined => {
    using store = openStore(workshop.root);
    return store.layers.index(store.images.lookup(id).chain.at(-1) as never).find(({ path }) => path === "same")?.mtime;
  };
  const first = await workshop.build("FROM b⏎RUN echo same >/same");
  const again = await workshop.build("FROM b⏎RUN echo same > /same");
  expect(again.image.config.rootfs.diff_ids).toEqual(first.image.config.rootfs.diff_ids);
  const chosen = await workshop.build("FROM b⏎RUN echo same >/same && touch -d @1000 /same");
  expect(timeOf(chosen.image.id)).toBe(1000);
});
