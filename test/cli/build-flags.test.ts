import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { gzipSync } from "node:zlib";
import { Command } from "commander";
import { pack } from "tar-stream";
import { afterEach, beforeEach, expect, test } from "vitest";
import { type BuildRequest, defineBuildFlags, readBuildRequest } from "../../src/cli/build-flags.ts";
import type { CommandContext } from "../../src/cli/command.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync("/tmp/tsbuild-test-flags-");
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

interface World {
  readonly environment?: Record<string, string>;
  readonly stdin?: Buffer;
}

async function read(words: readonly string[], world: World = {}): Promise<BuildRequest> {
  const command = new Command().exitOverride();
  defineBuildFlags(command);
  command.parse([...words], { from: "user" });
  const stdin = new PassThrough();
  stdin.end(world.stdin ?? Buffer.alloc(0));
  const context = {
    stdin,
    environment: world.environment ?? {},
    cwd: folder,
    signal: new AbortController().signal,
    openStore: () => ({
      temporaryFolder: () => {
        const path = mkdtempSync(join(folder, "unpacked-"));
        return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true }) };
      },
    }),
  };
  // Only what reading flags touches.
  return readBuildRequest(command, context as unknown as CommandContext);
}

const failure = (words: readonly string[], world: World = {}): Promise<unknown> =>
  read(words, world).then(
    () => undefined,
    (error: unknown) => error,
  );

test("a context with a Dockerfile and nothing else gives the defaults", async () => {
  writeFileSync(join(folder, "Dockerfile"), "FROM scratch\n");
  const request = await read(["."]);
  expect(request.options).toMatchObject({
    dockerfile: { text: "FROM scratch\n", file: "Dockerfile" },
    context: { kind: "directory", path: folder },
    ignore: undefined,
    noCache: false,
    noCacheFilter: [],
    network: "default",
  });
  expect(request).toMatchObject({ progress: "auto", quiet: false, tags: [] });
});

test("flags become values", async () => {
  writeFileSync(join(folder, "Dockerfile"), "FROM scratch\n");
  writeFileSync(join(folder, "token"), "t");
  const request = await read(
    [
      ..."-t a -t b:2 --target T --build-arg A=1 --build-arg B --build-arg C= --build-arg D --label k=v=w".split(" "),
      ..."--no-cache --no-cache-filter X,y --no-cache-filter z --network host --add-host H:1.2.3.4".split(" "),
      ..."--add-host six=[::1] --shm-size 64m --ulimit nofile=64:128 -m 1g --secret id=s,src=token".split(" "),
      ..."--secret id=e,env=SECRET --build-context N=sub --build-context i=docker-image://alpine .".split(" "),
    ],
    { environment: { B: "from outside", SECRET: "x" } },
  );
  expect(request.tags.map((tag) => `${tag.path}:${tag.tag}`)).toEqual(["library/a:latest", "library/b:2"]);
  const { options } = request;
  expect([...options.buildArgs]).toEqual([
    ["A", "1"],
    ["B", "from outside"],
    ["C", ""],
  ]);
  expect([...options.labels]).toEqual([["k", "v=w"]]);
  expect([...options.secrets]).toEqual([
    ["s", { kind: "file", path: join(folder, "token") }],
    ["e", { kind: "environment", value: "x" }],
  ]);
  expect([...options.namedContexts]).toEqual([
    ["n", { kind: "directory", path: join(folder, "sub") }],
    ["i", { kind: "image", reference: "alpine" }],
  ]);
  expect(options).toMatchObject({
    target: "T",
    noCache: true,
    noCacheFilter: ["x", "y", "z"],
    network: "host",
    extraHosts: [
      { name: "h", address: "1.2.3.4" },
      { name: "six", address: "::1" },
    ],
    shmSizeBytes: 64 * 1024 * 1024,
    ulimits: [{ name: "nofile", soft: 64, hard: 128 }],
    limits: { memoryBytes: 1024 ** 3 },
  });
});

test.for([
  { name: "Dockerfile before dockerfile", files: ["Dockerfile", "dockerfile"], words: ["."], shown: "Dockerfile" },
  { name: "dockerfile", files: ["dockerfile", "Containerfile"], words: ["."], shown: "dockerfile" },
  { name: "Containerfile", files: ["Containerfile"], words: ["."], shown: "Containerfile" },
  {
    name: "dockerfile for -f Dockerfile",
    files: ["dockerfile"],
    words: ["-f", "Dockerfile", "."],
    shown: "dockerfile",
  },
  { name: "a file below the context", files: ["sub/D"], words: ["-f", "sub/D", "sub"], shown: "D" },
  { name: "a file outside the context", files: ["D"], words: ["-f", "D", "sub"], shown: "D" },
])("the Dockerfile is found: $name", async ({ files, words, shown }) => {
  mkdirSync(join(folder, "sub"));
  for (const file of files) writeFileSync(join(folder, file), `# ${file}\n`);
  const { dockerfile } = (await read(words)).options;
  expect(dockerfile.file).toBe(shown);
  expect(dockerfile.text).toBe(`# ${files[0]}\n`);
});

