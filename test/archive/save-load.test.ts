import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { closeSync, mkdirSync, openSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { PassThrough, Readable } from "node:stream";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { folderSink, tarFileSink, tarStreamSink } from "../../src/archive/archive-sink.ts";
import { configOfLegacyImage } from "../../src/archive/legacy-config.ts";
import { type LoadedImage, loadImages } from "../../src/archive/load.ts";
import { type ArchiveFormat, saveImages } from "../../src/archive/save.ts";
import { readTarHeader, tarHeader } from "../../src/archive/tar-header.ts";
import { blobDigestOf, diffIdOf, sha256 } from "../../src/oci/digest.ts";
import { mediaTypes } from "../../src/oci/media-types.ts";
import { canonicalReference, parseReference } from "../../src/oci/reference.ts";
import type { Store, StoredImage } from "../../src/store/store.ts";
import { lacksDocker, type RunningDocker, startDocker } from "../support/dockerd.ts";
import { buildImage } from "../support/images.ts";
import { lacks } from "../support/needs.ts";
import { temporaryTestFolder } from "../support/temporary-folder.ts";
import { temporaryStore } from "../support/temporary-store.ts";

const signal = new AbortController().signal;
const files = [{ "bin/one": randomBytes(300_000), "etc/a": "a" }, { "bin/two": randomBytes(5_000) }] as const;

async function save(store: Store, images: readonly StoredImage[], format: ArchiveFormat, to: string): Promise<void> {
  using scratch = temporaryTestFolder("scratch");
  const options = {
    store,
    format,
    scratch: scratch.path,
    signal,
    images: images.map((image) => ({ image, references: image.references })),
  };
  if (format === "oci-dir") return await saveImages({ ...options, sink: folderSink(to) });
  const fd = openSync(to, "ax");
  try {
    await saveImages({ ...options, sink: tarFileSink(to, fd) });
  } finally {
    closeSync(fd);
  }
}

function load(store: Store, path: string): Promise<readonly LoadedImage[]> {
  return loadImages({ store, source: { kind: "path", path }, signal });
}

function loadBytes(store: Store, bytes: Buffer): Promise<readonly LoadedImage[]> {
  const chunks = Array.from({ length: Math.ceil(bytes.length / 65_536) }, (_, i) =>
    bytes.subarray(i * 65_536, (i + 1) * 65_536),
  );
  return loadImages({
    store,
    source: { kind: "stream", stream: Readable.from(chunks, { objectMode: false }) },
    signal,
  });
}

const names = (loaded: readonly LoadedImage[]): readonly string[] =>
  loaded.flatMap(({ references }) => references.map(canonicalReference));

describe.skipIf(lacks("root"))("a saved image", () => {
  test.for(["docker-archive", "oci-archive", "oci-dir"] as const)(
    "%s: comes back with its ID, names and files",
    async (format) => {
      using source = temporaryStore();
      using target = temporaryStore();
      const image = await buildImage(source.store, {
        layers: files,
        tags: ["app:1", "reg.example/app:2"],
        config: { Cmd: ["/bin/one"] },
      });
      const path = join(source.folder, "saved");
      await save(source.store, [image], format, path);
      const loaded = await load(target.store, path);
      expect(loaded.map(({ image: { id } }) => id)).toEqual([image.id]);
      expect(names(loaded)).toEqual(["docker.io/library/app:1", "reg.example/app:2"]);
      const back = target.store.images.lookup("app:1");
      expect(back.configBytes).toEqual(image.configBytes);
      expect(readFileSync(join(target.store.layers.tree(back.chain[0] as never), "bin/one"))).toEqual(
        files[0]["bin/one"],
      );
      expect(
        readdirSync(join(target.store.root, "tmp"), { recursive: true, encoding: "utf8" }).filter((name) =>
          /load|layer/.test(name),
        ),
      ).toEqual([]);
    },
  );

  test.for(["docker-archive", "oci-archive"] as const)(
    "%s: is the same to the byte, each time, to a file or a stream, after a load",
    async (format) => {
      using source = temporaryStore();
      using target = temporaryStore();
      const image = await buildImage(source.store, { layers: files, tags: ["app"] });
      const [one, two] = [join(source.folder, "1"), join(source.folder, "2")];
      await save(source.store, [image], format, one);
      const first = readFileSync(one);
      const stream = new PassThrough({ highWaterMark: 1000 });
      const received: Promise<Buffer> = (async () => Buffer.concat(await stream.toArray()))();
      const sink = tarStreamSink(stream, source.folder, signal);
      await saveImages({
        store: source.store,
        format,
        sink,
        scratch: source.folder,
        signal,
        images: [{ image, references: image.references }],
      });
      stream.end();
      expect((await received).equals(first)).toBe(true);
      await load(target.store, one);
      await save(target.store, [target.store.images.lookup("app")], format, two);
      expect(readFileSync(two).equals(first)).toBe(true);
    },
  );

  test("several share their layers, and come back together", async () => {
    using source = temporaryStore();
    using target = temporaryStore();
    const a = await buildImage(source.store, { layers: files, tags: ["a"] });
    const b = await buildImage(source.store, { layers: files, config: { User: "bob" } });
    const path = join(source.folder, "saved.tar");
    await save(source.store, [a, b], "docker-archive", path);
    const list = execFileSync("tar", ["tf", path], { encoding: "utf8" })
      .split("\n")
      .filter((name) => name !== "");
    expect(new Set(list).size).toBe(list.length);
    const loaded = await load(target.store, path);
    expect(loaded.map(({ image: { id }, references }) => [id, references.length])).toEqual([
      [a.id, 1],
      [b.id, 0],
    ]);
  });

  test("oci: a manifest with packed layers keeps its digest", async () => {
    using source = temporaryStore();
    using target = temporaryStore();
    const image = await buildImage(source.store, { layers: files, tags: ["app"] });
    const [one, two] = [join(source.folder, "1"), join(source.folder, "2")];
    await save(source.store, [image], "oci-dir", one);
    await load(target.store, one);
    await save(target.store, [target.store.images.lookup("app")], "oci-dir", two);
    expect(readFileSync(join(two, "index.json"))).toEqual(readFileSync(join(one, "index.json")));
  });

  test.skipIf(lacks("umoci"))("oci: a manifest of docker's types becomes one that others read there", async () => {
    using source = temporaryStore();
    const { store } = source;
    const image = await buildImage(store, { layers: files });
    const layers = [];
    for (const [i, id] of image.chain.entries()) {
      const file = join(source.folder, `layer-${i}`);
      const made = await store.layers.writeCompressed(id, file, "gzip", signal);
      store.blobs.adopt(file, made.digest);
      layers.push({ ...made, mediaType: mediaTypes.dockerLayerGzip });
    }
    const config = {
      mediaType: mediaTypes.dockerConfig,
      digest: blobDigestOf(image.id),
      size: image.configBytes.length,
    };
    const raw = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.dockerManifest, config, layers }));
    store.images.recordManifest(image.id, undefined, raw);
    store.images.tag(parseReference("app:1"), image.id);
    const layout = join(source.folder, "layout");
    await save(store, [store.images.lookup("app:1")], "oci-dir", layout);
    execFileSync("umoci", ["unpack", "--image", `${layout}:1`, join(source.folder, "bundle")], { stdio: "ignore" });
    expect(readFileSync(join(source.folder, "bundle/rootfs/bin/one"))).toEqual(files[0]["bin/one"]);
  });

  test.skipIf(lacks("skopeo", "umoci")).for(["docker-archive", "oci-archive", "oci-dir"] as const)(
    "%s: skopeo copies it, umoci unpacks it",
    async (format) => {
      using source = temporaryStore();
      const image = await buildImage(source.store, { layers: files, tags: ["app:1"] });
      const path = join(source.folder, "saved");
      await save(source.store, [image], format, path);
      const from =
        format === "docker-archive"
          ? `docker-archive:${path}`
          : format === "oci-archive"
            ? `oci-archive:${path}`
            : `oci:${path}:1`;
      const layout = join(source.folder, "layout");
      execFileSync("skopeo", ["copy", "--insecure-policy", from, `oci:${layout}:x`], { stdio: "ignore" });
      execFileSync("umoci", ["unpack", "--image", `${layout}:x`, join(source.folder, "bundle")], { stdio: "ignore" });
      expect(readFileSync(join(source.folder, "bundle/rootfs/bin/one"))).toEqual(files[0]["bin/one"]);
    },
  );

  test.skipIf(lacks("umoci"))("docker-archive: is an OCI layout as well, which umoci unpacks", async () => {
    using source = temporaryStore();
    const image = await buildImage(source.store, { layers: files, tags: ["app:1"] });
    const [path, layout] = [join(source.folder, "saved"), join(source.folder, "layout")];
    await save(source.store, [image], "docker-archive", path);
    mkdirSync(layout);
    execFileSync("tar", ["-C", layout, "-xf", path]);
    execFileSync("umoci", ["unpack", "--image", `${layout}:1`, join(source.folder, "bundle")], { stdio: "ignore" });
    expect(readFileSync(join(source.folder, "bundle/rootfs/bin/two"))).toEqual(files[1]["bin/two"]);
  });
});

