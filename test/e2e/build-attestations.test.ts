/** `--provenance`, `--sbom`, `--attest`: statements beside the image, and what they say and keep to themselves. */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { afterAll, beforeAll, expect } from "vitest";
import { openStore } from "../../src/store/open-store.ts";
import { startDockerRegistry } from "../support/docker-registry.ts";
import { needs } from "../support/needs.ts";
import { Workshop } from "./build-support.ts";

const test = needs("root", "busybox-static");
const pushing = needs("root", "busybox-static", "docker-registry", "skopeo");
let workshop: Workshop;
let places = 0;

beforeAll(async () => {
  workshop = new Workshop();
  await workshop.importBase();
});
afterAll(() => workshop?.[Symbol.dispose]());

interface Document {
  readonly mediaType: string;
  readonly artifactType?: string;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly digest: string;
  readonly platform?: { readonly os: string; readonly architecture: string };
  readonly manifests: readonly Document[];
  readonly layers: readonly Document[];
  readonly config: Document;
  readonly subject: Document;
}

async function attested(dockerfile: string, args: readonly string[]) {
  const layout = `${workshop.folder}/layout${places++}`;
  const built = await workshop.build(dockerfile, { f: "1" }, ["-o", `type=oci,tar=false,dest=${layout}`, ...args]);
  expect(built.stderr).toContain("built");
  const text = (digest: string): string => readFileSync(`${layout}/blobs/${digest.replace(":", "/")}`, "utf8");
  const read = (digest: string): Document => JSON.parse(text(digest)) as Document;
  const top = (JSON.parse(readFileSync(`${layout}/index.json`, "utf8")) as Document).manifests[0]?.digest ?? "";
  const index = read(top);
  const attestations = index.manifests.filter(({ platform }) => platform?.os === "unknown");
  const statements = attestations.flatMap(({ digest }) =>
    read(digest).layers.map((layer) => JSON.parse(text(layer.digest))),
  );
  return { index, attestations, statements, read, text };
}

const secretive = ["--build-arg", "TOKEN=hidden", "--label", "who=me"];

test("provenance stands in the index, names the image's manifest, and min tells nothing private", async () => {
  const { index, attestations, statements, read, text } = await attested("FROM b⏎ARG TOKEN⏎COPY f /", [
    "--provenance",
    ...secretive,
    "-t",
    "team/app:1",
  ]);
  const [image, attestation] = index.manifests;
  expect(index.manifests).toHaveLength(2);
  expect(attestation).toMatchObject({
    platform: { os: "unknown", architecture: "unknown" },
    annotations: {
      "vnd.docker.reference.type": "attestation-manifest",
      "vnd.docker.reference.digest": image?.digest,
    },
  });
  const manifest = read(attestations[0]?.digest ?? "");
  expect(manifest).toMatchObject({
    artifactType: "application/vnd.docker.attestation.manifest.v1+json",
    config: { mediaType: "application/vnd.oci.empty.v1+json" },
    subject: { digest: image?.digest },
    layers: [
      {
        mediaType: "application/vnd.in-toto+json",
        annotations: { "in-toto.io/predicate-type": "https://slsa.dev/provenance/v1" },
      },
    ],
  });
  expect(text(manifest.config.digest)).toBe("{}");
  expect(statements[0]).toMatchObject({
    _type: "https://in-toto.io/Statement/v1",
    subject: [{ name: expect.stringMatching(/^pkg:docker\/team\/app@1\?platform=linux%2F/) }],
    predicate: {
      buildDefinition: {
        externalParameters: { configSource: { path: expect.any(String) }, request: { frontend: "dockerfile.v0" } },
        resolvedDependencies: [{ uri: expect.stringMatching(/^pkg:docker\/b@latest\?digest=sha256:/) }],
      },
    },
  });
  expect(JSON.stringify(statements)).not.toMatch(/hidden|COPY f/);
});

test("mode=max has build-args, steps and the Dockerfile, but no secret's value", async () => {
  const { statements } = await attested("FROM b⏎ARG TOKEN⏎COPY f /⏎RUN --mount=type=secret,id=s,env=S true", [
    "--attest",
    "type=provenance,mode=max,builder-id=https://example.org/builder",
    "--secret",
    "id=s,env=HOME",
    ...secretive,
  ]);
  const { buildDefinition, runDetails } = statements[0].predicate;
  expect(buildDefinition.externalParameters.request).toMatchObject({
    args: { "build-arg:TOKEN": "hidden", "label:who": "me" },
    secrets: [{ id: "s", optional: true }],
  });
  expect(buildDefinition.internalParameters.buildConfig.llbDefinition).toEqual([
    { id: "0.0", op: "COPY f /", inputs: [] },
    { id: "0.1", op: "RUN --mount=type=secret,id=s,env=S true", inputs: ["0.0"] },
  ]);
  expect(runDetails.builder.id).toBe("https://example.org/builder");
  const [source] = runDetails.metadata.buildkit_metadata.source.infos;
  expect(Buffer.from(source.data, "base64").toString()).toContain("COPY f /");
});

test("version=v0.2, and each platform has its own, in the older form", async () => {
  const { attestations, statements, read } = await attested("FROM scratch⏎COPY f /", [
    "--provenance=version=v0.2",
    "--platform=linux/amd64,linux/arm64",
  ]);
  expect(attestations).toHaveLength(2);
  expect(statements.map(({ predicateType }) => predicateType)).toEqual(
    Array(2).fill("https://slsa.dev/provenance/v0.2"),
  );
  expect(statements[0].predicate).toMatchObject({ buildType: "https://mobyproject.org/buildkit@v1" });
  const layout = `${workshop.folder}/older`;
  await workshop.build("FROM scratch⏎COPY f /", { f: "" }, [
    "--provenance",
    "-o",
    `type=oci,tar=false,oci-artifact=false,dest=${layout}`,
  ]);
  expect(read(attestations[0]?.digest ?? "").config.mediaType).toContain("empty");
});

