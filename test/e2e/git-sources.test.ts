/** Files from git repositories: ADD, contexts, named contexts. */
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect } from "vitest";
import { type GitServer, gitServer } from "../support/git-server.ts";
import { lacks, needs } from "../support/needs.ts";
import { Workshop } from "./build-support.ts";

const it = needs("root", "git", "busybox-static");

describe.skipIf(lacks("root", "git", "busybox-static"))("files from git", () => {
  let server: GitServer;
  let place: Workshop;
  let first: string;
  let second: string;
  let repository: string;

  beforeAll(async () => {
    server = await gitServer();
    place = new Workshop();
    await place.importBase();
    repository = `${server.url}/app.git`;
    first = server.commit("app.git", { f: "one\n", "d/x": "x\n", Dockerfile: "FROM scratch\nCOPY f /\n" });
    server.git("app.git", "tag", "v1");
    server.git("app.git", "update-index", "--chmod=+x", "f");
    second = server.commit("app.git", { f: "two\n", "d/Dockerfile": "FROM scratch\nCOPY x /y\n" }, 1_650_000_000);
    server.git("app.git", "tag", "-a", "v2", "-m", "m");
  });
  afterAll(async () => {
    place[Symbol.dispose]();
    await server[Symbol.asyncDispose]();
  });

  it("the default branch is merged into the destination, without .git", async () => {
    const { image } = await place.build(`FROM scratch⏎ADD ${repository} /o`);
    expect(image.layers).toEqual([["o/", "o/Dockerfile", "o/d/", "o/d/Dockerfile", "o/d/x", "o/f"]]);
    expect(image.read("/o/f")).toBe("two\n");
    expect(image.metadata("o/d")).toBe("755 0:0");
    expect(image.metadata("o/d/x")).toBe("644 0:0");
    expect(image.config.history?.at(-1)?.created_by).toBe(`ADD ${repository} /o # buildkit`);
  });

  it("a ref, a tag, an annotated tag, a commit and a folder of it", async () => {
    for (const [rest, path, content] of [
      ["#v1", "/f", "one\n"],
      ["#v2", "/f", "two\n"],
      ["#main:d", "/x", "x\n"],
      ["?tag=v1&subdir=d", "/x", "x\n"],
      [`#${first}`, "/f", "one\n"],
      ["#refs/tags/v1", "/f", "one\n"],
    ] as const) {
      const { image } = await place.build(`FROM scratch⏎ADD ${repository}${rest} /`);
      expect(image.read(path), rest).toBe(content);
    }
  });

  it("the ref is asked for at every build, and a full commit never again", async () => {
    const text = `FROM scratch⏎ADD ${repository}#main /asked`;
    await place.build(text);
    server.requests.length = 0;
    expect((await place.build(text)).stderr).toContain("all cached");
    expect(server.requests.some((request) => request.includes("info/refs"))).toBe(true);
    expect(server.requests.some((request) => request.startsWith("POST") && !request.includes("upload-pack"))).toBe(
      false,
    );
    server.requests.length = 0;
    await place.build(`FROM scratch⏎ADD ${repository}#${second} /other`);
    expect(server.requests).toEqual([]);
  });

  it("a branch that moved is a miss that names the commits", async () => {
    server.commit("moving.git", { f: "1" });
    const text = `FROM scratch⏎ADD ${server.url}/moving.git /`;
    const context = place.context({});
    await place.buildIn(context, text);
    const moved = server.commit("moving.git", { f: "2" });
    const { image, stderr } = await place.buildIn(context, text);
    expect(image.read("/f")).toBe("2");
    expect(stderr).toContain(moved);
  });

  it("--keep-git-dir keeps a repository that works", async () => {
    const { image } = await place.build(`FROM scratch⏎ADD --keep-git-dir ${repository}#main /o`);
    expect(image.read("/o/.git/HEAD")).toBe(`${second}\n`);
    expect(image.read("/o/.git/config")).toContain(`url = ${repository}`);
    expect(image.read("/o/.git/FETCH_HEAD")).toBeUndefined();
    expect(image.layers[0]?.some((path) => path.includes(".git/hooks/"))).toBe(false);
  });

  it("--checksum is a commit or how it begins", async () => {
    const add = (checksum: string) => place.build(`FROM scratch⏎ADD --checksum=${checksum} ${repository}#v1 /c`);
    expect((await add(first)).code).toBe(0);
    expect((await add(first.slice(0, 8))).code).toBe(0);
    const { code, stderr } = await add(second);
    expect(code).toBe(1);
    expect(stderr).toContain(`${repository} is at the commit ${first}, wanted is ${second}`);
  });

  it("--chown, --chmod and --exclude apply", async () => {
    const { image } = await place.build(`FROM scratch⏎ADD --chown=5:6 --chmod=700 --exclude=d ${repository} /o`);
    expect(image.layers).toEqual([["o/", "o/Dockerfile", "o/f"]]);
    expect(image.metadata("o/f")).toBe("700 5:6");
  });

  it("submodules come along, unless they are not wanted", async () => {
    const lib = server.commit("lib.git", { "lib.c": "int x;\n" });
    server.commit("outer.git", { main: "m\n" });
    server.submodule("outer.git", "sub/lib", `${server.url}/lib.git`, lib);
    const { image } = await place.build(`FROM scratch⏎ADD ${server.url}/outer.git /`);
    expect(image.read("/sub/lib/lib.c")).toBe("int x;\n");
    expect(image.layers[0]?.filter((path) => path.endsWith(".git"))).toEqual([]);
    const without = await place.build(`FROM scratch⏎ADD ${server.url}/outer.git?submodules=false /`);
    expect(without.image.read("/sub/lib/lib.c")).toBeUndefined();
  });

  it("a submodule cannot name a folder of this machine", async () => {
    server.commit("evil.git", { main: "m\n" });
    const secret = server.commit("secret.git", { s: "s" });
    server.submodule("evil.git", "sub", join(server.folder, "secret.git"), secret);
    const { code, stderr } = await place.build(`FROM scratch⏎ADD ${server.url}/evil.git /`);
    expect(code).toBe(1);
    expect(stderr).toMatch(/transport 'file' not allowed/);
  });

  it("a server of plain files will do", async () => {
    const { image } = await place.build(`FROM scratch⏎ADD ${server.url}/dumb/app.git/.git#v1 /`);
    expect(image.read("/f")).toBe("one\n");
  });

  it("a token is sent to the repository's host and shown nowhere", async () => {
    server.commit("private.git", { f: "p\n" });
    server.authorization = `basic ${Buffer.from("x-access-token:s3cret").toString("base64")}`;
    try {
      const text = `FROM scratch⏎ADD ${server.url}/private.git /`;
      const refused = await place.build(text);
      expect(refused.code).toBe(1);
      expect(refused.stderr).toContain("--secret id=GIT_AUTH_TOKEN");
      const file = join(place.context({ token: "s3cret\n" }), "token");
      const { image, stderr } = await place.build(text, {}, ["--secret", `id=GIT_AUTH_TOKEN,src=${file}`]);
      expect(image.read("/f")).toBe("p\n");
      expect(stderr).not.toContain("s3cret");
      expect(stderr).not.toContain("no RUN mounts the secret");
      const { host } = new URL(server.url);
      const other = await place.build(`${text}o/`, {}, ["--secret", `id=GIT_AUTH_TOKEN.${host},src=${file}`]);
      expect(other.code).toBe(0);
    } finally {
      server.authorization = undefined;
    }
  });

  it("an unknown ref, folder and repository are clear errors", async () => {
    const fails = async (url: string) => (await place.build(`FROM scratch⏎ADD ${url} /`)).stderr;
    expect(await fails(`${repository}#mian`)).toMatch(/has no branch or tag "mian"[\s\S]*hint: did you mean main\?/);
    expect(await fails(`${repository}#main:nope`)).toMatch(/has no folder "\/nope"/);
    expect(await fails(`${server.url}/nope.git`)).toMatch(/cannot fetch http:\/\/127[\s\S]*nope.git/);
    expect(await fails(`${repository}#${"1".repeat(40)}`)).toMatch(/1111|cannot fetch/);
  });

  it("a repository is a context, with its folder and its Dockerfile", async () => {
    const idFile = join(place.folder, "git-context.id");
    const build = async (...words: readonly string[]) =>
      place.image(await place.tsbuild(["build", "--iidfile", idFile, ...words]), idFile);
    expect((await build(repository)).read("/f")).toBe("two\n");
    expect((await build(`${repository}#v1`)).read("/f")).toBe("one\n");
    expect((await build(`${repository}#main:d`)).read("/y")).toBe("x\n");
    expect((await build("-f", "../Dockerfile", repository)).read("/f")).toBe("two\n");
    const wrong = await place.tsbuild(["build", "-f", "d/Dockerfile", repository]);
    expect(wrong.stderr).toContain('d/Dockerfile:2:1: error: "/x" not found in the context');
  });

  it("SOURCE_DATE_EPOCH=context is the commit's time, and that of the files", async () => {
    const idFile = join(place.folder, "epoch.id");
    const flags = ["--build-arg", "SOURCE_DATE_EPOCH=context", "--no-cache", "--iidfile", idFile];
    const image = place.image(await place.tsbuild(["build", ...flags, repository]), idFile);
    expect(image.config.created).toBe("2022-04-15T05:20:00Z");
    expect(image.times("/f")).toBe(1_650_000_000);
  });

  it("SOURCE_DATE_EPOCH names a stage that fetches a repository, or a context", async () => {
    const text = `FROM scratch AS src⏎ADD ${repository}#v1 /⏎FROM scratch⏎COPY --from=src /f /`;
    const stage = await place.build(text, {}, ["--build-arg", "SOURCE_DATE_EPOCH=src"]);
    expect(stage.image.config.created).toBe("2020-09-13T12:26:40Z");
    const flags = ["--build-context", `other=${repository}#v2`];
    const context = await place.build(`ARG SOURCE_DATE_EPOCH=other⏎${text}`, {}, flags);
    expect(context.image.config.created).toBe("2022-04-15T05:20:00Z");
    const folder = place.context({ Dockerfile: text.replaceAll("⏎", "\n") });
    expect((await place.tsbuild(["plan", "--build-arg", "SOURCE_DATE_EPOCH=src", folder])).code).toBe(0);
  });

  it("a repository is a named context, and `.git` is not in it", async () => {
    const flags = ["--build-context", `src=${repository}#main`];
    const { image } = await place.build("FROM scratch⏎COPY --from=src / /s/", {}, flags);
    expect(image.layers).toEqual([["s/", "s/Dockerfile", "s/d/", "s/d/Dockerfile", "s/d/x", "s/f"]]);
    const base = await place.build("FROM src⏎COPY a /", { a: "a" }, flags);
    expect(base.image.read("/d/x")).toBe("x\n");
    const mounted = await place.build("FROM b⏎RUN --mount=from=src,target=/m cp /m/f /got", {}, flags);
    expect(mounted.image.read("/got")).toBe("two\n");
  });

  it("a build mounts a cache that begins as a folder of a context", async () => {
    const flags = ["--build-context", `src=${repository}#main`];
    const text = "FROM b⏎RUN --mount=type=cache,target=/c,from=src,source=d cp /c/x /got && echo y > /c/new";
    const { image } = await place.build(text, {}, flags);
    expect(image.read("/got")).toBe("x\n");
    const again = text.replace("cp /c/x /got && echo y > /c/new", "cp /c/new /got");
    expect((await place.build(again, {}, flags)).image.read("/got")).toBe("y\n");
    const local = "FROM b⏎RUN --mount=type=cache,target=/c,from=here cp /c/f /got";
    const files = ["--build-context", `here=${place.context({ f: "local" })}`];
    expect((await place.build(local, {}, files)).image.read("/got")).toBe("local");
  });

  it("nothing but the clones stays: they are weighed, checked and pruned", async () => {
    const names = (): readonly string[] => readdirSync(join(place.root, "git"));
    expect(names().length).toBeGreaterThan(0);
    expect(names().filter((name) => !/^[0-9a-f]{32}$/.test(name))).toEqual([]);
    expect((await place.tsbuild(["cache", "du", "-v"])).stdout).toContain(repository);
    expect((await place.tsbuild(["system", "check"])).stdout).toMatch(/ git clones?, 0 faults/);
    expect((await place.tsbuild(["cache", "prune", "-f"])).code).toBe(0);
    expect(names().length).toBeGreaterThan(0);
    expect((await place.tsbuild(["cache", "prune", "-f", "--all"])).stdout).toContain("Deleted git clones:");
    expect(names()).toEqual([]);
    expect((await place.build(`FROM scratch⏎ADD ${repository} /o`)).image.read("/o/f")).toBe("two\n");
  });
});
