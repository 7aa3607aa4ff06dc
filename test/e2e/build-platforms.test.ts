/** `build --platform`: one platform, several of them, and what becomes of an index. */
import { execFileSync } from "node:child_process";
import { afterAll, beforeAll, expect } from "vitest";
import { openStore } from "../../src/store/open-store.ts";
import { startDockerRegistry } from "../support/docker-registry.ts";
import { needs } from "../support/needs.ts";
import { Workshop } from "./build-support.ts";

const test = needs("root", "busybox-static");
const pushing = needs("root", "busybox-static", "docker-registry", "skopeo");
let workshop: Workshop;

beforeAll(async () => {
  workshop = new Workshop();
  await workshop.importBase();
});
afterAll(() => workshop?.[Symbol.dispose]());

const both = ["--platform", "linux/amd64,linux/arm64"];

test.for([
  { args: ["--platform", "linux/arm64"], arch: "arm64", variant: undefined, env: "linux/arm64 linux arm64 <>" },
  { args: ["--platform", "linux/arm/v6"], arch: "arm", variant: "v6", env: "linux/arm/v6 linux arm <v6>" },
  { args: ["--platform=linux/aarch64/v8"], arch: "arm64", variant: undefined, env: "linux/arm64 linux arm64 <>" },
])("$args are in the config and in the platform ARGs", async ({ args, arch, variant, env }) => {
  const text = "FROM scratch⏎ARG TARGETPLATFORM TARGETOS TARGETARCH TARGETVARIANT";
  const built = await workshop.build(
    `${text}⏎ENV p="$TARGETPLATFORM $TARGETOS $TARGETARCH <$TARGETVARIANT>"`,
    {},
    args,
  );
  expect(built.image.config).toMatchObject({ architecture: arch, os: "linux" });
  expect(built.image.config.variant).toBe(variant);
  expect(built.image.config.config.Env).toContain(`p=${env}`);
});

test.for([
  { text: "FROM scratch AS a⏎ARG TARGETSTAGE⏎ENV s=$TARGETSTAGE", args: [], stage: "a" },
  { text: "FROM scratch⏎ARG TARGETSTAGE⏎ENV s=$TARGETSTAGE", args: [], stage: "default" },
  { text: "FROM scratch AS a⏎ARG TARGETSTAGE⏎ENV s=$TARGETSTAGE⏎FROM a", args: ["--target", "a"], stage: "a" },
])("TARGETSTAGE is $stage", async ({ text, args, stage }) => {
  const built = await workshop.build(text, {}, args);
  expect(built.image.config.config.Env).toContain(`s=${stage}`);
});

test("several platforms make an index, whose name runs this machine's image", async () => {
  const text = "FROM scratch⏎ARG TARGETARCH⏎ENV a=$TARGETARCH⏎COPY f /";
  const built = await workshop.build(text, { f: "1" }, [...both, "-t", "both"]);
  expect(built.code).toBe(0);
  using store = openStore(workshop.root);
  const name = { domain: "docker.io", path: "library/both", tag: "latest" };
  const index = store.images.index(name);
  expect(index?.value.manifests.map(({ platform }) => platform)).toEqual([
    { architecture: "amd64", os: "linux" },
    { architecture: "arm64", os: "linux" },
  ]);
  expect(index?.images.map(({ config }) => config.config.Env?.at(-1))).toEqual(["a=amd64", "a=arm64"]);
  const runs = process.arch === "x64" ? "amd64" : "arm64";
  expect(store.images.resolve(name)?.config.architecture).toBe(runs);
});

test("equal steps of several platforms run once", async () => {
  const text = "FROM --platform=$BUILDPLATFORM b AS t⏎RUN echo once >/once⏎FROM scratch⏎COPY --from=t /once /";
  const { stderr } = await workshop.build(text, {}, both);
  const ran = stderr.split("\n").filter((line) => / DONE \d/.test(line));
  const cached = stderr.split("\n").filter((line) => line.endsWith(" CACHED"));
  expect({ ran: ran.length, cached: cached.length }).toEqual({ ran: 2, cached: 2 });
});

test("FROM takes the image of its platform from an index of the store", async () => {
  await workshop.build("FROM scratch⏎ARG TARGETARCH⏎ENV a=$TARGETARCH⏎COPY f /", { f: "2" }, [...both, "-t", "base2"]);
  const built = await workshop.build("FROM base2⏎LABEL x=y", {}, ["--platform", "linux/arm64"]);
  expect(built.image.config).toMatchObject({ architecture: "arm64" });
  expect(built.image.config.config.Env).toContain("a=arm64");
});

test("rmi of an index's name takes all its images, prune takes none", async () => {
  await workshop.build("FROM scratch⏎COPY f /", { f: "gone" }, [...both, "-t", "goes"]);
  const count = (): number => {
    using store = openStore(workshop.root);
    return store.images.list().length;
  };
  const before = count();
  await workshop.tsbuild(["image", "prune", "-f"]);
  const pruned = count();
  using store = openStore(workshop.root);
  const { images = [] } = store.images.index({ domain: "docker.io", path: "library/goes", tag: "latest" }) ?? {};
  expect(images.every(({ id }) => store.images.get(id) !== undefined)).toBe(true);
  const other = images.find(({ references }) => references.length === 0);
  const refused = await workshop.tsbuild(["rmi", "-f", other?.id ?? ""]);
  expect(refused).toMatchObject({ code: 1, stderr: expect.stringContaining("image is part of goes:latest") });
  expect(await workshop.tsbuild(["rmi", "goes"])).toMatchObject({ code: 0, stderr: "" });
  expect(count()).toBe(pruned - 2);
  expect(pruned).toBeLessThanOrEqual(before);
  expect((await workshop.tsbuild(["system", "check"])).stdout).toContain("0 faults");
});

