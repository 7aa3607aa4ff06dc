/** `--provenance`, `--sbom`, `--attest`: statements beside the image, and what they say and keep to themselves. */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { afterAll, beforeAll, expect } from "vitest";
import { openStore } from "../../src/store/open-store.ts";
import { startDockerRegistry } from "../support/docker-registry.ts";
import { fileServer } from "../support/file-server.ts";
import { gitServer } from "../support/git-server.ts";
import { needs } from "../support/needs.ts";
import { tsbuild } from "../support/tsbuild.ts";
import { Workshop } from "./build-support.ts";

const test = needs("root", "busybox-static");
const withGit = needs("root", "busybox-static", "git");
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
  const { statements, index, read } = await attested(
    "FROM b⏎ARG TOKEN⏎COPY f /⏎RUN --mount=type=secret,id=s,env=S --mount=type=ssh true",
    [
      "--attest",
      "type=provenance,mode=max,builder-id=https://example.org/builder",
      "--secret",
      "id=s,env=HOME",
      ...secretive,
    ],
  );
  const { buildDefinition, runDetails } = statements[0].predicate;
  expect(buildDefinition.externalParameters.request).toMatchObject({
    args: { "build-arg:TOKEN": "hidden", "label:who": "me" },
    secrets: [{ id: "s", optional: true }],
    ssh: [{ id: "default", optional: true }],
  });
  const { llbDefinition } = buildDefinition.internalParameters.buildConfig;
  expect(llbDefinition).toMatchObject([
    {
      id: "step0",
      op: { Op: { source: { identifier: expect.stringContaining("docker-image://docker.io/library/b:latest") } } },
    },
    { id: "step1", op: { Op: { source: { identifier: "local://context" } } } },
    {
      id: "step2",
      op: { Op: { file: { actions: [{ Action: { copy: { src: "/f", dest: "/" } } }] } } },
      inputs: ["step0:0", "step1:0"],
    },
    {
      id: "step3",
      op: {
        Op: {
          exec: { meta: { args: ["/bin/sh", "-c", "true"] }, secretenv: [{ ID: "s", name: "S", optional: true }] },
        },
      },
      inputs: ["step2:0"],
    },
    { id: "step4", op: { Op: null }, inputs: ["step3:0"] },
  ]);
  const { source: mapping, layers } = runDetails.metadata.buildkit_metadata;
  expect(mapping.locations.step3).toEqual({ locations: [{ ranges: [{ start: { line: 4 }, end: { line: 4 } }] }] });
  expect(Object.keys(layers)).toEqual(["step0:0", "step2:0", "step3:0"]);
  expect(layers["step3:0"][0].map(({ digest }: { digest: string }) => digest)).toEqual(
    read(index.manifests[0]?.digest ?? "").layers.map(({ digest }) => digest),
  );
  expect(runDetails.builder.id).toBe("https://example.org/builder");
  const [source] = runDetails.metadata.buildkit_metadata.source.infos;
  expect(Buffer.from(source.data, "base64").toString()).toContain("COPY f /");
});

withGit("what was fetched stands in it with its digest, and the folders of this machine by name", async () => {
  await using server = await gitServer();
  await using files = await fileServer();
  const commit = server.commit("app.git", { f: "1", Dockerfile: "FROM scratch\nCOPY f /\n" });
  files.files.set("/x", { body: "x", headers: {} });
  const named = workshop.context({ n: "n" });
  const text = `FROM scratch⏎ADD ${server.url}/app.git#main:. /g/⏎ADD ${files.url}/x?token=hidden /x⏎COPY --from=more n /`;
  const { statements } = await attested(text, ["--provenance=mode=max", "--build-context", `more=${named}`]);
  const { externalParameters, resolvedDependencies } = statements[0].predicate.buildDefinition;
  expect(resolvedDependencies).toEqual([
    { uri: `${server.url}/app.git#main`, digest: { sha1: commit } },
    { uri: `${files.url}/x`, digest: { sha256: createHash("sha256").update("x").digest("hex") } },
  ]);
  // The context has files, and nothing takes them.
  expect(externalParameters.request.locals).toEqual([{ name: "dockerfile" }, { name: "more" }]);
  expect(externalParameters.request.args).toMatchObject({ "context:more": "local:more" });
  expect(externalParameters.request).not.toHaveProperty("ssh");
  expect(statements[0].predicate.runDetails.metadata).toMatchObject({
    buildkit_completeness: { request: true, resolvedDependencies: false },
  });
});