describe.skipIf(lacks("root"))("a load", () => {
  const packers = { none: "cat", gzip: "gzip", zstd: "zstd", xz: "xz", bzip2: "bzip2" } as const;

  test.for(Object.entries(packers))("from a stream and from a file: %s", async ([, program], { skip }) => {
    if (lacks(program)) skip(`${program} is not installed`);
    using source = temporaryStore();
    using target = temporaryStore();
    const image = await buildImage(source.store, { layers: files, tags: ["app"] });
    const path = join(source.folder, "saved");
    await save(source.store, [image], "docker-archive", path);
    const packed = execFileSync(program, program === "cat" ? [] : ["-c"], {
      input: readFileSync(path),
      maxBuffer: 1 << 28,
    });
    expect((await loadBytes(target.store, packed))[0]?.image.id).toBe(image.id);
    using another = temporaryStore();
    writeFileSync(`${path}.packed`, packed);
    expect((await load(another.store, `${path}.packed`))[0]?.image.id).toBe(image.id);
  });

  test.skipIf(lacks("skopeo")).for(["docker-archive:PATH:app:1", "oci-archive:PATH:app:1", "oci:PATH:app:1"])(
    "of what skopeo copied to %s",
    async (destination) => {
      using source = temporaryStore();
      using target = temporaryStore();
      const image = await buildImage(source.store, { layers: files, tags: ["app:1"] });
      const [path, copy] = [join(source.folder, "saved"), join(source.folder, "copy")];
      await save(source.store, [image], "oci-dir", path);
      execFileSync("skopeo", ["copy", "--insecure-policy", `oci:${path}:1`, destination.replace("PATH", copy)], {
        stdio: "ignore",
      });
      const loaded = await load(target.store, copy);
      expect(names(loaded)).toEqual(["docker.io/library/app:1"]);
      // skopeo writes docker's form of the config for docker's archive: another ID, the same files.
      expect(loaded[0]?.image.config.rootfs).toEqual(image.config.rootfs);
      if (destination.startsWith("oci")) expect(loaded[0]?.image.id).toBe(image.id);
    },
  );

  test.skipIf(lacks("umoci"))("of what umoci made", async () => {
    using target = temporaryStore();
    using folder = temporaryTestFolder("umoci");
    const layout = join(folder.path, "layout");
    const umoci = (...args: string[]): void => void execFileSync("umoci", args, { stdio: "ignore" });
    umoci("init", "--layout", layout);
    umoci("new", "--image", `${layout}:1`);
    umoci("unpack", "--image", `${layout}:1`, join(folder.path, "bundle"));
    writeFileSync(join(folder.path, "bundle/rootfs/hello"), "from umoci");
    umoci("repack", "--image", `${layout}:1`, join(folder.path, "bundle"));
    umoci("config", "--image", `${layout}:1`, "--config.cmd", "/hello");
    const loaded = await load(target.store, layout);
    const image = loaded[0]?.image as StoredImage;
    expect(image.config.config.Cmd).toEqual(["/hello"]);
    expect(readFileSync(join(target.store.layers.tree(image.chain.at(-1) as never), "hello"), "utf8")).toBe(
      "from umoci",
    );
  });

  test("a symlink to a layer that was there before, as docker's first archives have it", async () => {
    using source = temporaryStore();
    using target = temporaryStore();
    const image = await buildImage(source.store, { layers: files });
    const folder = join(source.folder, "old");
    const put = async (name: string, content: Buffer | number): Promise<void> => {
      mkdirSync(dirname(join(folder, name)), { recursive: true });
      if (typeof content === "number")
        await source.store.layers.writeTar(image.chain[content] as never, join(folder, name), signal);
      else writeFileSync(join(folder, name), content);
    };
    await put("aa/layer.tar", 0);
    await put("bb/layer.tar", 1);
    mkdirSync(join(folder, "cc"));
    symlinkSync("../aa/layer.tar", join(folder, "cc/layer.tar"));
    await put("config.json", image.configBytes);
    await put(
      "manifest.json",
      Buffer.from(
        JSON.stringify([{ Config: "config.json", RepoTags: null, Layers: ["cc/layer.tar", "bb/layer.tar"] }]),
      ),
    );
    const tar = execFileSync("tar", ["-C", folder, "-c", "."], { maxBuffer: 1 << 28 });
    expect((await loadBytes(target.store, tar))[0]?.image.id).toBe(image.id);
    using another = temporaryStore();
    writeFileSync(join(source.folder, "old.tar"), tar);
    expect((await load(another.store, join(source.folder, "old.tar")))[0]?.image.id).toBe(image.id);
  });

  test("of a tar with a name twice takes the last, as tar does", async () => {
    using source = temporaryStore();
    const image = await buildImage(source.store, { layers: files, tags: ["app"] });
    const path = join(source.folder, "saved");
    await save(source.store, [image], "docker-archive", path);
    writeFileSync(join(source.folder, "index.json"), "{}");
    const first = execFileSync("tar", ["-C", source.folder, "-c", "index.json"]).subarray(0, 1024);
    const both = Buffer.concat([first, readFileSync(path)]);
    writeFileSync(path, both);
    for (const loading of [(store: Store) => load(store, path), (store: Store) => loadBytes(store, both)]) {
      using target = temporaryStore();
      expect((await loading(target.store))[0]?.image.id).toBe(image.id);
    }
  });

  interface Broken {
    readonly name: string;
    readonly edit: (folder: string) => void;
    readonly code: string;
    readonly says: RegExp;
  }
  const layerName = (folder: string): string => {
    const [{ Layers }] = JSON.parse(readFileSync(join(folder, "manifest.json"), "utf8")) as [
      { Layers: [string, string] },
    ];
    return join(folder, Layers[1]);
  };
  test.for<Broken>([
    {
      name: "a layer that is missing",
      edit: (folder) => rmSync(layerName(folder)),
      code: "ARCHIVE_INVALID",
      says: /is not in it/,
    },
    {
      name: "a layer with other bytes",
      edit: (folder) => writeFileSync(layerName(folder), readFileSync(layerName(folder)).fill(1, 600, 700)),
      code: "ARCHIVE_INVALID",
      says: /digest|checksum/,
    },
    {
      name: "a layer that is no tar",
      edit: (folder) => writeFileSync(layerName(folder), randomBytes(4096)),
      code: "ARCHIVE_INVALID",
      says: /./,
    },
    {
      name: "an index that is no JSON",
      edit: (folder) => writeFileSync(join(folder, "index.json"), "{"),
      code: "INVALID_MANIFEST",
      says: /not JSON/,
    },
    {
      name: "a manifest.json of another shape",
      edit: (folder) => {
        rmSync(join(folder, "oci-layout"));
        writeFileSync(join(folder, "manifest.json"), '[{"Config":1}]');
      },
      code: "ARCHIVE_INVALID",
      says: /0\.Config/,
    },
    {
      name: "a config outside of the archive",
      edit: (folder) => {
        rmSync(join(folder, "oci-layout"));
        writeFileSync(join(folder, "manifest.json"), '[{"Config":"../../../../etc/hostname","Layers":[]}]');
      },
      code: "ARCHIVE_INVALID",
      says: /is not in it/,
    },
    {
      name: "nothing of an image",
      edit: (folder) =>
        ["oci-layout", "index.json", "manifest.json"].forEach((name) => void rmSync(join(folder, name))),
      code: "ARCHIVE_INVALID",
      says: /not an image archive/,
    },
  ])("with $name is refused, and leaves no image", async ({ edit, code, says }) => {
    using source = temporaryStore();
    using target = temporaryStore();
    const image = await buildImage(source.store, { layers: files, tags: ["app"] });
    const [path, folder] = [join(source.folder, "saved"), join(source.folder, "folder")];
    await save(source.store, [image], "docker-archive", path);
    mkdirSync(folder);
    execFileSync("tar", ["-C", folder, "-xf", path]);
    edit(folder);
    const tar = execFileSync("tar", ["-C", folder, "-c", "."], { maxBuffer: 1 << 28 });
    const error = { code, message: expect.stringMatching(says) };
    await expect(load(target.store, folder)).rejects.toMatchObject(error);
    await expect(loadBytes(target.store, tar)).rejects.toMatchObject(error);
    expect(target.store.images.list()).toEqual([]);
  });

  test.for([0, 100, 1000, 200_000])("cut after %i bytes is refused", async (length) => {
    using source = temporaryStore();
    using target = temporaryStore();
    const image = await buildImage(source.store, { layers: files, tags: ["app"] });
    const path = join(source.folder, "saved");
    await save(source.store, [image], "docker-archive", path);
    const bytes = readFileSync(path).subarray(0, length);
    writeFileSync(path, bytes);
    await expect(load(target.store, path)).rejects.toMatchObject({ code: "ARCHIVE_INVALID" });
    await expect(loadBytes(target.store, bytes)).rejects.toMatchObject({ code: "ARCHIVE_INVALID" });
    expect(target.store.images.list()).toEqual([]);
  });
});

