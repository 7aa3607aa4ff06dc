/** What an output's keys say beside its form: names by digest, layers of other hosts, another engine; and the files about it. */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import { join } from "node:path";
import { afterAll, beforeAll, expect } from "vitest";
import { startDockerRegistry } from "../support/docker-registry.ts";
import { startDocker } from "../support/dockerd.ts";
import { needs } from "../support/needs.ts";
import { tsbuild } from "../support/tsbuild.ts";
import { Workshop } from "./build-support.ts";

const test = needs("root", "busybox-static");
const pushing = needs("root", "busybox-static", "docker-registry", "skopeo");
const withDocker = needs("root", "busybox-static", "docker", "dockerd");
let workshop: Workshop;
let count = 0;

beforeAll(async () => {
  workshop = new Workshop();
  await workshop.importBase();
});
afterAll(() => workshop?.[Symbol.dispose]());

const place = (): string => `${workshop.folder}/place${count++}`;
const readJson = (file: string): Record<string, unknown> => JSON.parse(readFileSync(file, "utf8"));

test("name-canonical gives the image the name by its digest, too", async () => {
  const digestFile = place();
  const flags = ["-o", "type=image,name=canonical:1,name-canonical=true", "--digest-file", digestFile];
  expect((await workshop.build("FROM scratch⏎COPY f /", { f: "canonical" }, flags)).code).toBe(0);
  const digest = readFileSync(digestFile, "utf8");
  expect(digest).toMatch(/^sha256:[0-9a-f]{64}$/);
  const found = await workshop.tsbuild(["inspect", "-f", "{{json .RepoDigests}}", `canonical@${digest}`]);
  expect(JSON.parse(found.stdout)).toEqual([`canonical@${digest}`]);
});

test("dangling-name-prefix names an image that has no other name", async () => {
  const metadata = place();
  const flags = ["-o", "type=image,dangling-name-prefix=nameless", "--metadata-file", metadata];
  expect((await workshop.build("FROM scratch⏎COPY f /", { f: "dangling" }, flags)).code).toBe(0);
  const told = readJson(metadata);
  expect(told["image.name"]).toBe(`docker.io/library/nameless@${told["containerimage.digest"]}`);
  expect((await workshop.tsbuild(["inspect", `nameless@${told["containerimage.digest"]}`])).code).toBe(0);
  await workshop.build("FROM scratch⏎COPY f /", { f: "dangling" }, [...flags, "-t", "named"]);
  expect(readJson(metadata)["image.name"]).toBe("docker.io/library/named:latest");
});

pushing("dangling-name-prefix is pushed by its digest", async () => {
  await using registry = await startDockerRegistry();
  const digestFile = place();
  const flags = ["-o", `type=registry,dangling-name-prefix=${registry.host}/d`, "--digest-file", digestFile];
  expect(await workshop.build("FROM scratch⏎COPY f /", { f: "pushed" }, flags)).toMatchObject({ code: 0 });
  const name = `docker://${registry.host}/d@${readFileSync(digestFile, "utf8")}`;
  expect(execFileSync("skopeo", ["inspect", "--no-tags", "--tls-verify=false", name], { encoding: "utf8" })).toContain(
    "sha256",
  );
});

const foreignType = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip";

/** An OCI layout with an image whose layer is not to be handed on. */
async function foreignLayout(): Promise<string> {
  const layout = place();
  // Made in another store: in this one the layer comes from elsewhere.
  using other = new Workshop();
  const built = await other.build("FROM scratch⏎COPY f /", { f: layout }, ["-o", `type=oci,tar=false,dest=${layout}`]);
  expect(built.code).toBe(0);
  const index = readJson(`${layout}/index.json`) as { manifests: { digest: string; size: number }[] };
  const [entry] = index.manifests;
  if (entry === undefined) throw new Error("an empty layout");
  const manifest = readJson(`${layout}/blobs/sha256/${entry.digest.slice(7)}`) as { layers: Record<string, unknown>[] };
  manifest.layers[0] = { ...manifest.layers[0], mediaType: foreignType, urls: ["https://example.com/layer"] };
  const raw = JSON.stringify(manifest);
  const hex = createHash("sha256").update(raw).digest("hex");
  writeFileSync(`${layout}/blobs/sha256/${hex}`, raw);
  index.manifests = [{ ...entry, digest: `sha256:${hex}`, size: raw.length }];
  writeFileSync(
    `${layout}/index.json`,
    JSON.stringify({
      ...index,
      manifests: [{ ...index.manifests[0], annotations: { "org.opencontainers.image.ref.name": "v" } }],
    }),
  );
  return layout;
}