test("NAME.dockerignore beside the Dockerfile replaces .dockerignore", async () => {
  writeFileSync(join(folder, "Dockerfile"), "FROM scratch\n");
  writeFileSync(join(folder, ".dockerignore"), "a\n");
  expect((await read(["."])).options.ignore).toEqual({ text: "a\n", file: ".dockerignore" });
  writeFileSync(join(folder, "Dockerfile.dockerignore"), "b\n");
  expect((await read(["."])).options.ignore).toEqual({ text: "b\n", file: "Dockerfile.dockerignore" });
});

test.for([
  { name: "no context", words: [], code: "USAGE", what: /needs a context/ },
  { name: "context is not there", words: ["nope"], code: "CONTEXT_NOT_FOUND", what: /path "nope" not found/ },
  { name: "context is a file", words: ["file"], code: "CONTEXT_NOT_FOUND", what: /"file" is not a directory/ },
  { name: "no Dockerfile", words: ["empty"], code: "DOCKERFILE_NOT_FOUND", what: /^open Dockerfile: no such file/ },
  { name: "no such -f", words: ["-f", "Nope", "."], code: "DOCKERFILE_NOT_FOUND", what: /^open Nope: no such file/ },
  { name: "a folder as Dockerfile", words: ["-f", "empty", "."], code: "DOCKERFILE_NOT_FOUND", what: /is a directory/ },
  { name: "binary noise", words: ["-f", "noise", "."], code: "DOCKERFILE_INVALID", what: /holds binary data/ },
  { name: "an unknown scheme", words: ["ftp://u:p@h/x"], code: "UNSUPPORTED", what: /^[^@]*ftp:\/\/h\/x$/ },
  { name: "unknown network", words: ["--network", "x", "."], code: "USAGE", what: /must be default, none or host/ },
  { name: "tag with digest", words: ["-t", `a@sha256:${"0".repeat(64)}`, "."], code: "USAGE", what: /invalid tag/ },
  { name: "secret that is not there", words: ["--secret", "id=a,src=b", "."], code: "USAGE", what: /no such file: b/ },
  { name: "secret key", words: ["--secret", "id=a,scr=b", "."], code: "USAGE", what: /unexpected key 'scr'/ },
  {
    name: "a device as Dockerfile",
    words: ["-f", "/dev/zero", "."],
    code: "DOCKERFILE_NOT_FOUND",
    what: /is a device/,
  },
  { name: "a word that is no platform", words: ["--platform", "foo", "."], code: "INVALID_PLATFORM", what: /"foo"/ },
  {
    name: "a platform of a list",
    words: ["--platform", "linux/arm64,a/b/c/d", "."],
    code: "INVALID_PLATFORM",
    what: /a\/b\/c\/d/,
  },
])("a mistake is one clear error: $name", async ({ words, code, what }) => {
  mkdirSync(join(folder, "empty"));
  writeFileSync(join(folder, "file"), "");
  writeFileSync(join(folder, "noise"), Buffer.from(Array.from({ length: 999 }, (_, index) => (index * 37) % 256)));
  writeFileSync(join(folder, "Dockerfile"), "FROM scratch\n");
  expect(await failure(words)).toMatchObject({ code, message: expect.stringMatching(what) });
});

test("a missing Dockerfile lists what is there", async () => {
  writeFileSync(join(folder, "Dockerfile.dev"), "");
  writeFileSync(join(folder, "app.Dockerfile"), "");
  expect(await failure(["-f", "Dockerfile.dve", "."])).toMatchObject({
    hint: "there is -f Dockerfile.dev, -f app.Dockerfile",
  });
});

test("- takes a Dockerfile, and -f - a Dockerfile for a context", async () => {
  const stdin = Buffer.from("FROM scratch\n");
  expect((await read(["-"], { stdin })).options).toMatchObject({ context: { kind: "empty" } });
  expect((await read(["-f", "-", "."], { stdin })).options).toMatchObject({
    dockerfile: { text: "FROM scratch\n" },
    context: { kind: "directory" },
  });
});

test("- takes a tar as context, also compressed, and its folder goes with the request", async () => {
  const tar = pack();
  tar.entry({ name: "Dockerfile" }, "FROM scratch\nCOPY a /\n");
  tar.entry({ name: "../a", mode: 0o640 }, "content");
  tar.entry({ name: "l", type: "symlink", linkname: "/etc" });
  tar.finalize();
  const chunks: Buffer[] = [];
  for await (const chunk of tar) chunks.push(chunk as Buffer);
  const request = await read(["-"], { stdin: gzipSync(Buffer.concat(chunks)) });
  const { context } = request.options;
  const path = context.kind === "directory" ? context.path : "";
  expect(readFileSync(join(path, "a"), "utf8")).toBe("content");
  request[Symbol.dispose]();
  expect(() => readFileSync(join(path, "a"))).toThrow("ENOENT");
});

test("nothing of a tar is written through a link in it", async () => {
  const tar = pack();
  tar.entry({ name: "l", type: "symlink", linkname: folder });
  tar.entry({ name: "l/escaped" }, "x");
  tar.finalize();
  const chunks: Buffer[] = [];
  for await (const chunk of tar) chunks.push(chunk as Buffer);
  expect(await failure(["-"], { stdin: Buffer.concat(chunks) })).toMatchObject({ code: "ARCHIVE_INVALID" });
  expect(existsSync(join(folder, "escaped"))).toBe(false);
});