describe.skipIf(lacksDocker())("docker", () => {
  let running: RunningDocker;
  beforeAll(async () => {
    running = await startDocker();
  });
  afterAll(() => running?.[Symbol.asyncDispose]());

  test("loads what we save, and has the same ID", async () => {
    using source = temporaryStore();
    const image = await buildImage(source.store, { layers: files, tags: ["app:1"], config: { Cmd: ["/bin/one"] } });
    const path = join(source.folder, "saved");
    await save(source.store, [image], "docker-archive", path);
    expect(running.docker(["load", "-i", path]).toString()).toContain("Loaded image: app:1");
    expect(running.docker(["image", "inspect", "-f", "{{.Id}}", "app:1"]).toString().trim()).toBe(image.id);
  });

  test("saves what we load, with the same ID; its old form too", async () => {
    using target = temporaryStore();
    using folder = temporaryTestFolder("docker");
    const tar = join(folder.path, "rootfs.tar");
    mkdirSync(join(folder.path, "root"));
    writeFileSync(join(folder.path, "root/hello"), "x".repeat(5000));
    execFileSync("tar", ["-C", join(folder.path, "root"), "-cf", tar, "."]);
    running.docker(["import", "-c", 'CMD ["/a<b>&c"]', tar, "base:1"]);
    const id = running.docker(["create", "base:1"]).toString().trim();
    running.docker(["cp", tar, `${id}:/rootfs.tar`]);
    running.docker(["commit", "-m", "two", id, "two:1"]);
    const saved = running.docker(["save", "two:1", "base:1"]);
    const idOf = (name: string): string =>
      running.docker(["image", "inspect", "-f", "{{.Id}}", name]).toString().trim();
    const loaded = await loadBytes(target.store, saved);
    expect(names(loaded)).toEqual(["docker.io/library/two:1", "docker.io/library/base:1"]);
    expect(loaded.map(({ image }) => image.id)).toEqual([idOf("two:1"), idOf("base:1")]);

    // Without manifest.json it is what Docker wrote before 1.10: there the config is made anew, by both of us.
    const old = join(folder.path, "old");
    mkdirSync(old);
    execFileSync("tar", ["-C", old, "-x"], { input: saved });
    rmSync(join(old, "manifest.json"));
    const oldTar = execFileSync("tar", ["-C", old, "-c", "."], { maxBuffer: 1 << 28 });
    running.docker(["load"], oldTar);
    using another = temporaryStore();
    const legacy = await loadBytes(another.store, oldTar);
    expect(Object.fromEntries(legacy.map(({ image, references }) => [references[0]?.path, image.id]))).toEqual({
      "library/two": idOf("two:1"),
      "library/base": idOf("base:1"),
    });
  });
});

test("an old config loses what the new form does not have", () => {
  const json = Buffer.from(
    JSON.stringify({
      id: "x",
      parent: "y",
      created: "2014-01-01T00:00:00Z",
      os: "linux",
      Size: 3,
      container_config: { Cmd: ["a", "<b>"] },
      comment: "c",
    }),
  );
  expect(JSON.parse(configOfLegacyImage([json], [diffIdOf(sha256("l"))]).toString())).toEqual({
    created: "2014-01-01T00:00:00Z",
    os: "linux",
    comment: "c",
    container_config: { Cmd: ["a", "<b>"] },
    rootfs: { type: "layers", diff_ids: [sha256("l")] },
    history: [{ created: "2014-01-01T00:00:00Z", created_by: "a <b>", comment: "c" }],
  });
});

test.for([0, 1, 8 ** 11 - 1, 8 ** 11, 2 ** 40])("a tar header says a size of %i bytes", (size) => {
  expect(readTarHeader(tarHeader("blobs/sha256/x", size), new Map())).toEqual({
    name: "blobs/sha256/x",
    type: "file",
    target: "",
    sizeBytes: size,
  });
});
