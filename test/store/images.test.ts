import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { gzipSync } from "node:zlib";
import { expect } from "vitest";
import { TsbuildError } from "../../src/errors.ts";
import { blobDigestOf, hexOf } from "../../src/oci/digest.ts";
import type { ImageConfig } from "../../src/oci/image-config.ts";
import { mediaTypes } from "../../src/oci/media-types.ts";
import { familiarReference, parseReference } from "../../src/oci/reference.ts";
import { checkStore } from "../../src/store/check.ts";
import { removeImage } from "../../src/store/remove-image.ts";
import type { Chain, Store, StoredImage } from "../../src/store/store.ts";
import { descriptorOf, imageConfig, keep, makeLayer, never, writeBytes } from "../support/layers.ts";
import { needs } from "../support/needs.ts";
import { rawTar } from "../support/raw-tar.ts";
import { temporaryStore } from "../support/temporary-store.ts";

const test = needs("root");

async function image(store: Store, content: string, created?: string): Promise<StoredImage> {
  const chain = await makeLayer(store, [], (upper) => writeFileSync(`${upper}/f`, content));
  return store.images.add({ config: imageConfig(store, chain, created), chain });
}

function caught(action: () => unknown): TsbuildError {
  try {
    action();
  } catch (error) {
    if (error instanceof TsbuildError) return error;
    throw error;
  }
  throw new Error("nothing was thrown");
}

test("an image is there after its process, whole", async () => {
  using temporary = temporaryStore();
  const { id, configBytes, chain } = await image(temporary.store, "a");
  temporary.store.images.tag(parseReference("app:1"), id);
  const found = temporary.reopen().images.lookup("app:1");
  expect(found).toMatchObject({ id, chain, created: new Date("2026-01-02T03:04:05Z") });
  expect(found.configBytes).toEqual(configBytes);
  expect(found.references.map(familiarReference)).toEqual(["app:1"]);
  expect((await checkStore(temporary.store, { signal: never })).faults).toEqual([]);
});

test("adding an image twice is a no-op", async () => {
  using temporary = temporaryStore();
  const { store } = temporary;
  const first = await image(store, "a");
  expect(store.images.add({ config: first.configBytes, chain: first.chain }).id).toBe(first.id);
  expect(store.images.list()).toHaveLength(1);
});

test("a config that names other layers is refused", async () => {
  using temporary = temporaryStore();
  const { store } = temporary;
  const a = await image(store, "a");
  const chain = await makeLayer(store, [], (upper) => writeFileSync(`${upper}/f`, "b"));
  expect(caught(() => store.images.add({ config: a.configBytes, chain }))).toMatchObject({ code: "INVALID_CONFIG" });
});

test("an image of no layer", () => {
  using temporary = temporaryStore();
  const config = {
    architecture: "amd64",
    config: {},
    history: null,
    os: "linux",
    rootfs: { type: "layers", diff_ids: null },
  };
  const { id } = temporary.store.images.add({ config: Buffer.from(JSON.stringify(config)), chain: [] });
  expect(temporary.store.images.get(id)).toMatchObject({ chain: [], sizeBytes: 0, created: undefined });
});

test("images are listed newest first, those without a time last", async () => {
  using temporary = temporaryStore();
  const { store } = temporary;
  const old = await image(store, "a", "2020-01-01T00:00:00Z");
  const config = JSON.parse(old.configBytes.toString()) as ImageConfig & { created?: string };
  const undated = store.images.add({
    config: Buffer.from(JSON.stringify({ ...config, created: undefined })),
    chain: old.chain,
  });
  const fresh = await image(store, "b", "2025-01-01T00:00:00.5Z");
  expect(store.images.list().map((one) => one.id)).toEqual([fresh.id, old.id, undated.id]);
});

test("a tag moves silently", async () => {
  using temporary = temporaryStore();
  const { images } = temporary.store;
  const [a, b] = [await image(temporary.store, "a"), await image(temporary.store, "b")];
  images.tag(parseReference("app"), a.id);
  images.tag(parseReference("app:latest"), b.id);
  expect(images.resolve(parseReference("docker.io/library/app"))?.id).toBe(b.id);
  expect(images.get(a.id)?.references).toEqual([]);
});