withGit("a context from a repository is its config source, and such a build can be hermetic", async () => {
  await using server = await gitServer();
  const commit = server.commit("ctx.git", { f: "1", Dockerfile: "FROM b\nCOPY f /\nRUN --network=none true\n" });
  const predicateOf = async (spec: string): Promise<Record<string, never>> => {
    const out = `${workshop.folder}/from-git${places++}`;
    const built = await workshop.tsbuild(["build", `--provenance=${spec}`, "-o", out, `${server.url}/ctx.git#main`]);
    expect(built.code, built.stderr).toBe(0);
    return JSON.parse(readFileSync(`${out}/provenance.json`, "utf8")).predicate;
  };
  const source = { uri: `${server.url}/ctx.git#main`, digest: { sha1: commit } };
  expect(await predicateOf("mode=min")).toMatchObject({
    buildDefinition: {
      externalParameters: { configSource: { ...source, path: "Dockerfile" }, request: { frontend: "dockerfile.v0" } },
      resolvedDependencies: expect.arrayContaining([source]),
    },
    runDetails: {
      metadata: { buildkit_hermetic: true, buildkit_completeness: { request: true, resolvedDependencies: true } },
    },
  });
  expect(await predicateOf("version=v0.2")).toMatchObject({
    invocation: { configSource: { ...source, entryPoint: "Dockerfile" } },
    metadata: { "https://mobyproject.org/buildkit@v1#hermetic": true, completeness: { materials: true } },
  });
});

withGit("a context that lies in a repository is told of, unless BUILDX_GIT_INFO says no", async () => {
  await using server = await gitServer();
  const commit = server.commit("local", { Dockerfile: "FROM scratch\nCOPY f /\n", f: "1" });
  server.git("local", "remote", "add", "origin", "https://me:hidden@example.com/app.git");
  const folder = `${server.folder}/local`;
  const vcsOf = async (environment: Readonly<Record<string, string>>): Promise<unknown> => {
    const file = `${workshop.folder}/vcs${places++}`;
    const built = await tsbuild(["build", "--metadata-file", file, folder], {
      env: { TSBUILD_ROOT: workshop.root, ...environment },
      cwd: workshop.folder,
    });
    expect(built.code, built.stderr).toBe(0);
    return JSON.parse(readFileSync(file, "utf8"))["buildx.build.provenance"].runDetails.metadata.buildkit_metadata?.vcs;
  };
  const source = "https://example.com/app.git";
  expect(await vcsOf({})).toEqual({ source, revision: commit });
  writeFileSync(`${folder}/f`, "2");
  expect(await vcsOf({})).toEqual({ source, revision: commit });
  expect(await vcsOf({ BUILDX_GIT_CHECK_DIRTY: "1" })).toEqual({ source, revision: `${commit}-dirty` });
  expect(await vcsOf({ BUILDX_GIT_INFO: "false" })).toBeUndefined();
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

test.for([
  { what: "nothing more", above: "", inside: "", args: [], expected: "[]" },
  {
    what: "a stage that says so",
    above: "",
    inside: "ARG BUILDKIT_SBOM_SCAN_STAGE=true",
    args: [],
    expected: "[sbom-dep]",
  },
  {
    what: "stages by name, above all",
    above: "ARG BUILDKIT_SBOM_SCAN_STAGE=x,dep",
    inside: "",
    args: [],
    expected: "[sbom-dep]",
  },
  { what: "the context", above: "ARG BUILDKIT_SBOM_SCAN_CONTEXT=1", inside: "", args: [], expected: "[sbom-context]" },
  {
    what: "both, by build-arg",
    above: "",
    inside: "ARG BUILDKIT_SBOM_SCAN_CONTEXT⏎ARG BUILDKIT_SBOM_SCAN_STAGE=false",
    args: ["--build-arg", "BUILDKIT_SBOM_SCAN_STAGE=true", "--build-arg", "BUILDKIT_SBOM_SCAN_CONTEXT=true"],
    expected: "[sbom-context sbom-dep]",
  },
])("an SBOM beside the result of $what", async ({ above, inside, args, expected }) => {
  const script = [
    "#!/bin/sh",
    'extras=$(cd "${BUILDKIT_SCAN_SOURCE_EXTRAS:-/nowhere}" 2>/dev/null && echo *)',
    "for name in sbom $extras; do",
    '  files=$(ls $BUILDKIT_SCAN_SOURCE_EXTRAS/$name 2>/dev/null | grep -cE "^(made|f)$")',
    '  echo "{\\"predicateType\\":\\"https://spdx.dev/Document\\",\\"predicate\\":{\\"extras\\":\\"[$extras]\\",\\"files\\":$files}}" >$BUILDKIT_SCAN_DESTINATION/$name.spdx.json',
    "done",
  ].join("\n");
  const scanner = "FROM b⏎COPY scan.sh /⏎ENTRYPOINT /scan.sh";
  expect((await workshop.build(scanner, { "scan.sh@755": `${script}\n` }, ["-t", "lister"])).code).toBe(0);
  const text = `${above}⏎FROM b AS other⏎RUN echo other⏎FROM b AS dep⏎${inside}⏎RUN echo 1 >/made⏎FROM scratch⏎COPY --from=dep /made /`;
  const out = `${workshop.folder}/sbom${places++}`;
  const built = await workshop.build(text, { f: "f" }, [...args, "--sbom=generator=lister", "-o", out]);
  expect(built.code, built.stderr).toBe(0);
  expect(JSON.parse(readFileSync(`${out}/sbom.spdx.json`, "utf8")).predicate.extras).toBe(expected);
  for (const name of expected
    .slice(1, -1)
    .split(" ")
    .filter((each) => each !== ""))
    expect(JSON.parse(readFileSync(`${out}/${name}.spdx.json`, "utf8")).predicate.files).toBe(1);
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
