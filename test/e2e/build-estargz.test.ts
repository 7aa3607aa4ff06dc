/** `compression=estargz`: what its readers look for, and what everybody else sees. */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import { afterAll, beforeAll, expect } from "vitest";
import { startDockerRegistry } from "../support/docker-registry.ts";
import { needs } from "../support/needs.ts";
import { Workshop } from "./build-support.ts";

const test = needs("root", "busybox-static");
const withTools = needs("root", "busybox-static", "umoci", "skopeo");
const pushing = needs("root", "busybox-static", "docker-registry");
let workshop: Workshop;
let places = 0;

beforeAll(async () => {
  workshop = new Workshop();
  await workshop.importBase();
});
afterAll(() => workshop?.[Symbol.dispose]());

const sha256 = (bytes: Uint8Array): string => `sha256:${createHash("sha256").update(bytes).digest("hex")}`;

interface Descriptor {
  readonly digest: string;
  readonly mediaType: string;
  readonly size: number;
  readonly annotations: Readonly<Record<string, string>>;
}

interface TocEntry {
  readonly name: string;
  readonly type: string;
  readonly size?: number;
  readonly offset?: number;
  readonly chunkOffset?: number;
  readonly chunkSize?: number;
  readonly chunkDigest?: string;
  readonly [key: string]: unknown;
}

const text =
  "FROM b⏎RUN mkdir -m 750 /d && head -c 9000000 /dev/urandom >/d/big && echo hi >/d/small && ln /d/small /d/hard && " +
  "ln -s small /d/soft && : >/d/empty && chown 7:8 /d/small && chmod 4755 /d/small && mkfifo /d/pipe && " +
  "mknod /d/node c 1 3 && touch -d @1000000000 /d/small && rm /etc/passwd⏎COPY f /f";

async function layout(extra = "", args: readonly string[] = []) {
  const dest = `${workshop.folder}/esgz${places++}`;
  const spec = `type=oci,tar=false,compression=estargz,dest=${dest}${extra}`;
  const built = await workshop.build(text, { f: "f" }, ["-o", spec, ...args]);
  expect(built.code, built.stderr).toBe(0);
  const bytes = (digest: string): Buffer => readFileSync(`${dest}/blobs/${digest.replace(":", "/")}`);
  const [top] = JSON.parse(readFileSync(`${dest}/index.json`, "utf8")).manifests;
  const manifest = JSON.parse(bytes(top.digest).toString()) as { layers: Descriptor[]; config: Descriptor };
  const config = JSON.parse(bytes(manifest.config.digest).toString());
  return { dest, bytes, layers: manifest.layers, diffIds: config.rootfs.diff_ids as string[], digest: top.digest };
}

/** Read by the format's own rules: footer, table of contents, then files by their offsets. */
function tocOf(blob: Buffer): { readonly raw: Buffer; readonly entries: readonly TocEntry[] } {
  const footer = blob.subarray(-51);
  expect(footer.toString("latin1", 12, 14)).toBe("SG");
  expect(footer.toString("latin1", 32, 38)).toBe("STARGZ");
  const tar = gunzipSync(blob.subarray(Number.parseInt(footer.toString("latin1", 16, 32), 16)));
  expect(tar.toString("latin1", 0, 17)).toBe("stargz.index.json");
  const raw = tar.subarray(512, 512 + Number.parseInt(tar.toString("latin1", 124, 135), 8));
  const { version, entries } = JSON.parse(raw.toString());
  expect(version).toBe(1);
  return { raw, entries };
}

test("each layer has a table of contents, a landmark and annotations, and files stand at their offsets", async () => {
  const { layers, bytes, diffIds } = await layout();
  for (const [at, { digest, mediaType, annotations, size }] of layers.entries()) {
    const blob = bytes(digest);
    expect(mediaType).toBe("application/vnd.oci.image.layer.v1.tar+gzip");
    expect([sha256(blob), blob.length]).toEqual([digest, size]);
    const tar = gunzipSync(blob);
    expect(sha256(tar)).toBe(diffIds[at]);
    const { raw, entries } = tocOf(blob);
    expect(annotations).toEqual({
      "containerd.io/snapshot/stargz/toc.digest": sha256(raw),
      "io.containers.estargz.uncompressed-size": String(tar.length),
    });
    expect(entries[0]).toMatchObject({ name: ".no.prefetch.landmark", type: "reg", size: 1 });
    for (const { offset, chunkDigest, chunkSize, size: whole = 0, chunkOffset = 0, type } of entries) {
      if (offset === undefined) continue;
      const content = gunzipSync(blob.subarray(offset));
      const length = chunkSize ?? (type === "chunk" ? 9_000_000 - chunkOffset : whole);
      expect(sha256(content.subarray(0, length))).toBe(chunkDigest);
    }
  }
});

