import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { PassThrough, Readable } from "node:stream";
import { setTimeout } from "node:timers/promises";
import { zstdCompressSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { type ImportOptions, importImage } from "../../src/archive/import.ts";
import { diffIdOf, sha256 } from "../../src/oci/digest.ts";
import { compressionOf } from "../../src/oci/media-types.ts";
import { hostPlatform } from "../../src/oci/platform.ts";
import { canonicalReference, parseReference } from "../../src/oci/reference.ts";
import { lacks } from "../support/needs.ts";
import { temporaryStore } from "../support/temporary-store.ts";

const created = "2026-01-02T03:04:05.678Z";

function rootfs(folder: string): Buffer {
  const root = join(folder, "rootfs");
  mkdirSync(join(root, "etc"), { recursive: true });
  writeFileSync(join(root, "etc/hello"), "hello ".repeat(10_000));
  return execFileSync("tar", ["-C", root, "-c", "."], { maxBuffer: 1 << 28 });
}

function importing(
  store: ImportOptions["store"],
  source: ImportOptions["source"],
  options: Partial<ImportOptions> = {},
): ReturnType<typeof importImage> {
  return importImage({ store, source, config: {}, created, signal: new AbortController().signal, ...options });
}

const stream = (bytes: Buffer): ImportOptions["source"] => {
  const chunks = Array.from({ length: Math.ceil(bytes.length / 1000) }, (_, i) =>
    bytes.subarray(i * 1000, (i + 1) * 1000),
  );
  return { kind: "stream", name: "-", stream: Readable.from(chunks, { objectMode: false }) };
};

const packers = [
  { name: "plain", program: "cat", stays: "none" },
  { name: "gzip", program: "gzip", stays: "gzip" },
  { name: "zstd", program: "zstd", stays: "zstd" },
  { name: "xz", program: "xz", stays: "none" },
  { name: "bzip2", program: "bzip2", stays: "none" },
] as const;

describe.skipIf(lacks("root"))("an import", () => {
  test.for(packers)(
    "of a $name tar has one layer, whose diffID is that of the plain tar",
    async ({ program, stays }, { skip }) => {
      if (lacks(program)) skip(`${program} is not installed`);
      using temporary = temporaryStore();
      const { store, folder } = temporary;
      const tar = rootfs(folder);
      const packed = execFileSync(program, program === "cat" ? [] : ["-c"], { input: tar, maxBuffer: 1 << 28 });
      const image = await importing(store, stream(packed));
      expect(image.config.rootfs.diff_ids).toEqual([diffIdOf(sha256(tar))]);
      const layer = store.layers.get(image.chain[0] as never);
      expect(compressionOf(layer.blob?.mediaType ?? "")).toBe(stays);
      expect(layer.blob?.digest).toBe(stays === "none" ? sha256(tar) : sha256(packed));
      expect(readFileSync(join(store.layers.tree(layer.id), "etc/hello"), "utf8")).toBe("hello ".repeat(10_000));
      writeFileSync(join(folder, "packed"), packed);
      const fromFile = await importing(store, { kind: "path", name: "packed", path: join(folder, "packed") });
      expect(fromFile.chain).toEqual(image.chain);
      expect(readFileSync(join(folder, "packed"))).toEqual(packed);
      expect(
        readdirSync(join(store.root, "tmp"), { recursive: true, encoding: "utf8" }).filter((name) =>
          /import|layer/.test(name),
        ),
      ).toEqual([]);
    },
  );

  test("of several zstd frames is whole", async () => {
    using temporary = temporaryStore();
    const tar = rootfs(temporary.folder);
    const packed = Buffer.concat([zstdCompressSync(tar.subarray(0, 20_000)), zstdCompressSync(tar.subarray(20_000))]);
    const image = await importing(temporary.store, stream(packed));
    expect(image.config.rootfs.diff_ids).toEqual([diffIdOf(sha256(tar))]);
  });

  test("has the config, platform, message and name that it is given", async () => {
    using temporary = temporaryStore();
    const { store, folder } = temporary;
    const image = await importing(store, stream(rootfs(folder)), {
      config: { Cmd: ["sh"], Env: ["A=1"] },
      platform: { os: "linux", architecture: "arm", variant: "v6" },
      message: "from a test",
      reference: parseReference("base:1"),
    });
    expect(JSON.parse(image.configBytes.toString())).toEqual({
      architecture: "arm",
      variant: "v6",
      os: "linux",
      config: { Cmd: ["sh"], Env: ["A=1"] },
      created,
      history: [{ created, comment: "from a test" }],
      rootfs: { type: "layers", diff_ids: image.config.rootfs.diff_ids },
    });
    expect(store.images.get(image.id)?.references.map(canonicalReference)).toEqual(["docker.io/library/base:1"]);
  });

  test("says in its history where it came from, and is for this machine", async () => {
    using temporary = temporaryStore();
    const image = await importing(temporary.store, stream(rootfs(temporary.folder)));
    expect(image.config.history).toEqual([{ created, comment: "Imported from -" }]);
    expect(image.config).toMatchObject(hostPlatform());
  });

  test.for([
    { name: "nothing", make: () => Buffer.alloc(0), says: "it is empty" },
    { name: "no tar", make: () => Buffer.alloc(5000, "x"), says: "" },
    { name: "a cut tar", make: (tar: Buffer) => tar.subarray(0, 20_000), says: "cut short" },
    {
      name: "a tar cut in the padding of a file",
      make: (tar: Buffer) => tar.subarray(0, tar.indexOf("hello hello") + 60_001),
      says: "cut short",
    },
    {
      name: "the same, packed",
      make: (tar: Buffer) =>
        execFileSync("gzip", ["-c"], { input: tar.subarray(0, tar.indexOf("hello hello") + 60_001) }),
      says: "cut short",
    },
    {
      name: "a cut gzip",
      make: (tar: Buffer) => execFileSync("gzip", ["-c"], { input: tar }).subarray(0, 100),
      says: "gzip",
    },
  ])("of $name is refused, and leaves nothing", async ({ make, says }) => {
    using temporary = temporaryStore();
    const { store, folder } = temporary;
    await expect(importing(store, stream(make(rootfs(folder))))).rejects.toMatchObject({
      code: "ARCHIVE_INVALID",
      message: expect.stringContaining(says),
    });
    expect(store.images.list()).toEqual([]);
    expect(readdirSync(join(store.root, "layers"))).toEqual([]);
    expect(
      readdirSync(join(store.root, "tmp"), { recursive: true, encoding: "utf8" }).filter((name) =>
        /import|layer/.test(name),
      ),
    ).toEqual([]);
  });

  test("of a tar that goes through a symlink to the host's root stays inside the layer", async () => {
    using temporary = temporaryStore();
    const { store } = temporary;
    const image = await importing(store, stream(hostileTar()));
    expect(existsSync("/tsbuild-test-escaped")).toBe(false);
    expect(existsSync(join(store.layers.tree(image.chain[0] as never), "tsbuild-test-escaped"))).toBe(true);
  });

  test("of what is no tar ends before a silent stream does", async () => {
    using temporary = temporaryStore();
    const silent = new PassThrough();
    silent.write(Buffer.alloc(5000, "x"));
    const source = { kind: "stream", name: "-", stream: silent } as const;
    await expect(importing(temporary.store, source)).rejects.toMatchObject({ code: "ARCHIVE_INVALID" });
    expect(silent.destroyed).toBe(true);
  });

  test("of a stream that breaks says what broke it, and leaves nothing", async () => {
    using temporary = temporaryStore();
    const { store, folder } = temporary;
    const tar = rootfs(folder);
    const broken = Readable.from(
      (async function* () {
        yield tar.subarray(0, 30_000);
        throw new Error("the line is cut");
      })(),
      { objectMode: false },
    );
    await expect(importing(store, { kind: "stream", name: "-", stream: broken })).rejects.toThrow("the line is cut");
    expect(readdirSync(join(store.root, "layers"))).toEqual([]);
  });

  test("is unpacked while it comes in", async () => {
    using temporary = temporaryStore();
    const { store, folder } = temporary;
    const tar = rootfs(folder);
    const slow = new PassThrough();
    const imported = importing(store, { kind: "stream", name: "-", stream: slow });
    slow.write(tar.subarray(0, 50_000));
    const unpacked = (): readonly string[] =>
      readdirSync(join(store.root, "tmp"), { recursive: true, encoding: "utf8" }).filter((name) =>
        name.endsWith("hello"),
      );
    const deadline = Date.now() + 10_000;
    while (unpacked().length === 0 && Date.now() < deadline) await setTimeout(5);
    expect(unpacked()).toHaveLength(1);
    slow.end(tar.subarray(50_000));
    const [layer] = (await imported).chain;
    expect(store.layers.get(layer as never).diffId).toBe(diffIdOf(sha256(tar)));
  });

  test("of a folder is refused", async () => {
    using temporary = temporaryStore();
    await expect(importing(temporary.store, { kind: "path", name: "x", path: temporary.folder })).rejects.toMatchObject(
      { code: "EISDIR" },
    );
  });

  test("that is ended while stdin is silent ends", async () => {
    using temporary = temporaryStore();
    const abort = new AbortController();
    const silent = new Readable({ read: () => undefined });
    const image = importing(temporary.store, { kind: "stream", name: "-", stream: silent }, { signal: abort.signal });
    abort.abort("SIGINT");
    await expect(image).rejects.toBe("SIGINT");
  });
});

/** A file below a symlink to the host's root. */
function hostileTar(): Buffer {
  const script =
    "d=$(mktemp -d) && cd $d && ln -s / x && mkdir y && echo no > y/tsbuild-test-escaped && tar -cf t x && tar --transform s,^y,x, -rf t y/tsbuild-test-escaped && cat t && rm -rf $d";
  return execFileSync("sh", ["-c", script]);
}