test("what a user typed: reference first, then full ID, then a unique prefix", async () => {
  using temporary = temporaryStore();
  const { images } = temporary.store;
  const [a, b] = [await image(temporary.store, "a"), await image(temporary.store, "b")];
  const hex = hexOf(a.id);
  images.tag(parseReference("app:1"), a.id);
  expect(images.find("app:1")?.id).toBe(a.id);
  expect(images.find(hex)?.id).toBe(a.id);
  expect(images.find(a.id)?.id).toBe(a.id);
  expect(images.find(hex.slice(0, 12))?.id).toBe(a.id);
  expect(images.find(`sha256:${hex.slice(0, 10)}`)?.id).toBe(a.id);
  // A name that looks like an ID wins over the ID.
  images.tag(parseReference(hex.slice(0, 12)), b.id);
  expect(images.find(hex.slice(0, 12))?.id).toBe(b.id);
});

test.for([
  { typed: "nosuch", message: "No such image: nosuch:latest" },
  { typed: "x/y:1", message: "No such image: x/y:1" },
  { typed: "docker.io/library/x", message: "No such image: x:latest" },
  { typed: "0".repeat(64), message: `No such image: ${"0".repeat(64)}` },
  { typed: "Bad Name", message: "No such image: Bad Name" },
])("$typed is not found as: $message", ({ typed, message }) => {
  using temporary = temporaryStore();
  expect(caught(() => temporary.store.images.lookup(typed))).toMatchObject({ code: "IMAGE_NOT_FOUND", message });
});

test("a prefix of two images is an error that names both", async () => {
  using temporary = temporaryStore();
  const { store } = temporary;
  const first = new Map<string, StoredImage>();
  for (let i = 0; ; i++) {
    const one = await image(store, `${i}`);
    const other = first.get(hexOf(one.id).slice(0, 1));
    first.set(hexOf(one.id).slice(0, 1), one);
    if (other === undefined) continue;
    const error = caught(() => store.images.find(hexOf(one.id).slice(0, 1)));
    expect(error.code).toBe("INVALID_ARGUMENT");
    for (const { id } of [one, other]) expect(error.message).toContain(hexOf(id).slice(0, 12));
    return;
  }
});

test("a digest is no tag", async () => {
  using temporary = temporaryStore();
  const { id } = await image(temporary.store, "a");
  const reference = parseReference(`app@sha256:${"0".repeat(64)}`);
  expect(caught(() => temporary.store.images.tag(reference, id))).toMatchObject({ code: "INVALID_REFERENCE" });
});

test("removing an image removes its names, layers and blobs, and what others use stays", async () => {
  using temporary = temporaryStore();
  const { store } = temporary;
  const base = await image(store, "base");
  const above = await makeLayer(store, base.chain, (upper) => writeFileSync(`${upper}/g`, "x".repeat(100_000)));
  const { id } = store.images.add({ config: imageConfig(store, above), chain: above });
  store.images.tag(parseReference("app"), id);
  temporary.reopen();
  const freed = temporary.store.images.remove(id);
  expect(freed).toBeGreaterThan(100_000);
  expect(temporary.store.images.find("app")).toBeUndefined();
  expect(readdirSync(`${temporary.root}/layers`)).toEqual(base.chain);
  expect(readdirSync(`${temporary.root}/blobs/sha256`)).toEqual([hexOf(base.id)]);
  expect((await checkStore(temporary.store, { signal: never })).faults).toEqual([]);
});

test("a cache record keeps the layers of a removed image", async () => {
  using temporary = temporaryStore();
  const { id, chain } = await image(temporary.store, "a");
  keep(temporary.store, chain);
  const store = temporary.reopen();
  store.images.remove(id);
  expect(readdirSync(`${temporary.root}/layers`)).toEqual(chain);
  store.cache.remove(store.cache.list().map((record) => record.key));
  expect(readdirSync(`${temporary.root}/layers`)).toEqual([]);
});

async function pulled(
  temporary: { store: Store; folder: string },
  reference: string,
): Promise<{ image: StoredImage; manifest: Buffer }> {
  const { store } = temporary;
  const file = writeBytes(`${temporary.folder}/blob`, gzipSync(rawTar([{ name: "f", type: "0", content: reference }])));
  const layer = { ...descriptorOf(file), mediaType: mediaTypes.ociLayerGzip };
  const id = await store.layers.addBlob({ file, descriptor: layer, diffId: undefined }, [], never);
  const chain: Chain = [id];
  const config = imageConfig(store, chain);
  const configDescriptor = { mediaType: mediaTypes.ociConfig, digest: store.blobs.write(config), size: config.length };
  const manifest = Buffer.from(
    JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.ociManifest, config: configDescriptor, layers: [layer] }),
  );
  const parsed = parseReference(reference);
  const image = store.images.add({ config, chain, manifest: { raw: manifest, reference: parsed } });
  store.images.tag(parsed, image.id);
  return { image, manifest };
}

