import { execFile, execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer as createHttpServer, type Server } from "node:http";
import { createServer as createHttpsServer } from "node:https";
import { connect } from "node:net";
import { join } from "node:path";
import { promisify } from "node:util";
import { describe, expect, test } from "vitest";
import type { RegistryAccess } from "../../src/registry/access.ts";
import { certificateRoots, findCertificates } from "../../src/registry/certificates.ts";
import { RegistryClient } from "../../src/registry/client.ts";
import { endpointsOf, isLoopback } from "../../src/registry/endpoint.ts";
import { redactedUrl } from "../../src/registry/errors.ts";
import { resolveUrl, retryAfterMs } from "../../src/registry/http.ts";
import { registrySettings } from "../../src/registry/registry-config.ts";
import { lacks } from "../support/needs.ts";
import { temporaryTestFolder } from "../support/temporary-folder.ts";

const signal = new AbortController().signal;
const access: RegistryAccess = {
  environment: {},
  configDir: "/nowhere",
  warn: () => undefined,
  retryDelayMs: 1,
  timeoutMs: 5000,
};

async function listening(server: Server): Promise<{ host: string; port: number } & AsyncDisposable> {
  await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  return {
    host: `127.0.0.1:${port}`,
    port,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

describe.skipIf(lacks("openssl"))("https", () => {
  /** An authority, a server's certificate for 127.0.0.1 and a client's, each in `folder`. */
  function certificates(folder: string): { readonly read: (name: string) => string } {
    const openssl = (...args: string[]): void => void execFileSync("openssl", args, { cwd: folder, stdio: "ignore" });
    openssl(
      "req",
      "-x509",
      "-newkey",
      "rsa:2048",
      "-nodes",
      "-keyout",
      "ca.key",
      "-out",
      "ca.pem",
      "-days",
      "2",
      "-subj",
      "/CN=test authority",
    );
    for (const [name, extension] of [
      ["server", "subjectAltName=IP:127.0.0.1"],
      ["client", "extendedKeyUsage=clientAuth"],
    ] as const) {
      openssl(
        "req",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-keyout",
        `${name}.key`,
        "-out",
        `${name}.csr`,
        "-subj",
        `/CN=${name}`,
      );
      writeFileSync(join(folder, "extension"), extension);
      openssl(
        "x509",
        "-req",
        "-in",
        `${name}.csr`,
        "-CA",
        "ca.pem",
        "-CAkey",
        "ca.key",
        "-CAcreateserial",
        "-out",
        `${name}.pem`,
        "-days",
        "2",
        "-extfile",
        "extension",
      );
    }
    return { read: (name) => readFileSync(join(folder, name), "utf8") };
  }

  test("on loopback needs no certificate; a folder of certificates counts, with the client's own", async () => {
    using folder = temporaryTestFolder("tls");
    const { read } = certificates(folder.path);
    let withClient = 0;
    const options = {
      key: read("server.key"),
      cert: read("server.pem"),
      ca: read("ca.pem"),
      requestCert: true,
      rejectUnauthorized: false,
    };
    await using server = await listening(
      createHttpsServer(options, (request, response) => {
        if ((request.socket as unknown as { authorized: boolean }).authorized) withClient += 1;
        response.end("{}");
      }) as unknown as Server,
    );
    const ping = async (certificateFolder?: string): Promise<void> => {
      await using client = new RegistryClient(server.host, undefined, { ...access, certificateFolder });
      await client.ping(signal);
    };
    await ping();
    expect(withClient).toBe(0);

    const own = join(folder.path, "own");
    mkdirSync(own);
    writeFileSync(join(own, "ca.crt"), read("ca.pem"));
    writeFileSync(join(own, "me.cert"), read("client.pem"));
    writeFileSync(join(own, "me.key"), read("client.key"));
    await ping(own);
    expect(withClient).toBeGreaterThan(0);

    rmSync(join(own, "me.key"));
    expect(() => new RegistryClient(server.host, undefined, { ...access, certificateFolder: own })).toThrow(
      expect.objectContaining({ code: "INVALID_CONFIG", message: expect.stringContaining("me.key is missing") }),
    );

    // Another authority than the one that signed the server's.
    rmSync(join(own, "me.cert"));
    using other = temporaryTestFolder("tls-other");
    writeFileSync(join(own, "ca.crt"), certificates(other.path).read("ca.pem"));
    await expect(ping(own)).rejects.toMatchObject({
      code: "REGISTRY_FAILED",
      message: expect.stringMatching(/^the registry at https:\/\/127\.0\.0\.1:\d+ cannot be reached: .*certificate/),
    });
  });
});

test.skipIf(lacks("openssl"))(
  "https elsewhere: the system's authorities count where Node's own do not suffice",
  async () => {
    using folder = temporaryTestFolder("system");
    const openssl = (...args: string[]): void =>
      void execFileSync("openssl", args, { cwd: folder.path, stdio: "ignore" });
    openssl(
      "req",
      "-x509",
      "-newkey",
      "rsa:2048",
      "-nodes",
      "-keyout",
      "key",
      "-out",
      "pem",
      "-days",
      "2",
      "-subj",
      "/CN=x",
      "-addext",
      "subjectAltName=DNS:reg.example",
    );
    const read = (name: string): string => readFileSync(join(folder.path, name), "utf8");
    // Through a proxy, so that the name need not exist.
    await using server = await listening(
      createHttpsServer({ key: read("key"), cert: read("pem") }, (_, response) =>
        response.end("{}"),
      ) as unknown as Server,
    );
    await using proxy = await listening(
      createHttpServer().on("connect", (_, socket) => {
        const upstream = connect(server.port, "127.0.0.1", () => {
          socket.write("HTTP/1.1 200 OK\r\n\r\n");
          socket.pipe(upstream).pipe(socket);
        });
        for (const end of [socket, upstream])
          end.on("error", () => [socket, upstream].forEach((each) => void each.destroy()));
      }),
    );
    const script = `
    import { RegistryClient } from ${JSON.stringify(new URL("../../src/registry/client.ts", import.meta.url).href)};
    const access = { environment: { HTTPS_PROXY: "http://${proxy.host}" }, configDir: "/nowhere", warn() {}, retryDelayMs: 1 };
    await using client = new RegistryClient("reg.example", undefined, access);
    await client.ping(new AbortController().signal).then(() => console.log("taken"), (error) => console.log(error.message));`;
    const ping = async (file: string): Promise<string> => {
      const env = { PATH: process.env["PATH"], SSL_CERT_FILE: join(folder.path, file) };
      const { stdout } = await promisify(execFile)(process.execPath, ["--input-type=module", "-e", script], { env });
      return stdout.trim();
    };
    writeFileSync(join(folder.path, "none"), "");
    expect(await ping("pem")).toBe("taken");
    expect(await ping("none")).toMatch(
      /^the registry at https:\/\/reg\.example cannot be reached: self-signed certificate$/,
    );
  },
);

test("certificates are found by the registry's name, the user's own folder first", () => {
  using folder = temporaryTestFolder("certs");
  const roots = certificateRoots({ HOME: folder.path });
  expect(roots).toEqual([
    join(folder.path, ".config/containers/certs.d"),
    "/etc/containers/certs.d",
    "/etc/docker/certs.d",
  ]);
  const own = join(roots[0] as string, "reg.example:5000");
  mkdirSync(own, { recursive: true });
  writeFileSync(join(own, "ca.crt"), "an authority");
  expect(findCertificates("reg.example:5000", undefined, roots)).toEqual({
    host: "reg.example:5000",
    authorities: ["an authority"],
    client: undefined,
  });
  expect(findCertificates("reg.example", undefined, roots)).toBeUndefined();
  expect(() => findCertificates("reg.example", join(folder.path, "gone"), roots)).toThrow(
    expect.objectContaining({ code: "INVALID_CONFIG" }),
  );
});

describe("the machine's configuration", () => {
  const settings = (domain: string, own: unknown, docker: unknown): ReturnType<typeof registrySettings> => {
    using folder = temporaryTestFolder("config");
    const write = (name: string, content: unknown): string => {
      const file = join(folder.path, name);
      if (content !== undefined) writeFileSync(file, typeof content === "string" ? content : JSON.stringify(content));
      return file;
    };
    const found = registrySettings(domain, { own: [write("own.json", own)], docker: [write("daemon.json", docker)] });
    return { ...found, blockedBy: found.blockedBy?.replace(`${folder.path}/`, "") };
  };
  const nothing = { insecure: false, blockedBy: undefined, mirrors: [] };

  test.for([
    { name: "no files", domain: "a.example", own: undefined, docker: undefined, is: nothing },
    {
      name: "a registry that nobody names",
      domain: "a.example",
      own: { registries: { b: { insecure: true } } },
      docker: {},
      is: nothing,
    },
    {
      name: "insecure in ours",
      domain: "a:5",
      own: { registries: { "a:5": { insecure: true } } },
      docker: undefined,
      is: { ...nothing, insecure: true },
    },
    {
      name: "blocked in ours",
      domain: "a.b",
      own: { registries: { "a.b": { blocked: true } } },
      docker: undefined,
      is: { ...nothing, blockedBy: "own.json" },
    },
    {
      name: "ours decides where both name it",
      domain: "a.b",
      own: { registries: { "a.b": {} } },
      docker: { "insecure-registries": ["a.b"] },
      is: nothing,
    },
    {
      name: "a host of docker's, with its port",
      domain: "a.b:5",
      own: undefined,
      docker: { "insecure-registries": ["a.b:5"] },
      is: { ...nothing, insecure: true },
    },
    {
      name: "a host of docker's, for each port",
      domain: "a.b:5",
      own: undefined,
      docker: { "insecure-registries": ["a.b"] },
      is: { ...nothing, insecure: true },
    },
    {
      name: "a network of docker's",
      domain: "10.1.2.3:5",
      own: undefined,
      docker: { "insecure-registries": ["10.0.0.0/8"] },
      is: { ...nothing, insecure: true },
    },
    {
      name: "another network",
      domain: "11.1.2.3:5",
      own: undefined,
      docker: { "insecure-registries": ["10.0.0.0/8"] },
      is: nothing,
    },
    {
      name: "docker's mirrors, of docker.io",
      domain: "docker.io",
      own: undefined,
      docker: { "registry-mirrors": ["https://m.example/"] },
      is: { ...nothing, mirrors: ["https://m.example"] },
    },
    {
      name: "docker's mirrors are of nobody else",
      domain: "a.b",
      own: undefined,
      docker: { "registry-mirrors": ["https://m.example"] },
      is: nothing,
    },
  ])("$name", ({ domain, own, docker, is }) => {
    expect(settings(domain, own, docker)).toEqual(is);
  });

  test.for([
    { name: "no JSON", own: "{", says: "not JSON" },
    { name: "a mirror that is no address", own: { registries: { "a.b": { mirrors: ["m"] } } }, says: "is no address" },
  ])("with $name is an error", ({ own, says }) => {
    expect(() => settings("a.b", own, undefined)).toThrow(
      expect.objectContaining({ code: "INVALID_CONFIG", message: expect.stringContaining(says) }),
    );
  });

  test("a blocked registry is not spoken to", () => {
    using folder = temporaryTestFolder("blocked");
    const file = join(folder.path, "own.json");
    writeFileSync(file, JSON.stringify({ registries: { "a.b": { blocked: true } } }));
    expect(() => new RegistryClient("a.b", undefined, { ...access, configFiles: { own: [file], docker: [] } })).toThrow(
      expect.objectContaining({
        code: "REGISTRY_DENIED",
        message: "the registry a.b is blocked",
        where: { kind: "path", path: file },
      }),
    );
  });
});

describe("a proxy", () => {
  test.for([
    { name: "HTTP_PROXY and HTTPS_PROXY", variables: (url: string) => ({ HTTP_PROXY: url, HTTPS_PROXY: url }) },
    { name: "http_proxy and https_proxy", variables: (url: string) => ({ http_proxy: url, https_proxy: url }) },
    { name: "ALL_PROXY", variables: (url: string) => ({ ALL_PROXY: url }) },
  ])("for an insecure registry elsewhere: $name", async ({ variables }) => {
    const asked: string[] = [];
    await using proxy = await listening(
      createHttpServer((request, response) => {
        asked.push(`${request.method} ${request.url}`);
        response.end("{}");
      }).on("connect", (request, socket) => {
        asked.push(`CONNECT ${request.url}`);
        socket.end("HTTP/1.1 403 Forbidden\r\n\r\n");
      }),
    );
    await using client = new RegistryClient("reg.example", undefined, {
      ...access,
      insecure: true,
      environment: variables(`http://user:pw@${proxy.host}`),
    });
    await client.ping(signal);
    expect(asked).toContain("CONNECT reg.example:443");
    expect(asked.at(-1)).toBe("GET http://reg.example/v2/");
  });

  test("is not asked for loopback", async () => {
    await using registry = await listening(createHttpServer((_, response) => response.end("{}")));
    await using client = new RegistryClient(registry.host, undefined, {
      ...access,
      environment: { HTTP_PROXY: "http://127.0.0.1:1" },
    });
    await client.ping(signal);
  });
});

test.for([
  ["localhost", true],
  ["localhost:5000", true],
  ["127.0.0.1:80", true],
  ["127.255.1.2", true],
  ["[::1]:5000", true],
  ["reg.localhost", true],
  ["128.0.0.1", false],
  ["localhost.example", false],
  ["127.0.0.1.example", false],
] as const)("%s is loopback: %s", ([host, is]) => {
  expect(isLoopback(host)).toBe(is);
});

test.for([
  { domain: "docker.io", insecure: false, endpoints: ["https://registry-1.docker.io"] },
  { domain: "reg.example:5000", insecure: false, endpoints: ["https://reg.example:5000"] },
  { domain: "Reg.example:443", insecure: false, endpoints: ["https://reg.example"] },
  { domain: "reg.example", insecure: true, endpoints: ["https://reg.example", "http://reg.example"] },
  { domain: "localhost:5000", insecure: false, endpoints: ["http://localhost:5000", "https://localhost:5000"] },
])("$domain (insecure: $insecure) is looked for at $endpoints", ({ domain, insecure, endpoints }) => {
  expect(endpointsOf(domain, insecure)).toEqual(endpoints);
});

test("a URL in a message has no password and no signature", () => {
  expect(redactedUrl("https://bob:secret@a.example:8/x/y?X-Signature=secret#z")).toBe("https://a.example:8/x/y");
});

test.for([
  [undefined, undefined],
  ["3", 3000],
  ["0", 0],
  ["100000", 100_000_000],
  [new Date(10_000).toUTCString(), 9000],
  [new Date(0).toUTCString(), 0],
  ["soon", undefined],
] as const)("Retry-After %s is %s ms", ([header, ms]) => {
  expect(retryAfterMs(header, 1000)).toBe(ms);
});

test.for([
  ["/a", "https://x.example/a"],
  ["https://y.example/b", "https://y.example/b"],
  ["file:///etc/passwd", undefined],
  ["javascript:alert(1)", undefined],
  ["http://[", undefined],
] as const)("the address %s is %s", ([location, url]) => {
  expect(resolveUrl(location, "https://x.example/v2/")?.href).toBe(url);
});
