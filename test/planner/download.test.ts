/** Files at URLs, from servers that behave as servers do. */
import { createHash, randomBytes } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, statSync } from "node:fs";
import { createServer, type RequestListener, type Server } from "node:http";
import { createServer as createTlsServer } from "node:https";
import { type AddressInfo, connect } from "node:net";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import type { SecretSource } from "../../src/planner/build-options.ts";
import { type Download, type DownloadRequest, download, httpTime } from "../../src/planner/download.ts";
import { type Authority, makeAuthority } from "../support/authority.ts";
import { lacks } from "../support/needs.ts";
import { type TemporaryTestFolder, temporaryTestFolder } from "../support/temporary-folder.ts";

let folder: TemporaryTestFolder;
let count = 0;
beforeAll(() => {
  folder = temporaryTestFolder("download");
});
afterAll(() => folder[Symbol.dispose]());

interface Listening extends AsyncDisposable {
  readonly url: string;
  readonly port: number;
}

async function listening(server: Server, scheme = "http"): Promise<Listening> {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `${scheme}://127.0.0.1:${port}`,
    port,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
const serve = (listener: RequestListener): Promise<Listening> => listening(createServer(listener));

interface Given {
  readonly environment?: Readonly<Record<string, string | undefined>>;
  readonly secrets?: Readonly<Record<string, SecretSource>>;
  readonly etag?: string;
  readonly signal?: AbortSignal;
}

/** The file and its content; or undefined when it is still the same. */
async function fetch(url: string, given: Given = {}): Promise<(Download & { readonly text: string }) | undefined> {
  const { environment = {}, secrets = {}, etag, signal = new AbortController().signal } = given;
  const request: DownloadRequest = {
    url,
    path: join(folder.path, `file${count++}`),
    ...(etag !== undefined && { etag }),
    access: { environment, secrets: new Map(Object.entries(secrets)) },
    where: undefined,
    signal,
  };
  try {
    const got = await download(request);
    return got === undefined ? undefined : { ...got, text: readFileSync(got.path, "utf8") };
  } catch (error) {
    expect(existsSync(request.path), "half a file stays").toBe(false);
    throw error;
  }
}
const text = async (url: string, given?: Given): Promise<string | undefined> => (await fetch(url, given))?.text;

describe("bodies", () => {
  test("in chunks, without a length", async () => {
    await using server = await serve((_, response) => {
      response.write("one ");
      response.write("two");
      response.end();
    });
    expect(await fetch(server.url)).toMatchObject({ text: "one two", sizeBytes: 7 });
  });

  test("that end with the connection", async () => {
    await using server = await serve((request, response) => {
      request.socket.end("HTTP/1.0 200 OK\r\n\r\nuntil the end");
      response.detachSocket(request.socket);
    });
    expect(await text(server.url)).toBe("until the end");
  });

  test("an empty one", async () => {
    await using server = await serve((_, response) => response.writeHead(204).end());
    expect(await fetch(server.url)).toMatchObject({ text: "", sizeBytes: 0 });
  });

  test("compressed for the way, which is asked for", async () => {
    const asked: unknown[] = [];
    await using server = await serve((request, response) => {
      asked.push(request.headers["accept-encoding"]);
      response.writeHead(200, { "content-encoding": "gzip" }).end(gzipSync("plain again"));
    });
    const got = await fetch(server.url);
    expect(got).toMatchObject({ text: "plain again", sizeBytes: 11 });
    expect(got?.digest).toBe(`sha256:${createHash("sha256").update("plain again").digest("hex")}`);
    expect(asked).toEqual(["gzip"]);
  });

  test("an archive that is compressed by itself is left alone", async () => {
    const body = gzipSync("an archive");
    await using server = await serve((_, response) =>
      response.writeHead(200, { "content-type": "application/gzip" }).end(body),
    );
    expect(readFileSync((await fetch(server.url))?.path ?? "")).toEqual(body);
  });

  test.for([
    { name: "short of their length", send: { "content-length": "100" }, body: "x" },
    { name: "in the middle of a chunk", send: {}, body: "x" },
    {
      name: "in what was compressed",
      send: { "content-encoding": "gzip" },
      body: gzipSync("compressed").subarray(0, 12),
    },
  ])("cut $name are an error and no file", async ({ send, body }) => {
    await using server = await serve((_, response) => {
      response.writeHead(200, send as Record<string, string>);
      response.write(body, () => response.destroy());
    });
    await expect(fetch(server.url)).rejects.toMatchObject({
      code: "SOURCE_NOT_FOUND",
      message: expect.stringMatching(/^cannot fetch http:\/\/127\.0\.0\.1:\d+\/?: ./),
    });
  });

  test("goes to the disk as it comes", async () => {
    const path = join(folder.path, "large");
    const part = randomBytes(8 << 20);
    await using server = await serve((_, response) => {
      response.write(part);
      // The rest comes when the most of this has arrived where it belongs.
      void vi
        .waitFor(() => expect(statSync(path).size).toBeGreaterThan(part.length / 2), { timeout: 10_000 })
        .then(() => response.end(part))
        .catch(() => response.destroy());
    });
    const access = { environment: {}, secrets: new Map() };
    const { signal } = new AbortController();
    const got = await download({ url: server.url, path, access, where: undefined, signal });
    expect(got?.sizeBytes).toBe(2 * part.length);
    expect(readFileSync(path).equals(Buffer.concat([part, part]))).toBe(true);
  });

  test("one that never comes ends with the build", async () => {
    const abort = new AbortController();
    await using server = await serve((_, response) => {
      response.writeHead(200).write("x");
      setImmediate(() => abort.abort(new Error("stopped")));
    });
    await expect(fetch(server.url, { signal: abort.signal })).rejects.toThrow("stopped");
  });
});

describe("answers", () => {
  test.for([404, 403, 410, 500, 503])("%i is an error with its words", async (status) => {
    await using server = await serve((_, response) => response.writeHead(status, "So It Is").end("page"));
    await expect(fetch(`${server.url}/f?token=x`)).rejects.toMatchObject({
      code: "SOURCE_NOT_FOUND",
      message: `cannot fetch ${server.url}/f: ${status} So It Is`,
    });
  });

  test("what is no HTTP", async () => {
    await using server = await serve((request, response) => {
      request.socket.end("SSH-2.0-x\r\n");
      response.detachSocket(request.socket);
    });
    await expect(fetch(server.url)).rejects.toMatchObject({ code: "SOURCE_NOT_FOUND" });
  });

  test.for([
    { sent: '"1"', known: '"1"', body: false },
    { sent: 'W/"1"', known: '"1"', body: false },
    { sent: '"2"', known: '"1"', body: true },
    { sent: undefined, known: '"1"', body: true },
  ])("an ETag $sent, known as $known, that a server does not compare: bytes $body", async ({ sent, known, body }) => {
    await using server = await serve((request, response) => {
      expect(request.headers["if-none-match"]).toBe(known);
      response.writeHead(200, sent === undefined ? {} : { etag: sent }).end("bytes");
    });
    expect(await text(server.url, { etag: known })).toBe(body ? "bytes" : undefined);
  });

  test("the time is the server's, else the beginning of time", async () => {
    await using server = await serve((request, response) => {
      const date = decodeURIComponent(request.url?.slice(1) ?? "");
      response.writeHead(200, date === "" ? {} : { "last-modified": date }).end();
    });
    const time = async (date: string): Promise<number> => {
      const got = await fetch(`${server.url}/${encodeURIComponent(date)}`);
      return statSync(got?.path ?? "").mtimeMs;
    };
    expect(await time("Thu, 01 Jan 2015 00:00:00 GMT")).toBe(Date.UTC(2015, 0, 1));
    expect(await time("")).toBe(0);
    expect(await time("yesterday")).toBe(0);
  });

  test.for([
    ["Sun, 06 Nov 1994 08:49:37 GMT", 784111777],
    ["Sunday, 06-Nov-94 08:49:37 GMT", 784111777],
    ["Sun Nov  6 08:49:37 1994", 784111777],
    ["Monday, 01-Jan-29 00:00:00 GMT", Date.UTC(2029, 0, 1) / 1000],
    ["1994-11-06T08:49:37Z", undefined],
    ["Sun, 06 Nov 1994 08:49:37 +0200", undefined],
    ["Sun, 31 Feb 1994 08:49:37 GMT", undefined],
    ["Sun, 06 Nov 1994 24:49:37 GMT", undefined],
    ["Sun, 06 Now 1994 08:49:37 GMT", undefined],
    ["", undefined],
  ] as const)("%j is %s", ([date, seconds]) => {
    expect(httpTime(date)).toBe(seconds);
  });
});

describe("redirects", () => {
  test.for([301, 302, 303, 307, 308])("%i is followed, to a relative place too", async (status) => {
    await using server = await serve((request, response) => {
      if (request.url === "/a/here") response.writeHead(status, { location: "../there?x=1" }).end("moved");
      else response.end(request.url);
    });
    expect(await text(`${server.url}/a/here`)).toBe("/there?x=1");
  });

  test("ten are followed, eleven are not", async () => {
    await using server = await serve((request, response) => {
      const left = Number(request.url?.slice(1));
      if (left === 0) response.end("arrived");
      else response.writeHead(302, { location: `/${left - 1}` }).end();
    });
    expect(await text(`${server.url}/10`)).toBe("arrived");
    await expect(fetch(`${server.url}/11`)).rejects.toThrow(`cannot fetch ${server.url}/11: more than 10 redirects`);
  });

  test.for(["file:///etc/passwd", "ftp://127.0.0.1/x", "data:,x", "http://"])("to %s is an error", async (location) => {
    await using server = await serve((_, response) => response.writeHead(302, { location }).end());
    await expect(fetch(server.url)).rejects.toMatchObject({
      code: "SOURCE_NOT_FOUND",
      message: expect.stringContaining("which is no web address"),
    });
  });

  test("a status that sends nowhere is its own answer", async () => {
    await using server = await serve((_, response) => response.writeHead(300).end("choose"));
    expect(await text(server.url)).toBe("choose");
  });
});

describe("who asks", () => {
  const secret = (value: string): SecretSource => ({ kind: "environment", value });
  const basic = (pair: string): string => `Basic ${Buffer.from(pair).toString("base64")}`;

  test("user and password of a URL, escaped or not", async () => {
    await using server = await serve((request, response) => response.end(request.headers.authorization ?? "none"));
    const { port } = server;
    expect(await text(`http://me:p%40ss@127.0.0.1:${port}/`)).toBe(basic("me:p@ss"));
    expect(await text(`http://me@127.0.0.1:${port}/`)).toBe(basic("me:"));
    expect(await text(server.url)).toBe("none");
  });

  test("secrets of the host, a token before a header before the URL", async () => {
    await using server = await serve((request, response) => response.end(request.headers.authorization ?? "none"));
    const url = `http://me:pw@127.0.0.1:${server.port}/`;
    const header = { "HTTP_AUTH_HEADER_127.0.0.1": secret("Digest x\n") };
    const token = { "HTTP_AUTH_TOKEN_127.0.0.1": secret("t") };
    expect(await text(url, { secrets: header })).toBe("Digest x");
    expect(await text(url, { secrets: { ...header, ...token } })).toBe("Bearer t");
    expect(await text(url, { secrets: { HTTP_AUTH_TOKEN_elsewhere: secret("t") } })).toBe(basic("me:pw"));
    const bad = { "HTTP_AUTH_TOKEN_127.0.0.1": secret("a\r\nHost: b") };
    await expect(fetch(url, { secrets: bad })).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
  });

  test("they are sent to their host only", async () => {
    await using other = await serve((request, response) => response.end(request.headers.authorization ?? "none"));
    await using server = await serve((request, response) => {
      if (request.url === "/") response.end(request.headers.authorization ?? "none");
      else if (request.url === "/same") response.writeHead(302, { location: "/" }).end();
      else response.writeHead(302, { location: `http://localhost:${other.port}/` }).end();
    });
    const url = `http://me:pw@127.0.0.1:${server.port}`;
    expect(await text(`${url}/same`)).toBe(basic("me:pw"));
    expect(await text(`${url}/other`)).toBe("none");
    const secrets = { HTTP_AUTH_TOKEN_localhost: secret("for localhost") };
    expect(await text(`${url}/other`, { secrets })).toBe("Bearer for localhost");
  });

  test("an error shows neither user, password nor query", async () => {
    await using server = await serve((_, response) => response.writeHead(401).end());
    const url = `http://me:pw@127.0.0.1:${server.port}/f?token=1`;
    await expect(fetch(url)).rejects.toThrow(`cannot fetch http://127.0.0.1:${server.port}/f: 401 Unauthorized`);
  });
});

describe("proxies", () => {
  test("a URL is asked of HTTP_PROXY as a whole, with the proxy's own password", async () => {
    await using proxy = await serve((request, response) =>
      response.end(`${request.method} ${request.url} ${request.headers["proxy-authorization"]}`),
    );
    const environment = { HTTP_PROXY: `http://u:p@127.0.0.1:${proxy.port}`, NO_PROXY: "b.test" };
    const said = `GET http://a.test/f?x=1 Basic ${Buffer.from("u:p").toString("base64")}`;
    expect(await text("http://a.test/f?x=1", { environment })).toBe(said);
    await expect(fetch("http://b.test/f", { environment })).rejects.toThrow(/cannot fetch http:\/\/b\.test\/f: E/);
  });

  test("this machine is not asked through one", async () => {
    await using server = await serve((_, response) => response.end("direct"));
    const environment = { http_proxy: "http://127.0.0.1:1", ALL_PROXY: "http://127.0.0.1:1" };
    expect(await text(server.url, { environment })).toBe("direct");
  });

  test("a proxy that is not there, and one that refuses", async () => {
    await expect(fetch("http://a.test/", { environment: { HTTP_PROXY: "127.0.0.1:1" } })).rejects.toThrow(
      "cannot fetch http://a.test/: ECONNREFUSED",
    );
    await using proxy = await serve((_, response) => response.writeHead(502, "Bad Gateway").end());
    await expect(fetch("http://a.test/", { environment: { HTTP_PROXY: proxy.url } })).rejects.toThrow(
      "502 Bad Gateway",
    );
  });
});

describe.skipIf(lacks("openssl"))("https", () => {
  let authority: Authority;
  beforeAll(() => {
    const place = join(folder.path, "tls");
    mkdirSync(place);
    authority = makeAuthority(place);
  });
  const secure = (listener: RequestListener): Promise<Listening> =>
    listening(createTlsServer(authority.server, listener), "https");

  test("by an authority that nobody knows is an error", async () => {
    await using server = await secure((_, response) => response.end("x"));
    await expect(fetch(server.url)).rejects.toMatchObject({
      code: "SOURCE_NOT_FOUND",
      message: expect.stringMatching(/unable to verify|self-signed certificate/),
    });
  });

  test("through a proxy goes by a tunnel", async () => {
    await using server = await secure((_, response) => response.end("never read"));
    const asked: string[] = [];
    const forwarding = createServer().on("connect", (request, socket) => {
      asked.push(`${request.method} ${request.url}`);
      const out = connect(server.port, "127.0.0.1", () => socket.write("HTTP/1.1 200 OK\r\n\r\n"));
      out
        .on("error", () => undefined)
        .pipe(socket.on("error", () => undefined))
        .pipe(out);
    });
    await using proxy = await listening(forwarding);
    await expect(fetch("https://a.test/f", { environment: { HTTPS_PROXY: proxy.url } })).rejects.toThrow(/certificate/);
    expect(asked[0]).toBe("CONNECT a.test:443");
  });
});