test("a layer of another host becomes an ordinary one, unless prefer-nondist-layers says otherwise", async () => {
  const base = await foreignLayout();
  const layersOf = async (keys: string): Promise<Record<string, unknown>[]> => {
    const out = place();
    const flags = ["--build-context", `base=oci-layout://${base}:v`, "-o", `type=oci,tar=false,dest=${out}${keys}`];
    const built = await workshop.build("FROM base⏎COPY g /", { g: "" }, flags);
    expect(built.code, built.stderr).toBe(0);
    const { manifests } = readJson(`${out}/index.json`) as { manifests: [{ digest: string }] };
    return (readJson(`${out}/blobs/sha256/${manifests[0].digest.slice(7)}`) as { layers: [] }).layers;
  };
  const [ordinary] = await layersOf("");
  expect(ordinary).toEqual(expect.objectContaining({ mediaType: "application/vnd.oci.image.layer.v1.tar+gzip" }));
  expect(ordinary).not.toHaveProperty("urls");
  const [kept, own] = await layersOf(",prefer-nondist-layers=true");
  expect(kept).toMatchObject({ mediaType: foreignType, urls: ["https://example.com/layer"] });
  expect(own).toMatchObject({ mediaType: "application/vnd.oci.image.layer.v1.tar+gzip" });
  const [docker] = await layersOf(",prefer-nondist-layers=true,oci-mediatypes=false");
  expect(docker).toMatchObject({ mediaType: "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip" });
});

test("inline-only attestations make no index of an archive, unless attestation-inline says so", async () => {
  const kinds = async (...flags: readonly string[]): Promise<unknown> => {
    const out = place();
    const built = await workshop.build("FROM scratch⏎COPY f /", { f: "inline" }, [
      "-o",
      `type=oci,tar=false,dest=${out}${flags[0]}`,
      ...flags.slice(1),
    ]);
    expect(built.code, built.stderr).toBe(0);
    return (readJson(`${out}/index.json`) as { manifests: [{ mediaType: string }] }).manifests[0].mediaType;
  };
  const manifest = "application/vnd.oci.image.manifest.v1+json";
  const index = "application/vnd.oci.image.index.v1+json";
  expect(await kinds("", "--provenance=inline-only=true")).toBe(manifest);
  expect(await kinds(",attestation-inline=true", "--provenance=inline-only=true")).toBe(index);
  expect(await kinds("", "--provenance=mode=min")).toBe(index);
  expect(await kinds("", "--provenance=inline-only=true", "--build-arg", "BUILDKIT_MULTI_PLATFORM=1")).toBe(index);
});

test("--iidfile-raw has the hex alone, and --digest-file needs something that has a digest", async () => {
  const raw = place();
  const { image } = await workshop.build("FROM scratch⏎COPY f /", { f: "raw" }, ["--iidfile-raw", raw]);
  expect(`sha256:${readFileSync(raw, "utf8")}`).toBe(image.id);
  const refused = await workshop.build("FROM scratch⏎COPY f /", { f: "" }, ["--digest-file", raw, "-o", place()]);
  expect(refused).toMatchObject({ code: 2, stderr: expect.stringContaining("no output has a manifest") });
});

