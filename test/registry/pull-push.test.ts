import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { zstdCompressSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { blobDigestOf, sha256 } from "../../src/oci/digest.ts";
import { imageConfigJson } from "../../src/oci/image-config-json.ts";
import { mediaTypes } from "../../src/oci/media-types.ts";
import { canonicalReference, parseReference } from "../../src/oci/reference.ts";
import type { RegistryAccess } from "../../src/registry/access.ts";
import { type PullOptions, pullAllTags, pullImage } from "../../src/registry/pull-image.ts";
import { pushImage } from "../../src/registry/push-image.ts";
import type { TransferEvent } from "../../src/registry/transfer-event.ts";
import type { Store, StoredImage } from "../../src/store/store.ts";
import { htpasswdOfUser, startDockerRegistry } from "../support/docker-registry.ts";
import { buildImage } from "../support/images.ts";
import { lacks } from "../support/needs.ts";
import { temporaryTestFolder } from "../support/temporary-folder.ts";
import { temporaryStore } from "../support/temporary-store.ts";
import { type Answer, refuse, startServer } from "./http-server.ts";

const signal = new AbortController().signal;
const access: RegistryAccess = {
  environment: {},
  configDir: "/nowhere",
  warn: () => undefined,
  retryDelayMs: 1,
  timeoutMs: 5000,
};

interface Transfer {
  readonly events: TransferEvent[];
  pull(store: Store, name: string, options?: Partial<PullOptions>): Promise<StoredImage>;
  push(store: Store, name: string, options?: Partial<Parameters<typeof pushImage>[0]>): ReturnType<typeof pushImage>;
  /** The last state of each layer. */
  states(): readonly string[];
}

function transfer(): Transfer {
  const events: TransferEvent[] = [];
  const onEvent = (event: TransferEvent): void => void events.push(event);
  return {
    events,
    pull: (store, name, options) =>
      pullImage({ store, reference: parseReference(name), access, onEvent, signal, ...options }),
    push: (store, name, options) =>
      pushImage({ store, reference: parseReference(name), access, onEvent, signal, ...options }),
    states() {
      const last = new Map(
        events.flatMap((event) => (event.kind === "layerState" ? [[event.layer, event.state.kind]] : [])),
      );
      return [...last.values()];
    },
  };
}

const files = [
  { "bin/one": randomBytes(300_000), "etc/a": "a" },
  { "bin/two": randomBytes(200_000) },
  { "etc/b": "b" },
] as const;

function leftInTmp(store: Store): readonly string[] {
  return readdirSync(join(store.root, "tmp"), { recursive: true, encoding: "utf8" }).filter((name) =>
    /pull|push|layer/.test(name),
  );
}

describe.skipIf(lacks("root", "docker-registry"))("an image pushed to docker-registry", () => {
  test("and removed and pulled has the same ID, digest and files", async () => {
    using temporary = temporaryStore();
    const { store } = temporary;
    await using registry = await startDockerRegistry();
    const name = `${registry.host}/team/app:1`;
    const built = await buildImage(store, { layers: files, tags: [name], config: { Cmd: ["/bin/one"] } });
    const pushed = await transfer().push(store, name);
    const repoDigest = `${registry.host}/team/app@${pushed.digest}`;
    expect(pushed.image.repoDigests.map(canonicalReference)).toEqual([repoDigest]);
    using elsewhere = temporaryStore();
    const { pull, events, states } = transfer();
    const pulled = await pull(elsewhere.store, name);
    expect(pulled.id).toBe(built.id);
    expect(pulled.configBytes).toEqual(built.configBytes);
    expect(pulled.manifest?.raw).toEqual(pushed.image.manifest?.raw);
    expect(pulled.repoDigests.map(canonicalReference)).toEqual([repoDigest]);
    expect(pulled.references.map(canonicalReference)).toEqual([name]);
    expect(states()).toEqual(["pullComplete", "pullComplete", "pullComplete"]);
    expect(events.at(-1)).toMatchObject({ kind: "pulled", digest: pushed.digest, newer: true });
    const tree = elsewhere.store.layers.tree(pulled.chain[0] as never);
    expect(readFileSync(join(tree, "bin/one"))).toEqual(files[0]["bin/one"]);
    expect(leftInTmp(elsewhere.store)).toEqual([]);
  });

  test("is up to date when it is pulled again, and no blob is asked for", async () => {
    using temporary = temporaryStore();
    const { store } = temporary;
    await using registry = await startDockerRegistry();
    const name = `${registry.host}/app:1`;
    await buildImage(store, { layers: files, tags: [name] });
    await transfer().push(store, name);
    const { pull, events, states } = transfer();
    await pull(store, name);
    expect(states()).toEqual([]);
    expect(events.at(-1)).toMatchObject({ kind: "pulled", newer: false });
  });

  test("and pushed again exists already, and its manifest does not change", async () => {
    using temporary = temporaryStore();
    const { store } = temporary;
    await using registry = await startDockerRegistry();
    const name = `${registry.host}/app:1`;
    await buildImage(store, { layers: files, tags: [name] });
    const first = transfer();
    const { digest } = await first.push(store, name);
    expect(first.states()).toEqual(["pushed", "pushed", "pushed"]);
    const second = transfer();
    expect((await second.push(store, name)).digest).toBe(digest);
    expect(second.states()).toEqual(["layerAlreadyExists", "layerAlreadyExists", "layerAlreadyExists"]);
  });

  test("whose remembered blob cannot be made again is pushed as it comes out now", async () => {
    using temporary = temporaryStore();
    const { store } = temporary;
    await using registry = await startDockerRegistry();
    const name = `${registry.host}/app:1`;
    const image = await buildImage(store, { layers: files, tags: [name] });
    // As if another version of the compressor had made it.
    const { diffId } = store.layers.get(image.chain[0] as never);
    store.memo.set(`compressed gzip ${diffId}`, Buffer.from(`${sha256("of another zlib")} 123`));
    const { image: pushed } = await transfer().push(store, name);
    expect(pushed.manifest?.value.layers[0]?.digest).not.toBe(sha256("of another zlib"));
    using elsewhere = temporaryStore();
    expect((await transfer().pull(elsewhere.store, name)).id).toBe(image.id);
  });

  test("goes into another repository by mounting", async () => {
    using temporary = temporaryStore();
    const { store } = temporary;
    await using registry = await startDockerRegistry();
    const [one, two] = [`${registry.host}/one`, `${registry.host}/two`];
    await buildImage(store, { layers: files, tags: [one, two] });
    await transfer().push(store, one);
    const { push, states } = transfer();
    await push(store, two);
    expect(states()).toEqual(["mounted", "mounted", "mounted"]);
  });

  test("shares layers with what is here: only the others are asked for", async () => {
    using temporary = temporaryStore();
    const { store } = temporary;
    await using registry = await startDockerRegistry();
    const name = `${registry.host}/app`;
    const whole = await buildImage(store, { layers: files, tags: [name] });
    await transfer().push(store, name);
    using elsewhere = temporaryStore();
    await transfer().push(store, name);
    const half = store.images.add({
      config: imageConfigJson({
        ...whole.config,
        history: [],
        rootfs: { type: "layers", diff_ids: whole.config.rootfs.diff_ids.slice(0, 2) },
      }),
      chain: whole.chain.slice(0, 2),
    });
    store.images.tag(parseReference(`${name}:half`), half.id);
    await transfer().push(store, `${name}:half`);
    await transfer().pull(elsewhere.store, `${name}:half`);
    const { pull, states } = transfer();
    await pull(elsewhere.store, name);
    expect(states()).toEqual(["alreadyExists", "alreadyExists", "pullComplete"]);
  });

  test("with --compression zstd has zstd layers, and comes back", async () => {
    using temporary = temporaryStore();
    const { store } = temporary;
    await using registry = await startDockerRegistry();
    const name = `${registry.host}/app`;
    const { id } = await buildImage(store, { layers: files, tags: [name] });
    const { image } = await transfer().push(store, name, { compression: "zstd" });
    expect(image.manifest?.value.layers.map(({ mediaType }) => mediaType)).toEqual(
      Array(3).fill(mediaTypes.ociLayerZstd),
    );
    using elsewhere = temporaryStore();
    expect((await transfer().pull(elsewhere.store, name)).id).toBe(id);
  });

  test("keeps its manifest and its packed layers when it goes elsewhere", async () => {
    using temporary = temporaryStore();
    const { store } = temporary;
    await using one = await startDockerRegistry();
    await using two = await startDockerRegistry();
    const built = await buildImage(store, { layers: files, tags: [`${one.host}/app`] });
    const { digest } = await transfer().push(store, `${one.host}/app`, { compression: "zstd" });
    using elsewhere = temporaryStore();
    await transfer().pull(elsewhere.store, `${one.host}/app`);
    elsewhere.store.images.tag(parseReference(`${two.host}/copy`), built.id);
    const moved = transfer();
    expect((await moved.push(elsewhere.store, `${two.host}/copy`)).digest).toBe(digest);
    expect(moved.states()).toEqual(["pushed", "pushed", "pushed"]);
  });

  test("is pulled by all its tags", async () => {
    using temporary = temporaryStore();
    const { store } = temporary;
    await using registry = await startDockerRegistry();
    const tags = ["1", "2"].map((tag) => `${registry.host}/app:${tag}`);
    const { id } = await buildImage(store, { layers: files, tags });
    for (const tag of tags) await transfer().push(store, tag);
    using elsewhere = temporaryStore();
    const { domain, path } = parseReference(tags[0] as string);
    await pullAllTags({ store: elsewhere.store, reference: { domain, path }, access, signal });
    expect(elsewhere.store.images.get(id)?.references.map(canonicalReference)).toEqual(tags);
  });

  test("with a password is refused without it, in docker's words", async () => {
    using temporary = temporaryStore();
    const { store } = temporary;
    await using registry = await startDockerRegistry({ htpasswd: htpasswdOfUser });
    const name = `${registry.host}/app`;
    await buildImage(store, { layers: files, tags: [name] });
    await expect(transfer().push(store, name)).rejects.toMatchObject({
      code: "REGISTRY_DENIED",
      message: expect.stringMatching(
        /^unauthorized: authentication required \(.*, repository app, HTTP 401, without credentials\)$/,
      ),
      hint: `log in: tsbuild login ${registry.host}`,
    });
    await expect(transfer().pull(store, name)).rejects.toMatchObject({
      code: "REGISTRY_DENIED",
      message: expect.stringMatching(
        new RegExp(
          `^pull access denied for ${name}, repository does not exist or may require 'tsbuild login': unauthorized`,
        ),
      ),
    });
    const auth = JSON.stringify({
      auths: { [registry.host]: { auth: Buffer.from("user:secret").toString("base64") } },
    });
    const known = { ...access, environment: { DOCKER_AUTH_CONFIG: auth } };
    await transfer().push(store, name, { access: known });
    await transfer().pull(store, name, { access: known });
  });

  test("that is not there is an error with the name that was asked for", async () => {
    using temporary = temporaryStore();
    await using registry = await startDockerRegistry();
    await expect(transfer().pull(temporary.store, `${registry.host}/app:nope`)).rejects.toMatchObject({
      code: "REGISTRY_NOT_FOUND",
      message: expect.stringContaining(`manifest for ${registry.host}/app:nope not found: manifest unknown`),
    });
    await expect(transfer().push(temporary.store, `${registry.host}/app:nope`)).rejects.toMatchObject({
      code: "IMAGE_NOT_FOUND",
      message: `An image does not exist locally with the tag: ${registry.host}/app`,
    });
  });

  test.skipIf(lacks("skopeo", "umoci"))("is read by skopeo and unpacked by umoci", async () => {
    using temporary = temporaryStore();
    using folder = temporaryTestFolder("tools");
    const { store } = temporary;
    await using registry = await startDockerRegistry();
    const name = `${registry.host}/app:1`;
    await buildImage(store, { layers: files, tags: [name], config: { Cmd: ["/bin/one"] } });
    const { digest } = await transfer().push(store, name);
    const inspected = JSON.parse(
      execFileSync("skopeo", ["inspect", "--tls-verify=false", `docker://${name}`], { encoding: "utf8" }),
    );
    expect(inspected).toMatchObject({ Digest: digest, Architecture: store.images.list()[0]?.config.architecture });
    const layout = join(folder.path, "layout");
    execFileSync(
      "skopeo",
      ["copy", "--insecure-policy", "--src-tls-verify=false", `docker://${name}`, `oci:${layout}:1`],
      { stdio: "ignore" },
    );
    execFileSync("umoci", ["unpack", "--image", `${layout}:1`, join(folder.path, "bundle")], { stdio: "ignore" });
    expect(readFileSync(join(folder.path, "bundle/rootfs/bin/two"))).toEqual(files[1]["bin/two"]);
  });
});

// Servers that misbehave ------------------------------------------------------------------------------------------

interface Content {
  readonly answer: (path: string) => { bytes: Buffer; type?: string } | undefined;
}

/** What a registry holds, from an image in `store`; manifests by tag and digest. */
async function contentOf(): Promise<Content & { image: StoredImage; manifest: Buffer }> {
  using source = temporaryStore();
  const { store } = source;
  const image = await buildImage(store, { layers: files });
  using folder = temporaryTestFolder("content");
  const blobs = new Map<string, Buffer>([[blobDigestOf(image.id), image.configBytes]]);
  const layers = [];
  for (const id of image.chain) {
    const file = join(folder.path, id);
    const descriptor = await store.layers.writeCompressed(id, file, "gzip", signal);
    blobs.set(descriptor.digest, readFileSync(file));
    layers.push(descriptor);
  }
  const config = { mediaType: mediaTypes.ociConfig, digest: blobDigestOf(image.id), size: image.configBytes.length };
  const manifest = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.ociManifest, config, layers }));
  return {
    image,
    manifest,
    answer: (path) => {
      const name = path.split("/").at(-1) ?? "";
      if (name === "latest" || name === sha256(manifest)) return { bytes: manifest, type: mediaTypes.ociManifest };
      const bytes = blobs.get(name);
      return bytes === undefined ? undefined : { bytes };
    },
  };
}

