import { readdirSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, expect, test } from "vitest";
import { sha256 } from "../../src/oci/digest.ts";
import { fileNameOf, shownUrl } from "../../src/planner/download.ts";
import { temporaryStore } from "../support/temporary-store.ts";
import { build, plan } from "./support/build.ts";

let server: Server;
let base: string;
let content = "one";

beforeAll(async () => {
  server = createServer((request, response) => {
    if (request.url === "/missing") response.writeHead(404).end();
    else if (request.url === "/moved") response.writeHead(302, { location: "/file.tgz?x" }).end();
    else if (request.url?.startsWith("/cut")) {
      response.writeHead(200, { "content-length": "100" }).write("x");
      response.destroy();
    } else {
      response.writeHead(200, { "last-modified": "Thu, 01 Jan 2015 00:00:00 GMT" }).end(content);
    }
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  // What `listen` on a port gives.
  base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(() => {
  server.closeAllConnections();
  server.close();
});

test("equal bytes hit, other bytes do not, and no download is left behind", async () => {
  using own = temporaryStore();
  content = "one";
  const text = `FROM b⏎ADD ${base}/file.tgz /d/`;
  expect(await build(own.store, text)).toHaveLength(1);
  expect(await build(own.store, text)).toEqual([]);
  expect(await build(own.store, `FROM b⏎ADD ${base}/other/file.tgz /d/`)).toEqual([]);
  content = "two";
  const { steps } = await plan(own.store, text);
  expect(steps[0]?.outcome).toMatchObject({
    kind: "miss",
    reasons: [{ code: "url-changed", url: `${base}/file.tgz` }],
  });
  expect(readdirSync(`${own.root}/tmp`).filter((name) => name.includes("downloads"))).toEqual([]);
});

test("a redirect is followed, and its target's name is not taken", async () => {
  using own = temporaryStore();
  content = "one";
  await build(own.store, `FROM b⏎ADD ${base}/moved /d/`);
  const input = own.store.cache.list().map((record) => own.store.cache.input(record));
  expect(input[0]).toContain("moved\\tfile\\t600\\t0:0\\t3\\t");
});

test("--checksum is compared with the bytes", async () => {
  using own = temporaryStore();
  content = "one";
  const add = (checksum: string): Promise<readonly string[]> =>
    build(own.store, `FROM b⏎ADD --checksum=${checksum} ${base}/f /`);
  expect(await add(sha256("one"))).toHaveLength(1);
  await expect(add(sha256("two"))).rejects.toMatchObject({ code: "COPY_FAILED", where: { line: 2 } });
  await expect(add("sha256:12")).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
});

test.for([
  { path: "/missing", what: /^cannot fetch http:\/\/127\.0\.0\.1:\d+\/missing: 404 Not Found$/ },
  { path: "/cut?secret=1", what: /^cannot fetch http:\/\/127\.0\.0\.1:\d+\/cut: / },
])("what cannot be fetched is one error: $path", async ({ path, what }) => {
  using own = temporaryStore();
  await expect(build(own.store, `FROM b⏎ADD ${base}${path} /`)).rejects.toMatchObject({
    code: "SOURCE_NOT_FOUND",
    message: expect.stringMatching(what),
    where: { line: 2 },
  });
});

test("a server that is not there", async () => {
  using own = temporaryStore();
  await expect(build(own.store, "FROM b⏎ADD http://127.0.0.1:1/x /")).rejects.toMatchObject({
    code: "SOURCE_NOT_FOUND",
    message: "cannot fetch http://127.0.0.1:1/x: ECONNREFUSED",
  });
});

test.for([
  ["http://h/a/b.tar.gz?x=1#y", "b.tar.gz"],
  ["http://h/", "__unnamed__"],
  ["http://h", "__unnamed__"],
  ["http://h/a/", "a"],
  ["http://h/a%20b", "a b"],
  ["http://h/a%2fb", "b"],
  ["http://h/a%2f..", "__unnamed__"],
  ["http://h/a%00b", "__unnamed__"],
  ["http://h/%zz", "%zz"],
] as const)("the name of %s is %s", ([url, name]) => {
  expect(fileNameOf(url)).toBe(name);
});

test("a shown URL has no user, password or query", () => {
  expect(shownUrl("https://u:p@h/x?token=1#f")).toBe("https://h/x");
});
