/** `build --output`: each type, read back by others' tools; and what is refused. */
import { execFileSync } from "node:child_process";
import { existsSync, lstatSync, mkdirSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from "node:fs";
import { afterAll, beforeAll, expect } from "vitest";
import { openStore } from "../../src/store/open-store.ts";
import { startDockerRegistry } from "../support/docker-registry.ts";
import { needs } from "../support/needs.ts";
import { Workshop } from "./build-support.ts";

const test = needs("root", "busybox-static");
const withSkopeo = needs("root", "busybox-static", "skopeo");
const pushing = needs("root", "busybox-static", "docker-registry", "skopeo");
let workshop: Workshop;

beforeAll(async () => {
  workshop = new Workshop();
  await workshop.importBase();
});
afterAll(() => workshop?.[Symbol.dispose]());

const tree =
  "FROM b AS t⏎RUN mkdir -p /o/d && echo 1 >/o/f && ln /o/f /o/h && ln -s ../f /o/d/l && chmod 750 /o/d && chown 7:8 /o/f && mkfifo /o/p⏎" +
  "FROM scratch⏎COPY --from=t /o /⏎COPY --from=t /o/f /g⏎";
let outputs = 0;
const place = (): string => `${workshop.folder}/out${outputs++}`;

function images(): number {
  using store = openStore(workshop.root);
  return store.images.list().length;
}

test("local: the files with modes, links and times; no image is left", async () => {
  const out = place();
  const before = images();
  const built = await workshop.build(tree, {}, ["-o", out]);
  expect(built.stderr).toContain("built:");
  expect(images()).toBe(before);
  expect(readdirSync(out).sort()).toEqual(["d", "f", "g", "h", "p"]);
  expect(lstatSync(`${out}/d`).mode & 0o7777).toBe(0o750);
  expect(readlinkSync(`${out}/d/l`)).toBe("../f");
  expect(lstatSync(`${out}/f`)).toMatchObject({ nlink: 2, uid: 0, gid: 0 });
  expect(lstatSync(`${out}/p`).isFIFO()).toBe(true);
  expect(readFileSync(`${out}/f`, "utf8")).toBe("1\n");
});

test("local: mode=copy keeps what is there, follows no link, and mode=delete needs leave to remove", async () => {
  const out = place();
  mkdirSync(`${out}/f/inside`, { recursive: true });
  writeFileSync(`${out}/own`, "own");
  execFileSync("ln", ["-s", "/nowhere", `${out}/d`]);
  expect((await workshop.build(tree, {}, ["-o", out])).code).toBe(0);
  expect(readFileSync(`${out}/own`, "utf8")).toBe("own");
  expect(lstatSync(`${out}/d`).isDirectory()).toBe(true);
  expect(existsSync("/nowhere")).toBe(false);
  const spec = ["-o", `type=local,dest=${out},mode=delete`];
  const refused = await workshop.build(tree, {}, spec);
  expect(refused).toMatchObject({ code: 2, stderr: expect.stringContaining("--allow buildx.local.delete") });
  expect((await workshop.build(tree, {}, [...spec, "--allow", "buildx.local.delete"])).code).toBe(0);
  expect(readdirSync(out).sort()).toEqual(["d", "f", "g", "h", "p"]);
});

test("tar: on standard output with owners, and a folder for each of several platforms", async () => {
  const file = place();
  const built = await workshop.build(tree, {}, ["-o", `type=tar,dest=${file}`, "--platform", "linux/amd64"]);
  expect(built.code).toBe(0);
  const listed = execFileSync("tar", ["-tvf", file, "--numeric-owner"], { encoding: "utf8" });
  expect(listed).toMatch(/^-rw-r--r-- 7\/8 +2 .* f$/m);
  expect(listed).toMatch(/ h link to f$/m);
  expect(listed).toMatch(/^drwxr-x--- 0\/0 .* d\/$/m);
  await workshop.build("FROM scratch⏎COPY a /", { a: "a" }, [
    "--platform=linux/amd64,linux/arm/v7",
    "-o",
    `type=tar,dest=${file}`,
  ]);
  expect(execFileSync("tar", ["-tf", file], { encoding: "utf8" }).split("\n")).toEqual([
    "linux_amd64/",
    "linux_amd64/a",
    "linux_arm_v7/",
    "linux_arm_v7/a",
    "",
  ]);
});

withSkopeo.for([
  { spec: "type=oci", transport: "oci-archive", layer: "application/vnd.oci.image.layer.v1.tar+gzip" },
  { spec: "type=oci,compression=zstd", transport: "oci-archive", layer: "application/vnd.oci.image.layer.v1.tar+zstd" },
  {
    spec: "type=oci,compression=uncompressed",
    transport: "oci-archive",
    layer: "application/vnd.oci.image.layer.v1.tar",
  },
  { spec: "type=oci,tar=false", transport: "oci", layer: "application/vnd.oci.image.layer.v1.tar+gzip" },
])("skopeo reads $spec", async ({ spec, transport, layer }) => {
  const dest = place();
  await workshop.build(tree, {}, ["-o", `${spec},dest=${dest}`, "-t", "app:1"]);
  const raw = execFileSync("skopeo", ["inspect", "--raw", `${transport}:${dest}:1`], { encoding: "utf8" });
  expect(JSON.parse(raw).layers.map(({ mediaType }: { mediaType: string }) => mediaType)).toEqual([layer, layer]);
  const target = place();
  execFileSync("skopeo", ["copy", "-q", "--insecure-policy", `${transport}:${dest}:1`, `dir:${target}`]);
});

withSkopeo("type=docker,dest is what docker load takes, and what we load again with the same ID", async () => {
  const dest = place();
  const built = await workshop.build(tree, {}, ["-o", `type=docker,dest=${dest}`, "-t", "app:docker"]);
  expect(built.code).toBe(0);
  const inspected = execFileSync("skopeo", ["inspect", "--config", `docker-archive:${dest}`], { encoding: "utf8" });
  expect(JSON.parse(inspected)).toMatchObject({ os: "linux", rootfs: { type: "layers" } });
  const loaded = await workshop.tsbuild(["load", "-i", dest]);
  expect(loaded.stdout).toContain("Loaded image: app:docker");
  expect(built.image.config.rootfs.diff_ids).toHaveLength(2);
});

test("annotations stand where they are put, and the image is in the store with them", async () => {
  const dest = place();
  const args = ["--annotation", "a=1", "--annotation", "manifest-descriptor,index:b=2"];
  const both = ["--platform", "linux/amd64,linux/arm64", "--annotation", "manifest[linux/arm64]:c=3"];
  const built = await workshop.build("FROM scratch⏎COPY f /", { f: "" }, [
    ...args,
    ...both,
    "-o",
    `type=oci,tar=false,dest=${dest}`,
  ]);
  expect(built.stderr).toContain("built");
  const read = (digest: string) => JSON.parse(readFileSync(`${dest}/blobs/${digest.replace(":", "/")}`, "utf8"));
  const layout = JSON.parse(readFileSync(`${dest}/index.json`, "utf8"));
  const index = read(layout.manifests[0].digest);
  expect(index.annotations).toEqual({ b: "2" });
  expect(index.manifests.map((each: { annotations: unknown }) => each.annotations)).toEqual([{ b: "2" }, { b: "2" }]);
  const [amd64, arm64] = index.manifests.map((each: { digest: string }) => read(each.digest).annotations);
  expect([amd64, arm64]).toEqual([{ a: "1" }, { a: "1", c: "3" }]);
});

test("--metadata-file and --iidfile tell what was made", async () => {
  const metadata = place();
  const dest = place();
  const built = await workshop.build(tree, {}, [
    "-o",
    `type=oci,dest=${dest}`,
    "-t",
    "app:1",
    "--metadata-file",
    metadata,
  ]);
  expect(built.code).toBe(0);
  const told = JSON.parse(readFileSync(metadata, "utf8"));
  expect(told).toMatchObject({
    "image.name": "docker.io/library/app:1",
    "containerimage.descriptor": {
      mediaType: "application/vnd.oci.image.manifest.v1+json",
      platform: { architecture: process.arch === "x64" ? "amd64" : process.arch, os: "linux" },
    },
  });
  expect(told["containerimage.digest"]).toBe(told["containerimage.descriptor"].digest);
  expect(told["containerimage.config.digest"]).toMatch(/^sha256:/);
});

pushing.for([
  { what: "--push", args: (name: string) => ["-t", name, "--push"], type: "v1.tar+gzip" },
  {
    what: "registry with zstd",
    args: (name: string) => ["-o", `type=registry,name=${name},compression=zstd`],
    type: "v1.tar+zstd",
  },
  {
    what: "image with docker's media types",
    args: (name: string) => ["-o", `type=image,name=${name},push=true,oci-mediatypes=false`],
    type: "rootfs.diff.tar.gzip",
  },
])("$what puts the image into a registry", async ({ args, type }) => {
  await using registry = await startDockerRegistry();
  const name = `${registry.host}/app:1`;
  const built = await workshop.build("FROM scratch⏎COPY f /", { f: type }, args(name));
  expect(built.stderr).toContain("built");
  const raw = execFileSync("skopeo", ["inspect", "--tls-verify=false", "--raw", `docker://${name}`], {
    encoding: "utf8",
  });
  expect(JSON.parse(raw).layers[0].mediaType).toContain(type);
});

test.for([
  { spec: "type=oic,dest=x", code: 2, what: "did you mean", hint: "type=oci" },
  { spec: "type=oci", code: 2, what: "dest is missing", hint: "dest=FILE" },
  { spec: "/proc/here", code: 1, what: "cannot write the result to /proc/here", hint: "" },
  { spec: "type=local", code: 2, what: "dest is missing", hint: "dest=PATH" },
  { spec: "type=oci,dest=x,compresion=zstd", code: 2, what: "no key compresion", hint: "compression" },
  { spec: "type=image,compression=lz4", code: 2, what: "one of uncompressed, gzip, estargz, zstd", hint: "" },
  { spec: "type=image,compression=estargz,oci-mediatypes=false", code: 2, what: "estargz needs OCI", hint: "leave" },
  { spec: "type=docker,context=x,dest=y", code: 2, what: "lies nowhere else", hint: "context=x" },
  { spec: "type=docker,context=nobody", code: 1, what: "no docker context nobody", hint: "docker context ls" },
  { spec: "type=image,dangling-name-prefix=a:b", code: 2, what: "without tag and digest", hint: "" },
  {
    spec: "type=oci,dest=x,compression=zstd,oci-mediatypes=false",
    code: 2,
    what: "zstd needs OCI",
    hint: "oci-mediatypes",
  },
  { spec: "type=registry", code: 2, what: "tag is needed when pushing", hint: "-t" },
  {
    spec: "type=oci,dest=x,annotation-index.a=b",
    code: 2,
    what: "index annotations not supported",
    hint: "manifest:a",
  },
  { spec: "type=image,compression-level=10", code: 2, what: "from 0 to 9", hint: "" },
])("-o $spec is refused", async ({ spec, code, what, hint }) => {
  const built = await workshop.build("FROM scratch⏎COPY f /", { f: "" }, ["-o", spec]);
  expect(built.code).toBe(code);
  if (what !== "did you mean") expect(built.stderr).toContain(what);
  expect(built.stderr).toContain(hint);
});

test("an archive that is written again takes the compressed layers of the last time, until they are pruned", async () => {
  using own = new Workshop();
  const context = own.context({ f: "f".repeat(100_000), g: "g" });
  const blobs = (): readonly string[] => readdirSync(`${own.root}/blobs/sha256`).sort();
  const archive = async (name: string, keys = ""): Promise<string> => {
    const spec = `type=oci,dest=${own.folder}/${name}${keys}`;
    const built = await own.buildIn(context, "FROM scratch⏎COPY f /⏎COPY g /", ["-o", spec]);
    expect(built.code, built.stderr).toBe(0);
    return execFileSync("sha256sum", [`${own.folder}/${name}`], { encoding: "utf8" }).split(" ")[0] ?? "";
  };
  const first = await archive("1.tar");
  const kept = blobs();
  expect(kept.length).toBe(2);
  const [blob = ""] = kept;
  const before = lstatSync(`${own.root}/blobs/sha256/${blob}`).ctimeMs;
  expect(await archive("2.tar")).toBe(first);
  expect(blobs()).toEqual(kept);
  expect(lstatSync(`${own.root}/blobs/sha256/${blob}`).ctimeMs).toBe(before);
  expect((await own.tsbuild(["cache", "du", "-v"])).stdout).toContain("compressed.layer");
  // Another level is another form.
  await archive("3.tar", ",compression-level=1");
  expect(blobs().length).toBeGreaterThan(2);
  expect((await own.tsbuild(["system", "check"])).stdout).toContain("0 faults");
  expect((await own.tsbuild(["cache", "prune", "-a", "-f"])).code).toBe(0);
  expect(blobs()).toEqual([]);
});