test("a pulled image is found by its manifest's digest, and the layout's index lists it", async () => {
  using temporary = temporaryStore();
  const { image, manifest } = await pulled(temporary, "registry.test:5000/me/x:1");
  const { images } = temporary.store;
  const stored = images.get(image.id);
  const digest = stored?.manifest?.digest;
  expect(stored?.manifest?.raw).toEqual(manifest);
  expect(stored?.repoDigests.map(familiarReference)).toEqual([`registry.test:5000/me/x@${digest}`]);
  expect(images.find(`registry.test:5000/me/x@${digest}`)?.id).toBe(image.id);
  const index = JSON.parse(readFileSync(`${temporary.root}/index.json`, "utf8"));
  expect(index.manifests).toEqual([
    {
      mediaType: mediaTypes.ociManifest,
      digest,
      size: manifest.length,
      annotations: {
        "io.containerd.image.name": "registry.test:5000/me/x:1",
        "org.opencontainers.image.ref.name": "1",
      },
    },
  ]);
  images.remove(image.id);
  expect(JSON.parse(readFileSync(`${temporary.root}/index.json`, "utf8")).manifests).toEqual([]);
});

test("the blobs that a manifest names are kept, also when the layer was here before", async () => {
  using temporary = temporaryStore();
  const tar = rawTar([{ name: "f", type: "0", content: "registry.test/x:1" }]);
  const known = await temporary.store.layers.addBlob(
    {
      file: writeBytes(`${temporary.folder}/tar`, tar),
      descriptor: descriptorOf(`${temporary.folder}/tar`),
      diffId: undefined,
    },
    [],
    never,
  );
  const { image } = await pulled(temporary, "registry.test/x:1");
  expect(image.chain).toEqual([known]);
  const store = temporary.reopen();
  store.collect();
  for (const { digest } of image.manifest?.value.layers ?? []) expect(store.blobs.has(digest)).toBe(true);
  expect(store.blobs.has(blobDigestOf(image.id))).toBe(true);
});

const flip = (file: string): void => {
  const bytes = readFileSync(file);
  // Its first letter: no JSON any more.
  bytes[0] = 0x5b;
  writeFileSync(file, bytes);
};
const emptied = (file: string): void => {
  const config = JSON.parse(readFileSync(file, "utf8")) as ImageConfig;
  writeFileSync(file, JSON.stringify({ ...config, rootfs: undefined }));
};

test.for([
  { name: "whose config is missing", blob: "config", damage: (file: string) => rmSync(file) },
  { name: "whose config does not parse", blob: "config", damage: flip },
  { name: "whose config names other layers", blob: "config", damage: emptied },
  { name: "whose manifest is missing", blob: "manifest", damage: (file: string) => rmSync(file) },
  { name: "whose manifest does not parse", blob: "manifest", damage: flip },
] as const)(
  "an image $name is said to be damaged, can be removed, and is in nobody's way",
  async ({ blob, damage }) => {
    using temporary = temporaryStore();
    const { store } = temporary;
    const sound = await image(store, "sound");
    const broken = await image(store, "broken");
    const manifest = { schemaVersion: 2, config: descriptorOf(store.blobs.path(blobDigestOf(broken.id))), layers: [] };
    const digest = store.images.recordManifest(broken.id, undefined, Buffer.from(JSON.stringify(manifest)));
    store.images.tag(parseReference("sound"), sound.id);
    store.images.tag(parseReference("broken"), broken.id);
    damage(store.blobs.path(blob === "config" ? blobDigestOf(broken.id) : digest));
    const listed = store.images.list().find(({ id }) => id === broken.id);
    expect(listed?.damage).toMatchObject({ code: "STORE_CORRUPT", hint: expect.stringContaining("tsbuild rmi -f") });
    expect(listed?.references.map(familiarReference)).toEqual(["broken:latest"]);
    expect(caught(() => store.images.lookup("broken"))).toMatchObject({ code: "STORE_CORRUPT" });
    expect(store.images.lookup("sound").damage).toBeUndefined();
    store.images.tag(parseReference("further"), sound.id);
    expect(removeImage(store, "broken", { force: false, users: [] }).deleted).toBe(broken.id);
    expect((await checkStore(store, { signal: never })).faults).toEqual([]);
  },
);