describe.skipIf(lacks("root"))("a pull from a registry", () => {
  test.for([
    { name: "that cuts each connection", break: "cut", says: /the connection was cut|ended after/ },
    { name: "that sends other bytes", break: "bytes", says: /is not what was asked for/ },
    { name: "that says 500 to a blob", break: "500", says: /internal server error.*HTTP 500/ },
    { name: "that has not got a blob", break: "404", says: /not found/ },
  ])("$name: one error, nothing in the store", async ({ break: how, says }) => {
    using temporary = temporaryStore();
    const { store } = temporary;
    const content = await contentOf();
    const last = JSON.parse(content.manifest.toString()).layers[0].digest as string;
    await using server = await startServer((request, response, url) => {
      const found = content.answer(url.pathname);
      if (found === undefined) return void response.end();
      if (!url.pathname.endsWith(last))
        return void response
          .writeHead(200, found.type === undefined ? {} : { "content-type": found.type })
          .end(found.bytes);
      if (how === "500") return void response.writeHead(500).end();
      if (how === "404") return refuse(response, 404, "BLOB_UNKNOWN", "blob unknown to registry");
      if (how === "bytes") return void response.end(Buffer.alloc(found.bytes.length));
      response.writeHead(200, { "content-length": found.bytes.length });
      response.write(found.bytes.subarray(0, found.bytes.length / 2), () => request.socket.destroy());
    });
    await expect(transfer().pull(store, `${server.host}/x`)).rejects.toMatchObject({
      message: expect.stringMatching(says),
    });
    expect(store.images.list()).toEqual([]);
    expect(leftInTmp(store)).toEqual([]);
  });

  test("whose layers are half here takes the other half", async () => {
    using temporary = temporaryStore();
    const { store } = temporary;
    const content = await contentOf();
    const broken = JSON.parse(content.manifest.toString()).layers[2].digest as string;
    let isBroken = true;
    await using server = await startServer((_, response, url) => {
      const found = content.answer(url.pathname);
      if (found === undefined) return void response.end();
      if (isBroken && url.pathname.endsWith(broken)) return void response.writeHead(404).end();
      response.writeHead(200, found.type === undefined ? {} : { "content-type": found.type }).end(found.bytes);
    });
    await expect(transfer().pull(store, `${server.host}/x`, { jobs: 1 })).rejects.toThrow();
    isBroken = false;
    const image = await transfer().pull(store, `${server.host}/x`);
    expect(image.id).toBe(content.image.id);
  });

  test("takes the image of an index for a platform, or names those there are", async () => {
    using temporary = temporaryStore();
    const { store } = temporary;
    const content = await contentOf();
    const descriptor = {
      mediaType: mediaTypes.ociManifest,
      digest: sha256(content.manifest),
      size: content.manifest.length,
    };
    const index = Buffer.from(
      JSON.stringify({
        schemaVersion: 2,
        mediaType: mediaTypes.ociIndex,
        manifests: [
          { ...descriptor, platform: { os: "linux", architecture: "s390x" } },
          { ...descriptor, digest: sha256("other"), platform: { os: "linux", architecture: "ppc64le" } },
          { ...descriptor, digest: sha256("attestation"), platform: { os: "unknown", architecture: "unknown" } },
        ],
      }),
    );
    await using server = await startServer((_, response, url) => {
      const found = url.pathname.endsWith("/multi")
        ? { bytes: index, type: mediaTypes.ociIndex }
        : content.answer(url.pathname);
      if (found === undefined) return void response.end();
      response.writeHead(200, found.type === undefined ? {} : { "content-type": found.type }).end(found.bytes);
    });
    const name = `${server.host}/x:multi`;
    const { pull, events } = transfer();
    const image = await pull(store, name, { platform: { os: "linux", architecture: "s390x" } });
    expect(image.id).toBe(content.image.id);
    expect(image.manifest?.raw).toEqual(content.manifest);
    expect(events.at(-1)).toMatchObject({ digest: sha256(index) });
    expect(image.repoDigests.map(canonicalReference)).toEqual([`${server.host}/x@${sha256(index)}`]);
    await expect(
      transfer().pull(store, name, { platform: { os: "linux", architecture: "386" } }),
    ).rejects.toMatchObject({
      code: "REGISTRY_NOT_FOUND",
      message: `no match for platform linux/386 in the manifest of ${name}, available: linux/ppc64le, linux/s390x`,
    });
  });

  test.for([
    {
      name: "a config with too few diffIDs",
      edit: (json: { rootfs: { diff_ids: string[] } }) => json.rootfs.diff_ids.pop(),
      code: "UNSUPPORTED",
    },
    {
      name: "a config with a wrong diffID",
      edit: (json: { rootfs: { diff_ids: string[] } }) => json.rootfs.diff_ids.splice(0, 1, sha256("x")),
      code: "ARCHIVE_INVALID",
    },
  ])("with $name is refused", async ({ edit, code }) => {
    using temporary = temporaryStore();
    const { store } = temporary;
    const content = await contentOf();
    const json = JSON.parse(content.image.configBytes.toString());
    edit(json);
    const config = Buffer.from(JSON.stringify(json));
    const manifest = JSON.parse(content.manifest.toString());
    manifest.config = { ...manifest.config, digest: sha256(config), size: config.length };
    const raw = Buffer.from(JSON.stringify(manifest));
    await using server = await startServer((_, response, url) => {
      if (url.pathname.endsWith("/latest"))
        return void response.writeHead(200, { "content-type": mediaTypes.ociManifest }).end(raw);
      if (url.pathname.endsWith(sha256(config))) return void response.end(config);
      response.end(content.answer(url.pathname)?.bytes);
    });
    await expect(transfer().pull(store, `${server.host}/x`)).rejects.toMatchObject({ code });
    expect(store.images.list()).toEqual([]);
  });

  test("reads layers of several zstd frames, as podman writes them", async () => {
    using temporary = temporaryStore();
    const { store } = temporary;
    using source = temporaryStore();
    const image = await buildImage(source.store, { layers: [files[0]] });
    using folder = temporaryTestFolder("zstd");
    await source.store.layers.writeTar(image.chain[0] as never, join(folder.path, "tar"), signal);
    const tar = readFileSync(join(folder.path, "tar"));
    const packed = Buffer.concat([zstdCompressSync(tar.subarray(0, 100_000)), zstdCompressSync(tar.subarray(100_000))]);
    const config = { mediaType: mediaTypes.ociConfig, digest: blobDigestOf(image.id), size: image.configBytes.length };
    const layer = { mediaType: mediaTypes.ociLayerZstd, digest: sha256(packed), size: packed.length };
    const raw = Buffer.from(
      JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.ociManifest, config, layers: [layer] }),
    );
    await using server = await startServer((_, response, url) => {
      if (url.pathname.endsWith("/latest")) return void response.end(raw);
      response.end(url.pathname.endsWith(layer.digest) ? packed : image.configBytes);
    });
    expect((await transfer().pull(store, `${server.host}/x`)).id).toBe(image.id);
  });

  test("comes from a mirror that has it, without the registry's credentials, else from the registry", async () => {
    const content = await contentOf();
    const serve =
      (isThere: boolean): Answer =>
      (_, response, url) => {
        const found = content.answer(url.pathname);
        if (url.pathname === "/v2/") return void response.end();
        if (!isThere || found === undefined) return void response.writeHead(404).end();
        response.writeHead(200, found.type === undefined ? {} : { "content-type": found.type }).end(found.bytes);
      };
    await using empty = await startServer(serve(false));
    await using full = await startServer(serve(true));
    await using origin = await startServer(serve(true));
    using folder = temporaryTestFolder("mirrors");
    const file = join(folder.path, "config.json");
    const pullBy = async (...mirrors: string[]): Promise<void> => {
      using temporary = temporaryStore();
      writeFileSync(file, JSON.stringify({ registries: { [origin.host]: { mirrors } } }));
      const image = await transfer().pull(temporary.store, `${origin.host}/x`, {
        access: { ...access, configFiles: { own: [file], docker: [] } },
      });
      expect(image.id).toBe(content.image.id);
      expect(image.references.map(canonicalReference)).toEqual([`${origin.host}/x:latest`]);
    };
    await pullBy("http://127.0.0.1:1", `http://${empty.host}`, `http://${full.host}`);
    expect(empty.requests.length).toBe(1);
    expect(full.requests.length).toBeGreaterThan(3);
    expect(origin.requests).toEqual([]);
    await pullBy(`http://${empty.host}`);
    expect(origin.requests.length).toBeGreaterThan(3);
  });

  test("that stalls in the middle of a blob goes on, or is an error", async () => {
    using temporary = temporaryStore();
    const content = await contentOf();
    let stalls = 1;
    await using server = await startServer((request, response, url) => {
      const found = content.answer(url.pathname);
      if (found === undefined) return void response.end();
      const from = Number(/\d+/.exec(request.headers.range ?? "0")?.[0]);
      const headers =
        from === 0
          ? { "content-length": found.bytes.length }
          : { "content-range": `bytes ${from}-${found.bytes.length - 1}/${found.bytes.length}` };
      response.writeHead(from === 0 ? 200 : 206, {
        ...headers,
        ...(found.type !== undefined && { "content-type": found.type }),
      });
      if (found.bytes.length < 250_000 || stalls-- <= 0) return void response.end(found.bytes.subarray(from));
      response.write(found.bytes.subarray(from, from + 1000));
    });
    const short = { ...access, timeoutMs: 100 };
    expect((await transfer().pull(temporary.store, `${server.host}/x`, { access: short })).id).toBe(content.image.id);
    using another = temporaryStore();
    stalls = 100;
    await expect(transfer().pull(another.store, `${server.host}/x`, { access: short })).rejects.toThrow(
      "nothing came for too long",
    );
  });

  test("that is ended by Ctrl-C leaves nothing", async () => {
    using temporary = temporaryStore();
    const { store } = temporary;
    const content = await contentOf();
    const abort = new AbortController();
    await using server = await startServer((_, response, url) => {
      const found = content.answer(url.pathname);
      if (found === undefined) return void response.end();
      if (found.bytes.length < 100_000)
        return void response
          .writeHead(200, found.type === undefined ? {} : { "content-type": found.type })
          .end(found.bytes);
      response.writeHead(200, { "content-length": found.bytes.length });
      response.write(found.bytes.subarray(0, 1000), () => abort.abort("SIGINT"));
    });
    await expect(transfer().pull(store, `${server.host}/x`, { signal: abort.signal })).rejects.toBe("SIGINT");
    expect(leftInTmp(store)).toEqual([]);
  });
});
