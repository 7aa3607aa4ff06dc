/** What is in a checkout: tags, objects of SHA-256, names that mislead, submodules, certificates. */
import { existsSync, lstatSync, mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect } from "vitest";
import type { SecretSource } from "../../src/planner/build-options.ts";
import type { GitCommit } from "../../src/planner/git-checkout.ts";
import { GitRepositories } from "../../src/planner/git-repositories.ts";
import { type GitSource, parseGitUrl } from "../../src/planner/git-url.ts";
import { type Authority, makeAuthority } from "../support/authority.ts";
import { type GitServer, gitServer } from "../support/git-server.ts";
import { lacks, needs } from "../support/needs.ts";
import { type TemporaryStore, temporaryStore } from "../support/temporary-store.ts";

const it = needs("git");
const request = { where: undefined, signal: new AbortController().signal };

describe.skipIf(lacks("git"))("a checkout", () => {
  let server: GitServer;
  let own: TemporaryStore;
  let count = 0;

  beforeAll(async () => {
    server = await gitServer();
    own = temporaryStore();
  });
  afterAll(async () => {
    own[Symbol.dispose]();
    await server[Symbol.asyncDispose]();
  });

  const folder = (): string => {
    const path = join(own.folder, `place${count++}`);
    mkdirSync(path);
    return path;
  };
  interface Given {
    readonly environment?: Readonly<Record<string, string | undefined>>;
    readonly secrets?: ReadonlyMap<string, SecretSource>;
  }
  const repositories = ({ environment = process.env, secrets = new Map() }: Given = {}): GitRepositories =>
    new GitRepositories(own.store, folder(), { environment, secrets, sshSocket: async () => undefined });
  interface Written {
    readonly commit: GitCommit;
    readonly out: string;
    read(path: string): string;
    git(...args: readonly string[]): string;
  }
  async function checkOut(source: string | GitSource, given: Given = {}): Promise<Written> {
    const parsed = typeof source === "string" ? parseGitUrl(source, undefined) : source;
    const git = repositories(given);
    const commit = await git.resolve(parsed, request);
    const out = join(folder(), "out");
    await git.checkOut(parsed, commit, out, request);
    return {
      commit,
      out,
      read: (path) => readFileSync(join(out, path), "utf8"),
      git: (...args) => server.git(out, ...args),
    };
  }
  const url = (repository: string): string => `${server.url}/${repository}`;

  describe("tags and refs", () => {
    let first: string;
    let second: string;
    beforeAll(() => {
      first = server.commit("tags.git", { f: "1" });
      server.git("tags.git", "tag", "light");
      server.git("tags.git", "tag", "-a", "noted", "-m", "a note");
      server.git("tags.git", "update-ref", "refs/pull/7/head", first);
      server.git("tags.git", "branch", "feature/deep/er", first);
      second = server.commit("tags.git", { f: "2" });
    });

    it("an annotated tag stays one in a repository that is kept", async () => {
      const { commit, git, read } = await checkOut(`${url("tags.git")}?keep-git-dir=1#noted`);
      expect(commit).toEqual({ id: first, name: "refs/tags/noted", tag: server.git("tags.git", "rev-parse", "noted") });
      expect(git("cat-file", "-t", "noted")).toBe("tag");
      expect(git("describe")).toBe("noted");
      expect(git("rev-parse", "HEAD")).toBe(first);
      expect(git("status", "--porcelain")).toBe("");
      expect(read("f")).toBe("1");
      expect(read(".git/config")).toContain(`url = ${url("tags.git")}\n`);
    });

    it("a light tag, a branch and a commit are what they were", async () => {
      const light = await checkOut(`${url("tags.git")}?keep-git-dir=1#light`);
      expect(light.git("for-each-ref", "--format=%(objecttype) %(refname)")).toBe("commit refs/tags/light");
      const branch = await checkOut(`${url("tags.git")}?keep-git-dir=1#main`);
      expect(branch.git("for-each-ref", "--format=%(objecttype) %(refname)")).toBe("commit refs/heads/main");
      const commit = await checkOut(`${url("tags.git")}?keep-git-dir=1#${first}`);
      expect(commit.git("for-each-ref")).toBe("");
      expect(commit.git("rev-list", "--count", "HEAD")).toBe("1");
    });

    it.for([
      ["refs/pull/7/head", "1"],
      ["pull/7/head", "1"],
      ["feature/deep/er", "1"],
      ["heads/feature/deep/er", "1"],
      ["tags/light", "1"],
      ["refs/heads/main", "2"],
    ])("#%s", async ([ref, content]) => {
      expect((await checkOut(`${url("tags.git")}#${ref}`)).read("f")).toBe(content);
    });

    it("a checksum is of the commit or of the tag's object, whole or how it begins", async () => {
      const tag = server.git("tags.git", "rev-parse", "noted");
      for (const checksum of [first, first.slice(0, 7), tag, tag.slice(0, 4)])
        expect((await checkOut(`${url("tags.git")}?checksum=${checksum}#noted`)).commit.id).toBe(first);
      await expect(checkOut(`${url("tags.git")}?checksum=${second.slice(0, 12)}#noted`)).rejects.toMatchObject({
        code: "COPY_FAILED",
        message: `${url("tags.git")} is at the commit ${first}, by the tag ${tag}, wanted is ${second.slice(0, 12)}`,
      });
      await expect(checkOut(`${url("tags.git")}?checksum=v1#noted`)).rejects.toMatchObject({
        code: "INVALID_ARGUMENT",
        message: 'the checksum of a git repository is a commit or how it begins, not "v1"',
      });
    });

    it("what looks like a commit is one, and a tag of that name needs its full name", async () => {
      const name = "0123456789abcdef0123456789abcdef01234567";
      server.git("tags.git", "update-ref", `refs/tags/${name}`, first);
      await expect(checkOut(`${url("tags.git")}#${name}`)).rejects.toMatchObject({ code: "SOURCE_NOT_FOUND" });
      expect((await checkOut(`${url("tags.git")}#refs/tags/${name}`)).read("f")).toBe("1");
      server.git("tags.git", "tag", "abcdef1", first);
      expect((await checkOut(`${url("tags.git")}#abcdef1`)).read("f")).toBe("1");
    });

    it("of a branch and a tag of one name the branch is meant", async () => {
      server.git("tags.git", "tag", "both", first);
      server.git("tags.git", "branch", "both", second);
      expect((await checkOut(`${url("tags.git")}#both`)).read("f")).toBe("2");
      expect((await checkOut(`${url("tags.git")}?tag=both`)).read("f")).toBe("1");
    });
  });

  it("pointers of LFS stay pointers", async () => {
    const pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 3\n";
    server.commit("lfs.git", { ".gitattributes": "*.bin filter=lfs diff=lfs merge=lfs -text\n", "a.bin": pointer });
    expect((await checkOut(url("lfs.git"))).read("a.bin")).toBe(pointer);
  });

  it("a repository of SHA-256, kept and not, with a submodule", async () => {
    server.initSha256("new-lib.git");
    const lib = server.commit("new-lib.git", { l: "lib" });
    server.initSha256("new.git");
    server.commit("new.git", { f: "new" });
    server.git("new.git", "tag", "-a", "v1", "-m", "m");
    const plain = await checkOut(`${url("new.git")}#v1`);
    expect(plain.commit.id).toMatch(/^[0-9a-f]{64}$/);
    expect(plain.read("f")).toBe("new");
    const kept = await checkOut(`${url("new.git")}?keep-git-dir=1#v1`);
    expect(kept.git("describe")).toBe("v1");
    server.submodule("new.git", "sub", "../new-lib.git", lib);
    expect((await checkOut(url("new.git"))).read("sub/l")).toBe("lib");
    expect((await checkOut(`${url("new.git")}#${plain.commit.id}`)).read("f")).toBe("new");
  });

  describe("submodules", () => {
    let inner: string;
    let middle: string;
    beforeAll(() => {
      inner = server.commit("inner.git", { i: "inner" });
      server.commit("middle.git", { m: "middle" });
      server.submodule("middle.git", "deep/inner", "../inner.git", inner);
      middle = server.git("middle.git", "rev-parse", "HEAD");
      server.commit("top.git", { t: "top" });
      server.submodule("top.git", "a/middle", "../middle.git", middle);
      server.submodule("top.git", "again", url("inner.git"), inner);
      // What they are at now is not what is meant.
      server.commit("inner.git", { i: "newer" });
    });

    it("come along, with theirs, at the commits that are meant, without any .git", async () => {
      const { out, read } = await checkOut(url("top.git"));
      expect(read("a/middle/m")).toBe("middle");
      expect(read("a/middle/deep/inner/i")).toBe("inner");
      expect(read("again/i")).toBe("inner");
      expect(readdirSync(out, { recursive: true }).filter((name) => /(^|\/)\.git$/.test(String(name)))).toEqual([]);
    });

    it("are fetched once: their clones stay", async () => {
      await checkOut(`${url("top.git")}#main`);
      server.requests.length = 0;
      const commit = server.git("top.git", "rev-parse", "HEAD");
      expect((await checkOut(`${url("top.git")}#${commit}`)).read("a/middle/deep/inner/i")).toBe("inner");
      expect(server.requests).toEqual([]);
    });

    it("are as git makes them in a repository that is kept", async () => {
      const { out, git, read } = await checkOut(`${url("top.git")}?keep-git-dir=1#main`);
      expect(
        git("submodule", "status", "--recursive")
          .split("\n")
          .map((line) => line.trim()),
      ).toEqual([
        `${middle} a/middle (heads/main)`.replace(" (heads/main)", ` (${middle.slice(0, 7)})`),
        `${inner} a/middle/deep/inner (${inner.slice(0, 7)})`,
        `${inner} again (${inner.slice(0, 7)})`,
      ]);
      expect(git("status", "--porcelain")).toBe("");
      expect(read("a/middle/.git")).toBe("gitdir: ../../.git/modules/a/middle\n");
      expect(lstatSync(join(out, ".git/modules/a/middle/modules/deep/inner")).isDirectory()).toBe(true);
      const everywhere = readdirSync(join(out, ".git"), { recursive: true, encoding: "utf8" })
        .filter((name) => name.endsWith("config"))
        .map((name) => read(`.git/${name}`))
        .join("\n");
      expect(everywhere).not.toContain(own.root);
      expect(everywhere).toContain(`url = ${url("inner.git")}`);
    });

    it("that are switched off stay empty folders", async () => {
      server.commit("off.git", { f: "f" });
      server.submodule("off.git", "sub", "../inner.git", inner);
      server.git("off.git", "config", "-f", ".gitmodules", "submodule.sub.update", "none");
      server.git("off.git", "commit", "--quiet", "-m", "m", ".gitmodules");
      expect(readdirSync((await checkOut(url("off.git"))).out)).toEqual([".gitmodules", "f", "sub"]);
    });

    it("without a URL are an error that says how to do without them", async () => {
      server.commit("lost.git", { f: "f" });
      server.git("lost.git", "update-index", "--add", "--cacheinfo", `160000,${inner},sub`);
      server.git("lost.git", "commit", "--quiet", "-m", "m");
      await expect(checkOut(url("lost.git"))).rejects.toMatchObject({
        code: "SOURCE_NOT_FOUND",
        message: expect.stringContaining("No url found for submodule path 'sub'"),
        hint: "leave submodules out: URL?submodules=false",
      });
      expect((await checkOut(`${url("lost.git")}?submodules=false`)).read("f")).toBe("f");
    });
  });

  describe.skipIf(lacks("openssl"))("https", () => {
    let authority: Authority;
    let secure: GitServer;
    beforeAll(async () => {
      authority = makeAuthority(folder());
      secure = await gitServer(authority.server);
      secure.commit("app.git", { f: "over https" });
    });
    afterAll(async () => await secure[Symbol.asyncDispose]());

    const trusting = (name: string, value = authority.file): Given => ({
      environment: { PATH: process.env["PATH"], [name]: value },
    });

    it("by an authority that nobody knows is an error with the way to name it", async () => {
      await expect(
        checkOut(`${secure.url}/app.git`, { environment: { PATH: process.env["PATH"] } }),
      ).rejects.toMatchObject({
        code: "SOURCE_NOT_FOUND",
        message: expect.stringMatching(/certificate/),
        hint: "name a file with the authority's certificate: GIT_SSL_CAINFO=FILE",
      });
    });

    it.for(["GIT_SSL_CAINFO", "SSL_CERT_FILE"])("%s names the authority", async (name) => {
      expect((await checkOut(`${secure.url}/app.git`, trusting(name))).read("f")).toBe("over https");
      for (const clone of readdirSync(own.store.gitFolder))
        rmSync(join(own.store.gitFolder, clone), { recursive: true, force: true });
    });

    it("checking cannot be switched off from outside", async () => {
      const environment = { PATH: process.env["PATH"], GIT_SSL_NO_VERIFY: "1" };
      await expect(checkOut(`${secure.url}/app.git#main`, { environment })).rejects.toThrow(/certificate/);
    });
  });

  describe("secrets", () => {
    const token = (text: string): SecretSource => ({ kind: "environment", value: text });
    const basic = (text: string): string => `basic ${Buffer.from(`x-access-token:${text}`).toString("base64")}`;
    /** Who is asked for what, and with which word of authorization. */
    const withServer = async (
      wanted: string,
      secrets: Record<string, SecretSource>,
      source: string,
    ): Promise<string> => {
      server.authorization = wanted;
      try {
        return (await checkOut(source, { secrets: new Map(Object.entries(secrets)) })).out;
      } finally {
        server.authorization = undefined;
      }
    };
    const fresh = (): string => {
      const name = `private${count++}.git`;
      server.commit(name, { f: "p" });
      return name;
    };

    it("a token, a header, and those of the host, which go first", async () => {
      const { host } = new URL(server.url);
      for (const [wanted, secrets] of [
        [basic("t"), { GIT_AUTH_TOKEN: token("t") }],
        ["Bearer h", { GIT_AUTH_HEADER: token("Bearer h") }],
        ["Bearer h", { GIT_AUTH_TOKEN: token("t"), GIT_AUTH_HEADER: token("Bearer h") }],
        [basic("mine"), { GIT_AUTH_TOKEN: token("t"), [`GIT_AUTH_TOKEN.${host}`]: token("mine") }],
        ["Bearer mine", { GIT_AUTH_HEADER: token("x"), [`GIT_AUTH_HEADER.${host}`]: token("Bearer mine") }],
        [basic("t"), { GIT_AUTH_TOKEN: token("t"), "GIT_AUTH_TOKEN.elsewhere": token("no") }],
      ] as const)
        expect(existsSync(join(await withServer(wanted, secrets, url(fresh())), "f")), wanted).toBe(true);
    });

    it("one of no host is for the repository and not for its submodules, one of the host for both", async () => {
      const { host } = new URL(server.url);
      const lib = fresh();
      const id = server.git(lib, "rev-parse", "HEAD");
      const outer = fresh();
      server.submodule(outer, "sub", `../${lib}`, id);
      await expect(withServer(basic("t"), { GIT_AUTH_TOKEN: token("t") }, url(outer))).rejects.toMatchObject({
        code: "SOURCE_NOT_FOUND",
        message: expect.stringContaining(lib),
      });
      const out = await withServer(basic("t"), { [`GIT_AUTH_TOKEN.${host}`]: token("t") }, url(outer));
      expect(existsSync(join(out, "sub/f"))).toBe(true);
    });

    it("a secret that is no header is refused", async () => {
      await expect(withServer("x", { GIT_AUTH_TOKEN: token("a\nHost: b") }, url(fresh()))).rejects.toMatchObject({
        code: "INVALID_ARGUMENT",
        message: "the secret GIT_AUTH_TOKEN holds characters that no HTTP header may have",
      });
    });
  });
});