test("the table says of entries what tar says of them", async () => {
  const { layers, bytes } = await layout();
  const { entries } = tocOf(bytes(layers[1]?.digest ?? ""));
  const named = (name: string): readonly TocEntry[] => entries.filter((entry) => entry.name === name);
  expect(named("d/")).toMatchObject([{ type: "dir", mode: 0o750 }]);
  expect(named("d/hard")[0]).toMatchObject({
    type: "reg",
    size: 3,
    uid: 7,
    gid: 8,
    mode: 0o4755,
    modtime: "2001-09-09T01:46:40Z",
    digest: sha256(Buffer.from("hi\n")),
  });
  expect(named("d/small")).toMatchObject([{ type: "hardlink", linkName: "d/hard" }]);
  expect(named("d/soft")).toMatchObject([{ type: "symlink", linkName: "small" }]);
  expect(named("d/pipe")).toMatchObject([{ type: "fifo" }]);
  expect(named("d/node")).toMatchObject([{ type: "char", devMajor: 1, devMinor: 3 }]);
  expect(named("etc/.wh.passwd")).toMatchObject([{ type: "reg" }]);
  expect(named("d/empty")).toMatchObject([{ type: "reg" }]);
  expect(
    named("d/big").map(({ type, size, chunkOffset, chunkSize }) => ({ type, size, chunkOffset, chunkSize })),
  ).toEqual([
    { type: "reg", size: 9_000_000, chunkSize: 4 << 20 },
    { type: "chunk", chunkOffset: 4 << 20, chunkSize: 4 << 20 },
    { type: "chunk", chunkOffset: 8 << 20 },
  ]);
});

test("the same layers have the same digests, and are made once", async () => {
  const first = await layout();
  const second = await layout();
  expect(second.digest).toBe(first.digest);
  const fast = await layout(",compression-level=1");
  expect(fast.digest).not.toBe(first.digest);
  expect(fast.diffIds).not.toEqual(first.diffIds);
  expect((await workshop.tsbuild(["system", "check"])).stdout).toContain("0 faults");
});

withTools("other tools unpack it as an ordinary layer", async () => {
  const { dest, digest } = await layout("", ["-t", "esgz:1"]);
  const copy = `${workshop.folder}/copied`;
  execFileSync("skopeo", ["copy", `oci:${dest}:1`, `oci:${copy}:1`], { stdio: "pipe" });
  expect(JSON.parse(readFileSync(`${copy}/index.json`, "utf8")).manifests[0].digest).toBe(digest);
  execFileSync("umoci", ["unpack", "--image", `${copy}:1`, `${workshop.folder}/bundle`], { stdio: "pipe" });
  const root = `${workshop.folder}/bundle/rootfs`;
  expect(readFileSync(`${root}/d/hard`, "utf8")).toBe("hi\n");
  expect(readdirSync(root)).toContain("stargz.index.json");
});

test("what the format adds is not in the image's tree, here or where it is loaded", async () => {
  const { dest } = await layout("", ["-t", "esgz:2"]);
  using other = new Workshop();
  expect((await other.tsbuild(["load", "-i", dest])).code).toBe(0);
  const listed = await other.tsbuild([
    "run",
    "--rm",
    "--network=none",
    "esgz:2",
    "/bin/sh",
    "-c",
    "ls -A /; cat /d/hard",
  ]);
  expect(listed.code, listed.stderr).toBe(0);
  expect(listed.stdout).toContain("hi");
  expect(listed.stdout).not.toMatch(/stargz|landmark/);
  expect((await other.tsbuild(["system", "check"])).stdout).toContain("0 faults");
  // Files of these names that are the image's own are kept.
  const own = await workshop.build("FROM scratch⏎COPY stargz.index.json /", { "stargz.index.json": "mine" }, [
    "-t",
    "own",
  ]);
  expect(own.image.read("/stargz.index.json")).toBe("mine");
});

pushing("it is pushed as it is, and a build on what was pulled keeps its layers", async () => {
  await using registry = await startDockerRegistry();
  const name = `${registry.host}/esgz:1`;
  const built = await workshop.build(text, { f: "f" }, ["-o", `type=registry,name=${name},compression=estargz`]);
  expect(built.code, built.stderr).toBe(0);
  using other = new Workshop();
  const pulled = await other.tsbuild(["pull", name]);
  expect(pulled.code, pulled.stderr).toBe(0);
  const dest = `${other.folder}/onto`;
  const onto = await other.build(`FROM ${name}⏎COPY g /`, { g: "g" }, ["-o", `type=oci,tar=false,dest=${dest}`]);
  expect(onto.code, onto.stderr).toBe(0);
  const read = (digest: string) => JSON.parse(readFileSync(`${dest}/blobs/${digest.replace(":", "/")}`, "utf8"));
  const { layers } = read(JSON.parse(readFileSync(`${dest}/index.json`, "utf8")).manifests[0].digest);
  const marked = layers.map(({ annotations }: Descriptor) => annotations !== undefined);
  expect(marked).toEqual([true, true, true, false]);
});
