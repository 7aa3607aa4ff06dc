import { randomBytes } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import type { Descriptor } from "../../src/oci/descriptor.ts";
import { sha256 } from "../../src/oci/digest.ts";
import { mediaTypes } from "../../src/oci/media-types.ts";
import { RegistryClient } from "../../src/registry/client.ts";
import type { Credential } from "../../src/registry/credentials.ts";
import { htpasswdOfUser, startDockerRegistry } from "../support/docker-registry.ts";
import { lacks } from "../support/needs.ts";
import { temporaryTestFolder } from "../support/temporary-folder.ts";
import { type Answer, refuse, startServer } from "./http-server.ts";

const signal = new AbortController().signal;
const user: Credential = { kind: "password", username: "user", password: "secret", from: "a test" };

function clientFor(host: string, credential?: Credential, timeoutMs = 5000): RegistryClient {
  const warn = (): void => undefined;
  return new RegistryClient(host, credential, {
    environment: {},
    configDir: "/nowhere",
    warn,
    retryDelayMs: 1,
    timeoutMs,
  });
}

const bytes = randomBytes(3_000_000);
const layer: Descriptor = { mediaType: mediaTypes.ociLayer, digest: sha256(bytes), size: bytes.length };
const blobPath = `/v2/x/blobs/${layer.digest}`;

async function download(host: string, options: { timeoutMs?: number; signal?: AbortSignal } = {}): Promise<Buffer> {
  using folder = temporaryTestFolder("download");
  const file = join(folder.path, "blob");
  await using client = clientFor(host, undefined, options.timeoutMs);
  await client.downloadBlob("x", layer, { file, onProgress: () => undefined, signal: options.signal ?? signal });
  return readFileSync(file);
}

describe.skipIf(lacks("docker-registry"))("docker-registry", () => {
  test("takes a blob and a manifest, and gives them back", async () => {
    using folder = temporaryTestFolder("upload");
    await using registry = await startDockerRegistry();
    await using client = clientFor(registry.host);
    const file = join(folder.path, "blob");
    writeFileSync(file, bytes);
    expect(await client.hasBlob("a/b", layer.digest, signal)).toBe(false);
    const seen: number[] = [];
    await client.uploadBlob("a/b", layer, { source: { file }, onProgress: (sent) => seen.push(sent), signal });
    expect(seen.at(-1)).toBe(bytes.length);
    expect(await client.hasBlob("a/b", layer.digest, signal)).toBe(true);
    expect(await client.mountBlob("c", layer.digest, "a/b", signal)).toBe(true);
    expect(await client.hasBlob("c", layer.digest, signal)).toBe(true);
    const config = Buffer.from("{}");
    const configDescriptor = { mediaType: mediaTypes.ociConfig, digest: sha256(config), size: 2 };
    await client.uploadBlob("a/b", configDescriptor, { source: { bytes: config }, signal });
    const mediaType = mediaTypes.ociManifest;
    const raw = Buffer.from(
      JSON.stringify({ schemaVersion: 2, mediaType, config: configDescriptor, layers: [layer] }, undefined, 2),
    );
    await client.putManifest("a/b", "latest", { raw, mediaType, digest: sha256(raw) }, signal);
    const got = await client.manifest("a/b", "latest", signal);
    expect(got).toMatchObject({ raw, digest: sha256(raw), contentType: mediaType });
    expect(await client.blob("a/b", configDescriptor, signal)).toEqual(config);
    expect(await client.tags("a/b", signal)).toEqual(["latest"]);
    await client.downloadBlob("a/b", layer, { file: `${file}.back`, onProgress: () => undefined, signal });
    expect(readFileSync(`${file}.back`).equals(bytes)).toBe(true);
  });

  test("does not mount what is not there", async () => {
    await using registry = await startDockerRegistry();
    await using client = clientFor(registry.host);
    expect(await client.mountBlob("c", layer.digest, "a/b", signal)).toBe(false);
  });

  test("with a password lets in who knows it, and nobody else", async () => {
    await using registry = await startDockerRegistry({ htpasswd: htpasswdOfUser });
    await using known = clientFor(registry.host, user);
    await known.ping(signal);
    expect(await known.hasBlob("a/b", layer.digest, signal)).toBe(false);
    await using anonymous = clientFor(registry.host);
    await expect(anonymous.ping(signal)).rejects.toMatchObject({
      answer: { status: 401, code: "UNAUTHORIZED", credentials: "without credentials" },
    });
    await using wrong = clientFor(registry.host, { ...user, password: "wrong" });
    await expect(wrong.ping(signal)).rejects.toMatchObject({
      answer: { status: 401, credentials: "as user from a test" },
    });
  });
});