test.for([
  { warnings: undefined, expected: undefined },
  { warnings: "0", expected: undefined },
  { warnings: "1", expected: "FromAsCasing" },
])(
  "--metadata-file: the build's name, and its warnings with BUILDX_METADATA_WARNINGS=$warnings",
  async ({ warnings, expected }) => {
    const metadata = place();
    const folder = workshop.context({ Dockerfile: "FROM b as t\nRUN true\n" });
    const built = await tsbuild(["build", "--metadata-file", metadata, folder], {
      env: { TSBUILD_ROOT: workshop.root, ...(warnings !== undefined && { BUILDX_METADATA_WARNINGS: warnings }) },
      cwd: workshop.folder,
    });
    expect(built.code).toBe(0);
    const told = readJson(metadata);
    expect(told["buildx.build.ref"]).toMatch(/^default\/default\/[0-9a-f]{25}$/);
    expect(JSON.stringify(told["buildx.build.provenance"])).toContain(String(told["buildx.build.ref"]).split("/")[2]);
    const [first] = (told["buildx.build.warnings"] ?? []) as { short: string; range: unknown; url: string }[];
    if (expected === undefined) expect(told).not.toHaveProperty("buildx.build.warnings");
    else {
      expect(Buffer.from(first?.short ?? "", "base64").toString()).toMatch(/^FromAsCasing: .* \(line 1\)$/);
      expect(first).toMatchObject({ level: 1, range: [{ start: { line: 1 }, end: { line: 1 } }] });
    }
  },
);

// Another engine ---------------------------------------------------------------------------------------------------

/** A client configuration whose context \`other\` is the engine at \`host\`. */
function configuration(host: string): string {
  const folder = place();
  const meta = join(folder, "contexts/meta", createHash("sha256").update("other").digest("hex"));
  mkdirSync(meta, { recursive: true });
  writeFileSync(
    join(meta, "meta.json"),
    JSON.stringify({ Name: "other", Metadata: {}, Endpoints: { docker: { Host: host } } }),
  );
  return folder;
}

const buildInto = (config: string, environment: Readonly<Record<string, string>> = {}, name = "other") =>
  tsbuild(
    [
      "--config",
      config,
      "build",
      "-t",
      "app:1",
      "-o",
      `type=docker,context=${name}`,
      workshop.context({ Dockerfile: "FROM scratch\nCOPY f /\n", f: "x" }),
    ],
    {
      env: { TSBUILD_ROOT: workshop.root, ...environment },
      cwd: workshop.folder,
    },
  );

async function engine(
  answer: (size: number) => readonly [number, string],
  tcp = false,
): Promise<{ host: string; requests: string[]; server: Server }> {
  const requests: string[] = [];
  const socket = place();
  const server = createServer((request, response) => {
    let size = 0;
    request.on("data", (chunk: Buffer) => {
      size += chunk.length;
    });
    request.on("end", () => {
      requests.push(`${request.method} ${request.url} ${request.headers["content-type"]}`);
      const [status, text] = answer(size);
      response.writeHead(status).end(text);
    });
  });
  await new Promise<void>((resolve) => {
    if (tcp) server.listen(0, "127.0.0.1", resolve);
    else server.listen(socket, resolve);
  });
  const address = server.address();
  const host = typeof address === "object" ? `tcp://127.0.0.1:${address?.port}` : `unix://${socket}`;
  return { host, requests, server };
}

test("type=docker,context=NAME streams the archive to that engine, and its refusal is the build's", async () => {
  const good = await engine((size) => [200, size > 5_000 ? '{"stream":"Loaded"}\n' : '{"error":"nothing came"}']);
  const bad = await engine(() => [200, '{"stream":"x"}\r\n{"errorDetail":{"message":"no room"},"error":"no room"}']);
  const broken = await engine(() => [500, '{"message":"it hurts"}'], true);
  try {
    expect(await buildInto(configuration(good.host))).toMatchObject({ code: 0 });
    expect(good.requests).toEqual(["POST /images/load?quiet=1 application/x-tar"]);
    expect(await buildInto(place(), { DOCKER_HOST: good.host }, "default")).toMatchObject({ code: 0 });
    for (const [host, why] of [
      [bad.host, "no room"],
      [broken.host, "it hurts"],
      ["unix:///nowhere.sock", "ENOENT"],
      ["ssh://far", "cannot be asked"],
    ] as const) {
      const failed = await buildInto(configuration(host));
      expect(failed, host).toMatchObject({ code: 1, stderr: expect.stringContaining(why) });
    }
  } finally {
    for (const { server } of [good, bad, broken]) server.close();
  }
});

withDocker("docker has the image that was streamed to it", async () => {
  await using running = await startDocker();
  expect(await buildInto(configuration(running.host))).toMatchObject({ code: 0 });
  expect(running.docker(["image", "inspect", "--format", "{{.RepoTags}}", "app:1"]).toString().trim()).toBe("[app:1]");
});