test("local has provenance.json about the files, unless it is inline only", async () => {
  const out = `${workshop.folder}/files`;
  await workshop.build("FROM scratch⏎COPY f /d/", { f: "content" }, ["--provenance", "-o", out]);
  expect(JSON.parse(readFileSync(`${out}/provenance.json`, "utf8"))).toMatchObject({
    predicateType: "https://slsa.dev/provenance/v1",
    subject: [{ name: "d/f", digest: { sha256: createHash("sha256").update("content").digest("hex") } }],
  });
  const tar = `${workshop.folder}/files.tar`;
  await workshop.build("FROM scratch⏎COPY f /d/", { f: "content" }, [
    "--provenance=inline-only=true",
    "-o",
    `type=tar,dest=${tar}`,
  ]);
  expect(execFileSync("tar", ["-tf", tar], { encoding: "utf8" })).toBe("d/\nd/f\n");
  await workshop.build("FROM scratch⏎COPY f /d/", { f: "content" }, [
    "--provenance",
    "-o",
    `type=tar,attestation-prefix=x-,dest=${tar}`,
  ]);
  expect(execFileSync("tar", ["-tf", tar], { encoding: "utf8" })).toBe("d/\nd/f\nx-provenance.json\n");
});

test("an SBOM is what the scanner's image writes about the files", async () => {
  const scanner =
    'FROM b⏎ENTRYPOINT ["/bin/sh", "-c"]⏎CMD ["f=$(cat $BUILDKIT_SCAN_SOURCE/f); echo \'{\\"predicateType\\":\\"https://spdx.dev/Document\\",\\"predicate\\":{\\"found\\":\\"\'$f\'\\"}}\' > $BUILDKIT_SCAN_DESTINATION/sbom.spdx.json"]';
  expect((await workshop.build(scanner, {}, ["-t", "scanner"])).code).toBe(0);
  const images = (): number => {
    using store = openStore(workshop.root);
    return store.images.list().length;
  };
  const before = images();
  const { statements } = await attested("FROM scratch⏎COPY f /", ["--sbom=generator=scanner"]);
  expect(statements).toMatchObject([{ predicateType: "https://spdx.dev/Document", predicate: { found: "1" } }]);
  expect(images()).toBe(before);
  const silent = await workshop.build("FROM scratch⏎COPY f /", { f: "" }, ["--sbom=generator=silent"]);
  expect(silent.code).toBe(1);
  await workshop.build('FROM b⏎CMD ["true"]', {}, ["-t", "silent"]);
  expect(await workshop.build("FROM scratch⏎COPY f /", { f: "" }, ["--sbom=generator=silent"])).toMatchObject({
    code: 1,
    stderr: expect.stringContaining("wrote no *.spdx.json"),
  });
});

pushing("an attested image is pushed, pulled, run and read by skopeo as an ordinary one", async () => {
  await using registry = await startDockerRegistry();
  const name = `${registry.host}/team/attested:1`;
  const built = await workshop.build("FROM b⏎RUN echo attested >/f", {}, ["--provenance", "-t", name, "--push"]);
  expect(built.stderr).toContain("built");
  const raw = JSON.parse(
    execFileSync("skopeo", ["inspect", "--tls-verify=false", "--raw", `docker://${name}`], { encoding: "utf8" }),
  ) as Document;
  expect(raw.manifests.map(({ platform }) => platform?.os)).toEqual(["linux", "unknown"]);
  execFileSync("skopeo", ["inspect", "--tls-verify=false", `docker://${name}`]);
  const other = `${workshop.folder}/other-store`;
  expect((await workshop.tsbuild(["--root", other, "pull", "-q", name])).code).toBe(0);
  expect(await workshop.tsbuild(["--root", other, "run", "--rm", "--network=none", name, "cat", "/f"])).toMatchObject({
    stdout: "attested\n",
  });
});

test("--metadata-file has the provenance, unless it is turned off", async () => {
  const file = `${workshop.folder}/metadata.json`;
  await workshop.build("FROM b⏎COPY f /", { f: "" }, ["--metadata-file", file]);
  expect(JSON.parse(readFileSync(file, "utf8"))).toMatchObject({
    "buildx.build.provenance": { buildDefinition: { internalParameters: { builderPlatform: expect.any(String) } } },
    "containerimage.config.digest": expect.stringMatching(/^sha256:/),
  });
});

test.for([
  { args: ["--sbom"], code: 2, what: "an SBOM needs a scanner" },
  { args: ["--attest", "type=provenence"], code: 2, what: "unknown type provenence" },
  { args: ["--provenance=mode=most"], code: 2, what: "mode must be min or max" },
  { args: ["--provenance=moed=min"], code: 2, what: "did you mean mode?" },
  { args: ["--provenance", "-o", "type=docker,dest=x"], code: 1, what: "manifest lists" },
  {
    args: ["--provenance", "-o", "type=image,oci-mediatypes=false"],
    code: 2,
    what: "attestations need OCI media types",
  },
])("$args is refused", async ({ args, code, what }) => {
  const built = await workshop.build("FROM scratch⏎COPY f /", { f: "" }, args);
  expect(built).toMatchObject({ code, stderr: expect.stringContaining(what) });
});