describe("a blob that is cut", () => {
  const cutAt =
    (length: number, from = 0): Answer =>
    (request, response) => {
      response.writeHead(from === 0 ? 200 : 206, {
        "content-length": bytes.length - from,
        ...(from > 0 && { "content-range": `bytes ${from}-${bytes.length - 1}/${bytes.length}` }),
      });
      response.write(bytes.subarray(from, length), () => request.socket.destroy());
    };

  test("goes on where it was", async () => {
    const ranges: (string | undefined)[] = [];
    await using server = await startServer((request, response, url) => {
      if (url.pathname !== blobPath) return void response.end();
      ranges.push(request.headers.range);
      const from = Number(/\d+/.exec(request.headers.range ?? "0")?.[0]);
      if (ranges.length < 3) return cutAt(ranges.length * 1_000_000, from)(request, response, url);
      response.writeHead(206, { "content-range": `bytes ${from}-${bytes.length - 1}/${bytes.length}` });
      response.end(bytes.subarray(from));
    });
    expect((await download(server.host)).equals(bytes)).toBe(true);
    expect(ranges[0]).toBeUndefined();
    expect(ranges.slice(1).every((range) => /^bytes=[1-9]\d*-$/.test(range ?? ""))).toBe(true);
  });

  test("comes whole from a server without ranges", async () => {
    let tries = 0;
    await using server = await startServer((request, response, url) => {
      if (url.pathname !== blobPath) return void response.end();
      if (++tries === 1) return cutAt(1_000_000)(request, response, url);
      response.end(bytes);
    });
    expect((await download(server.host)).equals(bytes)).toBe(true);
  });

  test("again and again is one clear error after four tries", async () => {
    await using server = await startServer((request, response, url) =>
      url.pathname === blobPath
        ? cutAt(1000, Number(/\d+/.exec(request.headers.range ?? "0")?.[0]))(request, response, url)
        : response.end(),
    );
    await expect(download(server.host)).rejects.toMatchObject({
      code: "REGISTRY_FAILED",
      message: expect.stringMatching(/the connection was cut|ended after/),
    });
    expect(server.requests.length).toBe(4);
  });
});

describe("what is not what was asked for", () => {
  test.for([
    { name: "other bytes", body: Buffer.alloc(bytes.length), says: "is not what was asked for" },
    { name: "more bytes", body: Buffer.concat([bytes, Buffer.from("x")]), says: "got more" },
    { name: "fewer bytes", body: bytes.subarray(1), says: "it ended after" },
  ])("$name: refused", async ({ body, says }) => {
    await using server = await startServer((_, response) => response.end(body));
    await expect(download(server.host)).rejects.toMatchObject({
      code: "REGISTRY_FAILED",
      message: expect.stringContaining(says),
    });
  });

  test("a manifest with another digest than the header's is refused", async () => {
    await using server = await startServer((_, response) => {
      response.writeHead(200, { "docker-content-digest": sha256("other"), "content-type": mediaTypes.ociManifest });
      response.end("{}");
    });
    await using client = clientFor(server.host);
    await expect(client.manifest("x", "latest", signal)).rejects.toThrow("is not what was asked for");
  });

  test("a manifest without end is refused", async () => {
    await using server = await startServer((_, response, url) => {
      if (url.pathname === "/v2/") return void response.end();
      const more = (): void => void (response.destroyed || response.write(Buffer.alloc(1 << 16), more));
      more();
    });
    await using client = clientFor(server.host);
    await expect(client.manifest("x", "latest", signal)).rejects.toThrow("longer than 4194304 bytes");
  });
});

