/** Files at URLs, archives as contexts, and named contexts of the other kinds. */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { readdirSync, readFileSync, statSync, utimesSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect } from "vitest";
import { makeAuthority } from "../support/authority.ts";
import { type FileServer, fileServer } from "../support/file-server.ts";
import { gitServer } from "../support/git-server.ts";
import { findProgram, lacks, needs } from "../support/needs.ts";
import { temporaryTestFolder } from "../support/temporary-folder.ts";
import { tsbuild } from "../support/tsbuild.ts";
import { type BuiltImage, type Files, Workshop } from "./build-support.ts";

const it = needs("root", "busybox-static");
const modified = { "last-modified": "Thu, 01 Jan 2015 00:00:00 GMT" };

describe.skipIf(lacks("root", "busybox-static"))("files from URLs", () => {
  let server: FileServer;
  let place: Workshop;
  let count = 0;

  beforeAll(async () => {
    server = await fileServer();
    place = new Workshop();
    await place.importBase();
  });
  afterAll(async () => {
    place[Symbol.dispose]();
    await server[Symbol.asyncDispose]();
  });

  const serve = (path: string, body: string | Uint8Array, headers: Readonly<Record<string, string>> = {}): string => {
    server.files.set(path, { body, headers });
    return `${server.url}${path}`;
  };
  /** A tar of these files, through `filter`. */
  const tar = (files: Files, filter: readonly string[] = []): Buffer =>
    execFileSync("tar", [...filter, "--owner=7", "--group=8", "-c", "-C", place.context(files), "."]);
  const buildContext = async (words: readonly string[], input?: string | Uint8Array): Promise<BuiltImage> => {
    const idFile = join(place.folder, `context${count++}.id`);
    return place.image(await place.tsbuild(["build", "--iidfile", idFile, ...words], input), idFile);
  };

  it("a file has mode 0600, the server's time, and the name in the URL", async () => {
    const url = serve("/d/a%20b.txt", "one", modified);
    const { image } = await place.build(`FROM scratch⏎ADD ${url}?q=1 /o/⏎ADD ${url} /x`);
    expect(image.layers).toEqual([["o/", "o/a b.txt"], ["x"]]);
    expect(image.metadata("x")).toBe("600 0:0");
  });

  it("with an ETag the server is asked whether it changed, and a cached step takes no bytes", async () => {
    const url = serve("/etag", "one", { etag: '"1"' });
    const context = place.context({});
    const text = `FROM scratch⏎ADD ${url} /f`;
    await place.buildIn(context, text);
    server.requests.length = 0;
    expect((await place.buildIn(context, text)).stderr).toContain("all cached");
    expect(server.requests).toEqual(["GET /etag 304"]);
    serve("/etag", "two", { etag: '"2"' });
    expect((await place.buildIn(context, text)).image.read("/f")).toBe("two");
    // Known to be the same, and needed for another step.
    const { image } = await place.buildIn(context, text.replace("/f", "/g"));
    expect(image.read("/g")).toBe("two");
  });

  it.for(["sha256", "sha384", "sha512"])("--checksum by %s: a known file is not asked for", async (algorithm) => {
    const body = `bytes for ${algorithm}`;
    const url = serve(`/sum-${algorithm}`, body);
    const digest = `${algorithm}:${createHash(algorithm).update(body).digest("hex")}`;
    const text = `FROM scratch⏎ADD --checksum=${digest} ${url} /f`;
    expect((await place.build(text)).image.read("/f")).toBe(body);
    server.requests.length = 0;
    expect((await place.build(text)).code).toBe(0);
    expect(server.requests).toEqual([]);
    serve(`/sum-${algorithm}`, "other");
    const { code, stderr } = await place.build(text.replace("/f", "/g"));
    expect(code).toBe(1);
    expect(stderr).toContain(digest);
  });

  it("--unpack takes an archive apart, and nothing else", async () => {
    const url = serve("/x.tar.gz", tar({ in: "inside" }, ["-z"]));
    const { image } = await place.build(`FROM scratch⏎ADD --unpack ${url} /o⏎ADD ${url} /o/`);
    expect(image.read("/o/in")).toBe("inside");
    expect(image.layers[1]).toEqual(["o/", "o/x.tar.gz"].filter((path) => image.layers[1]?.includes(path)));
    const plain = await place.build(`FROM scratch⏎ADD --unpack ${serve("/t", "text")} /f`);
    expect(plain.image.read("/f")).toBe("text");
  });

  it("a redirect is followed; a missing file is an error with its place", async () => {
    serve("/target", "t");
    server.files.set("/moved", { body: "", location: `${server.url}/target` });
    const { image } = await place.build(`FROM scratch⏎ADD ${server.url}/moved /d/`);
    expect(image.read("/d/moved")).toBe("t");
    const { stderr } = await place.build(`FROM scratch⏎ADD ${server.url}/none?secret=x /d/`);
    expect(stderr).toMatch(/Dockerfile\d+:2:1: error: cannot fetch http:\S+\/none: 404 Not Found/);
  });

  it.for([
    ["plain", []],
    ["gzip", ["-z"]],
    ["bzip2", ["-j"]],
    ["xz", ["-J"]],
    ["zstd", ["--zstd"]],
  ] as const)("a tar at a URL is the context: %s", async ([name, filter]) => {
    if (findProgram(name) === undefined && name !== "plain") return;
    const files = {
      Dockerfile: "FROM scratch\nCOPY . /\n",
      "sub/Dockerfile": "FROM scratch\nCOPY f /g\n",
      f: name,
      "x@4755": "",
    };
    const url = serve(`/context-${name}`, tar({ ...files, ".dockerignore": "f\n" }, filter));
    const image = await buildContext([url]);
    expect(image.read("/f")).toBe(name);
    // As with BuildKit an archive's owners are kept, and its ignore file is a file like others.
    expect(image.metadata("x")).toBe("4755 7:8");
    expect((await buildContext(["-f", "sub/Dockerfile", url])).read("/g")).toBe(name);
    expect((await buildContext(["-"], server.files.get(`/context-${name}`)?.body)).metadata("f")).toBe("644 7:8");
  });

  it("anything else at a URL is the Dockerfile, beside which it lies as `context`", async () => {
    const url = serve("/Dockerfile", "FROM scratch\nCOPY context /c\n", modified);
    const image = await buildContext([url]);
    expect(image.read("/c")).toBe("FROM scratch\nCOPY context /c\n");
    expect(image.metadata("c")).toBe("600 0:0");
    const dated = await buildContext(["--build-arg", "SOURCE_DATE_EPOCH=context", url]);
    expect(dated.config.created).toBe("2015-01-01T00:00:00Z");
    const folder = place.context({ f: "local" });
    expect((await buildContext(["-f", serve("/D", "FROM scratch\nCOPY f /\n"), folder])).read("/f")).toBe("local");
  });

  it("a URL as a named context is one file, `context`, that is never unpacked", async () => {
    const body = tar({ f: "" });
    const flags = ["--build-context", `u=${serve("/named.tar", body, modified)}`];
    const { image } = await place.build("FROM scratch⏎COPY --from=u / /d/", {}, flags);
    expect(image.layers).toEqual([["d/", "d/context"]]);
    expect(image.metadata("d/context")).toBe("600 0:0");
  });

  it("SOURCE_DATE_EPOCH names what is at a URL: Last-Modified, else the newest file of an archive", async () => {
    const files = place.context({ old: "", "d/new": "" });
    utimesSync(join(files, "old"), 1_000_000_000, 1_000_000_000);
    utimesSync(join(files, "d/new"), 1_000_000_001, 1_000_000_001);
    const body = execFileSync("tar", ["-z", "-c", "-C", files, "."]);
    const created = async (url: string, checksum = ""): Promise<string | undefined> => {
      const text = `FROM scratch AS s⏎ADD ${checksum} ${url} /a⏎FROM scratch⏎COPY --from=s /a /`;
      return (await place.build(text, {}, ["--build-arg", "SOURCE_DATE_EPOCH=s"])).image.config.created;
    };
    expect(await created(serve("/timed.tgz", body, modified))).toBe("2015-01-01T00:00:00Z");
    const bare = serve("/bare.tgz", body);
    expect(await created(bare)).toBe("2001-09-09T01:46:41Z");
    expect(await created(bare, `--checksum=sha256:${createHash("sha256").update(body).digest("hex")}`)).toBe(
      "2001-09-09T01:46:41Z",
    );
    expect(Date.parse((await created(serve("/timeless", "x"))) ?? "")).toBeGreaterThan(1_700_000_000_000);
    const dated = await buildContext(
      ["-f", "-", "--build-arg", "SOURCE_DATE_EPOCH=context", bare],
      "FROM scratch\nCOPY old /\n",
    );
    expect(dated.config.created).toBe("2001-09-09T01:46:41Z");
    const wrong = serve("/gone", "x");
    server.files.delete("/gone");
    const failed = await place.build(`FROM scratch AS s⏎ADD ${wrong} /⏎FROM scratch⏎COPY --from=s / /`, {}, [
      "--build-arg",
      "SOURCE_DATE_EPOCH=s",
    ]);
    expect(failed).toMatchObject({ code: 1, stderr: expect.stringContaining("cannot fetch") });
  });

  it("an OCI layout is a base, a source and a mount, by tag and by digest", async () => {
    const layout = join(place.folder, "layout");
    const made = await place.build("FROM b⏎COPY f /f⏎USER 7", { f: "from a layout" }, ["-t", "lay:v1"]);
    expect((await place.tsbuild(["save", "--format", "oci-dir", "-o", layout, "lay:v1"])).code).toBe(0);
    const index = JSON.parse(readFileSync(join(layout, "index.json"), "utf8")) as { manifests: { digest: string }[] };
    for (const value of [`${layout}:v1`, layout.concat("@", index.manifests[0]?.digest ?? "")]) {
      const flags = ["--build-context", `base=oci-layout://${value}`];
      const { image } = await place.build("FROM base⏎COPY --from=base /f /g", {}, flags);
      expect(image.read("/g")).toBe("from a layout");
      expect(image.config.config?.User).toBe("7");
    }
    expect(made.code).toBe(0);
    const wrong = await place.build("FROM base", {}, ["--build-context", `base=oci-layout://${layout}:v2`]);
    expect(wrong.stderr).toMatch(/has no image v2[\s\S]*hint: it has v1/);
    const none = await place.build("FROM base", {}, ["--build-context", "base=oci-layout://nowhere"]);
    expect(none.stderr).toContain("no OCI layout at");
  });

  it("a context that nothing uses is never looked at, however wrong", async () => {
    const wrong = ["target:x", "oci-layout://nowhere", `${server.url}/none`, "https://127.0.0.1:1/x.git", "foo://x"];
    const flags = wrong.flatMap((value, at) => ["--build-context", `c${at}=${value}`]);
    expect((await place.build("FROM scratch⏎ENV a=1", {}, flags)).code).toBe(0);
    expect((await place.build("FROM c0", {}, flags)).stderr).toContain("target:x is for docker buildx bake");
    expect((await place.build("FROM c4", {}, flags)).stderr).toContain("unsupported source foo");
  });

  needs(
    "root",
    "busybox-static",
    "openssl",
    "git",
  )("an authority of SSL_CERT_FILE is believed, for files and for git", async () => {
    using folder = temporaryTestFolder("authority");
    const authority = makeAuthority(folder.path);
    await using secure = await gitServer(authority.server);
    secure.commit("app.git", { f: "from git\n" });
    const dockerfile = `FROM scratch\nADD ${secure.url}/dumb/app.git/f /file\nADD ${secure.url}/app.git /git\n`;
    const context = place.context({ Dockerfile: dockerfile });
    const idFile = join(place.folder, "authority.id");
    const build = (env: Readonly<Record<string, string>>) =>
      tsbuild(["build", "--iidfile", idFile, context], {
        env: { TSBUILD_ROOT: place.root, GIT_SSL_CAINFO: undefined, SSL_CERT_DIR: undefined, ...env },
      });
    expect((await build({})).stderr).toMatch(/Dockerfile:[23]:1: error: cannot fetch [\s\S]*certificate/);
    const image = place.image(await build({ SSL_CERT_FILE: authority.file }), idFile);
    expect([image.read("/file"), image.read("/git/f")]).toEqual(["from git\n", "from git\n"]);
  });

  it("what was fetched is gone when the build is over", () => {
    const left = readdirSync(join(place.root, "tmp")).filter((name) =>
      statSync(join(place.root, "tmp", name)).isDirectory(),
    );
    expect(left.flatMap((name) => readdirSync(join(place.root, "tmp", name)))).toEqual([]);
  });
});