test("a program of another machine says which package runs it", async () => {
  // An ELF header of a 64-bit ARM program: nothing here runs it unless it is registered.
  const header = Buffer.alloc(64);
  header.write("\x7fELF\x02\x01\x01", "latin1");
  header.writeUInt16LE(2, 16);
  header.writeUInt16LE(process.arch === "arm64" ? 243 : 183, 18);
  const context = workshop.context({ "x@755": "" });
  execFileSync("sh", ["-c", `printf %s ${header.toString("base64")} | base64 -d > ${context}/x`]);
  const built = await workshop.buildIn(context, 'FROM scratch⏎COPY x /x⏎RUN ["/x"]');
  expect(built.code).toBe(1);
  expect(built.stderr).toMatch(/exec format error.*program for (?:arm64|riscv64)/);
  expect(built.stderr).toContain("qemu-user-static");
});

pushing("an index is pushed, and read by skopeo; tag copies it", async () => {
  await using registry = await startDockerRegistry();
  const name = `${registry.host}/team/multi:1`;
  await workshop.build("FROM b⏎RUN echo 1 >/f", {}, ["--platform", "linux/amd64", "-t", "one"]);
  const pushed = await workshop.build("FROM scratch⏎COPY f /", { f: "3" }, [...both, "-t", name, "--push"]);
  expect(pushed.stderr).toContain("built");
  const raw = execFileSync("skopeo", ["inspect", "--tls-verify=false", "--raw", `docker://${name}`], {
    encoding: "utf8",
  });
  expect(JSON.parse(raw).manifests.map((each: { platform: unknown }) => each.platform)).toEqual([
    { architecture: "amd64", os: "linux" },
    { architecture: "arm64", os: "linux" },
  ]);
  expect((await workshop.tsbuild(["tag", name, `${registry.host}/other:2`])).code).toBe(0);
  expect((await workshop.tsbuild(["push", `${registry.host}/other:2`])).code).toBe(0);
  const inspected = execFileSync(
    "skopeo",
    ["inspect", "--tls-verify=false", "--override-arch=arm64", `docker://${registry.host}/other:2`],
    { encoding: "utf8" },
  );
  expect(JSON.parse(inspected)).toMatchObject({ Architecture: "arm64" });
});

pushing("save writes the whole index into a layout; inspect and images --tree show its platforms", async () => {
  await workshop.build("FROM scratch⏎COPY f /", { f: "saved" }, [...both, "-t", "saved:1"]);
  const archive = `${workshop.folder}/saved.tar`;
  expect((await workshop.tsbuild(["save", "--format=oci-archive", "-o", archive, "saved:1"])).code).toBe(0);
  const raw = execFileSync("skopeo", ["inspect", "--raw", `oci-archive:${archive}:1`], { encoding: "utf8" });
  expect(JSON.parse(raw).manifests).toHaveLength(2);
  const one = `${workshop.folder}/one.tar`;
  expect((await workshop.tsbuild(["save", "--platform=linux/arm64", "-o", one, "saved:1"])).code).toBe(0);
  const config = execFileSync("skopeo", ["inspect", "--config", `docker-archive:${one}`], { encoding: "utf8" });
  expect(JSON.parse(config)).toMatchObject({ architecture: "arm64" });
  const [inspected] = JSON.parse((await workshop.tsbuild(["inspect", "saved:1"])).stdout);
  expect(inspected.Descriptor.mediaType).toBe("application/vnd.oci.image.index.v1+json");
  expect(inspected.Manifests).toHaveLength(2);
  const tree = (await workshop.tsbuild(["images", "--tree"])).stdout;
  expect(tree).toMatch(/^saved:1\n├─ linux\/amd64 {2}[0-9a-f]{12} {2}.*\n└─ linux\/arm64 /m);
});

pushing("a base that is for one other platform is taken, with a warning", async () => {
  await using registry = await startDockerRegistry();
  const name = `${registry.host}/only-arm64:1`;
  await workshop.build("FROM scratch⏎COPY f /", { f: "arm" }, ["--platform=linux/arm64", "-t", name, "--push"]);
  await workshop.tsbuild(["rmi", name]);
  const built = await workshop.build(`FROM ${name}⏎LABEL x=y`, {}, ["--platform=linux/amd64"]);
  expect(built).toMatchObject({ code: 0, stderr: expect.stringContaining("is for linux/arm64") });
});

test("system check misses what an index names", async () => {
  const other = `${workshop.folder}/checked`;
  const context = workshop.context({ Dockerfile: "FROM scratch\nCOPY f /\n", f: "checked" });
  await workshop.tsbuild(["--root", other, "build", ...both, "-t", "checked", context]);
  using store = openStore(other);
  const index = store.images.index({ domain: "docker.io", path: "library/checked", tag: "latest" });
  execFileSync("rm", [store.blobs.path(index?.value.manifests[1]?.digest as never)]);
  const checked = await workshop.tsbuild(["--root", other, "system", "check"]);
  expect(checked.code).toBe(1);
  expect(checked.stdout + checked.stderr).toContain(
    `is an index of which ${index?.value.manifests[1]?.digest} is missing`,
  );
});