describe("a status that may pass", () => {
  test.for([408, 429, 500, 502, 503, 504])("%i is tried again", async (status) => {
    let tries = 0;
    await using server = await startServer((_, response, url) => {
      if (url.pathname !== blobPath) return void response.end();
      if (++tries > 2) return void response.end(bytes);
      response.writeHead(status, { "retry-after": "0" }).end();
    });
    expect((await download(server.host)).equals(bytes)).toBe(true);
  });

  test("with a wait of an hour is told at once", async () => {
    await using server = await startServer(
      (_, response) => void response.writeHead(429, { "retry-after": "3600" }).end(),
    );
    await using client = clientFor(server.host);
    await expect(client.manifest("x", "latest", signal)).rejects.toMatchObject({
      code: "REGISTRY_FAILED",
      hint: "it asks to wait 3600 seconds: try again then, or log in",
    });
    expect(server.requests.length).toBe(1);
  });

  test("that stays is an error with the registry's words", async () => {
    await using server = await startServer((_, response) =>
      refuse(response, 500, "UNKNOWN", "the disk\nis \x1b[31mfull"),
    );
    await using client = clientFor(server.host);
    await expect(client.manifest("x", "latest", signal)).rejects.toMatchObject({
      code: "REGISTRY_FAILED",
      message: `getting the manifest of x failed: unknown: the disk is [31mfull (${server.host}, repository x, HTTP 500, without credentials)`,
    });
    expect(server.requests.length).toBe(4);
  });

  test.for([400, 403, 404, 418])("%i is not tried again", async (status) => {
    await using server = await startServer(
      (_, response, url) => void (url.pathname === "/v2/" ? response.end() : response.writeHead(status).end()),
    );
    await using client = clientFor(server.host);
    await expect(client.manifest("x", "latest", signal)).rejects.toMatchObject({ answer: { status } });
    expect(server.requests.length).toBe(1);
  });
});

describe("no answer", () => {
  test("nobody listens: at once, and says so", async () => {
    await using client = clientFor("127.0.0.1:1");
    await expect(client.manifest("x", "latest", signal)).rejects.toThrow(
      "http://127.0.0.1:1 cannot be reached: connection refused",
    );
  });

  test("a server that never answers is an error after the time limit", async () => {
    await using server = await startServer((_, response, url) => void (url.pathname === "/v2/" && response.end()));
    await using client = clientFor(server.host, undefined, 50);
    await expect(client.manifest("x", "latest", signal)).rejects.toThrow("nothing came for too long");
  });

  test("an abort ends the transfer with its reason", async () => {
    const abort = new AbortController();
    await using server = await startServer((_, response, url) => {
      if (url.pathname !== blobPath) return void response.end();
      response.writeHead(200, { "content-length": bytes.length });
      response.write(bytes.subarray(0, 1000), () => abort.abort("SIGINT"));
    });
    await expect(download(server.host, { signal: abort.signal })).rejects.toBe("SIGINT");
  });
});

describe("a redirect", () => {
  test("to another host takes no credentials along", async () => {
    let authorization: string | undefined = "not asked";
    await using storage = await startServer((request, response) => {
      authorization = request.headers.authorization;
      response.end(bytes);
    });
    await using server = await startServer((request, response, url) => {
      if (request.headers.authorization === undefined) {
        response.writeHead(401, { "www-authenticate": 'Basic realm="x"' }).end();
        return;
      }
      if (url.pathname === "/v2/") return void response.end();
      response.writeHead(307, { location: `http://${storage.host}/blob?signature=secret` }).end();
    });
    using folder = temporaryTestFolder("redirect");
    await using client = clientFor(server.host, user);
    const file = join(folder.path, "blob");
    await client.downloadBlob("x", layer, { file, onProgress: () => undefined, signal });
    expect(authorization).toBeUndefined();
    expect(existsSync(file)).toBe(true);
  });

  test("without end is an error", async () => {
    await using server = await startServer(
      (_, response, url) =>
        void (url.pathname === "/v2/"
          ? response.end()
          : response.writeHead(302, { location: url.href.replace("http://x", "") }).end()),
    );
    await using client = clientFor(server.host);
    await expect(client.manifest("x", "latest", signal)).rejects.toThrow("redirects without end");
  });

  test("to a file is an error", async () => {
    await using server = await startServer(
      (_, response, url) =>
        void (url.pathname === "/v2/"
          ? response.end()
          : response.writeHead(302, { location: "file:///etc/passwd" }).end()),
    );
    await using client = clientFor(server.host);
    await expect(client.manifest("x", "latest", signal)).rejects.toThrow("no web address");
  });
});

describe("bearer tokens", () => {
  interface TokenServer {
    readonly answer: Answer;
    readonly asked: { scope: string | null; account: string | null; authorization: string | undefined; form: string }[];
  }
  /** Registry and token service in one; `token` answers for the service. */
  function tokenServer(
    host: () => string,
    token: (n: number) => string,
    good: (authorization: string) => boolean,
  ): TokenServer {
    const asked: TokenServer["asked"] = [];
    return {
      asked,
      answer: (request, response, url) => {
        if (url.pathname === "/token") {
          let form = "";
          request.on("data", (chunk) => {
            form += chunk;
          });
          request.on("end", () => {
            const { searchParams } = url;
            asked.push({
              scope: searchParams.get("scope"),
              account: searchParams.get("account"),
              authorization: request.headers.authorization,
              form,
            });
            response.end(token(asked.length));
          });
          return;
        }
        if (good(request.headers.authorization ?? "")) return void response.end("{}");
        response.writeHead(401, {
          "www-authenticate": `Bearer realm="http://${host()}/token",service="it, and others",scope="repository:x:pull"`,
        });
        response.end(JSON.stringify({ errors: [{ code: "UNAUTHORIZED", message: "authentication required" }] }));
      },
    };
  }

  test("are fetched once for a scope, with the user's name and password", async () => {
    let host = "";
    const service = tokenServer(
      () => host,
      () => JSON.stringify({ token: "abc", expires_in: 300 }),
      (sent) => sent === "Bearer abc",
    );
    await using server = await startServer(service.answer);
    host = server.host;
    await using client = clientFor(host, user);
    await client.manifest("x", "latest", signal);
    await client.manifest("x", "latest", signal);
    expect(service.asked).toEqual([
      {
        scope: "repository:x:pull",
        account: "user",
        authorization: `Basic ${Buffer.from("user:secret").toString("base64")}`,
        form: "",
      },
    ]);
  });

  test("are exchanged for an identity token by POST", async () => {
    let host = "";
    const service = tokenServer(
      () => host,
      () => JSON.stringify({ access_token: "abc" }),
      (sent) => sent === "Bearer abc",
    );
    await using server = await startServer(service.answer);
    host = server.host;
    await using client = clientFor(host, { kind: "identityToken", username: "", token: "refresh-me", from: "a test" });
    await client.manifest("x", "latest", signal);
    expect(Object.fromEntries(new URLSearchParams(service.asked[0]?.form))).toEqual({
      grant_type: "refresh_token",
      client_id: "tsbuild",
      refresh_token: "refresh-me",
      service: "it, and others",
      scope: "repository:x:pull",
    });
  });

  test("that expire in the middle are fetched again", async () => {
    let host = "";
    let now = "t1";
    const service = tokenServer(
      () => host,
      (n) => JSON.stringify({ token: `t${n}`, expires_in: 300 }),
      (sent) => sent === `Bearer ${now}`,
    );
    await using server = await startServer(service.answer);
    host = server.host;
    await using client = clientFor(host);
    await client.manifest("x", "latest", signal);
    now = "t2";
    await client.manifest("x", "latest", signal);
    expect(service.asked.length).toBe(2);
  });

  test("that never suit are an error, not a loop", async () => {
    let host = "";
    const service = tokenServer(
      () => host,
      () => JSON.stringify({ token: "abc" }),
      () => false,
    );
    await using server = await startServer(service.answer);
    host = server.host;
    await using client = clientFor(host, user);
    await expect(client.manifest("x", "latest", signal)).rejects.toMatchObject({
      answer: { status: 401, code: "UNAUTHORIZED" },
    });
    expect(service.asked.length).toBeLessThan(4);
  });

  test.for([
    { name: "no JSON", token: "<html>", says: "not JSON" },
    { name: "no token", token: "{}", says: "no token" },
    { name: "a token that would end the header", token: JSON.stringify({ token: "a\r\nx: y" }), says: "no token" },
    { name: "no end", token: "x".repeat(2 << 20), says: "longer than" },
  ])("of a service that sends $name: an error", async ({ token, says }) => {
    let host = "";
    const service = tokenServer(
      () => host,
      () => token,
      () => false,
    );
    await using server = await startServer(service.answer);
    host = server.host;
    await using client = clientFor(host, user);
    await expect(client.manifest("x", "latest", signal)).rejects.toThrow(says);
  });

  test("of a service whose address is none: an error", async () => {
    await using server = await startServer((_, response) => {
      response.writeHead(401, { "www-authenticate": 'Bearer realm="gopher://x/token"' }).end();
    });
    await using client = clientFor(server.host, user);
    await expect(client.manifest("x", "latest", signal)).rejects.toThrow("is no web address");
  });
});
